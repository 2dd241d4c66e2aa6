//! One suite for every world: real sockets and files, the `leap` engine and turmoil behave alike.
//! Differences between worlds are listed here with their reasons.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

mod conformance {
    pub mod disk;
    pub mod net;
}

use std::path::Path;
use std::time::Duration;

use brokerquake::base::Seed;
use brokerquake::io::real::RealWorld;
use brokerquake::io::{Disk, World};
use brokerquake::sim::leap::Leap;
use brokerquake::sim::turmoil::Referee;
use brokerquake::sim::{Engine, block_on};

/// A runtime like that of `serve`.
fn real<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

/// The only host of a simulation, talking to itself.
fn simulated<E: Engine, F: Future<Output = ()> + Send + 'static>(
    test: impl FnOnce(E::World) -> F + Send + 'static,
) {
    let ended = block_on::<E, _, _>(Seed(1), Duration::from_secs(600), test);
    assert_eq!(ended, Some(()), "not within 600 simulated seconds");
}

/// Each test on every network: the kernel's, leap's, turmoil's.
macro_rules! on_every_net {
    ($($test:ident),* $(,)?) => {
        mod real_net {
            $(#[test]
            fn $test() {
                super::real(super::conformance::net::$test(&super::RealWorld::new(), "127.0.0.1"));
            })*
        }
        mod leap_net {
            $(#[test]
            fn $test() {
                super::simulated::<super::Leap, _>(|world| async move {
                    super::conformance::net::$test(&world, "host").await;
                });
            })*
        }
        mod turmoil_net {
            $(#[test]
            fn $test() {
                super::simulated::<super::Referee, _>(|world| async move {
                    super::conformance::net::$test(&world, "host").await;
                });
            })*
        }
    };
}

/// Each test on every disk: the kernel's, and the simulated one with either engine's time.
macro_rules! on_every_disk {
    ($($test:ident),* $(,)?) => {
        mod real_disk {
            $(#[test]
            fn $test() {
                let dir = tempfile::tempdir().unwrap();
                super::real(super::conformance::disk::$test(&super::RealWorld::new(), dir.path()));
            })*
        }
        mod leap_disk {
            use super::*;
            $(#[test]
            fn $test() {
                super::simulated::<super::Leap, _>(|world| async move {
                    world.disk().create_dir_all(Path::new("/data")).unwrap();
                    super::conformance::disk::$test(&world, Path::new("/data")).await;
                });
            })*
        }
        mod turmoil_disk {
            use super::*;
            $(#[test]
            fn $test() {
                super::simulated::<super::Referee, _>(|world| async move {
                    world.disk().create_dir_all(Path::new("/data")).unwrap();
                    super::conformance::disk::$test(&world, Path::new("/data")).await;
                });
            })*
        }
    };
}

on_every_net!(
    bytes_arrive_in_order,
    a_slow_reader_holds_the_writer_back,
    one_direction_may_end_while_the_other_goes_on,
    a_dropped_stream_ends_for_its_peer,
    closed_port_refuses,
    a_port_has_one_listener,
    sixty_four_mebibytes_arrive_unharmed,
    slices_of_files_arrive_between_bytes,
    many_connections_do_not_mix,
    timers_fire_in_order_and_not_early,
);

on_every_disk!(
    what_was_written_is_read,
    a_file_opens_as_asked,
    a_hole_reads_as_zeros,
    a_map_and_its_file_are_the_same_bytes,
    a_rename_replaces,
    a_removed_file_lives_on_in_its_handles,
    a_list_is_sorted_and_knows_directories,
    a_cut_file_ends_there,
    a_sync_succeeds_for_files_directories_and_maps,
    errors_have_the_kinds_that_code_relies_on,
);
