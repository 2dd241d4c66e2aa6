//! The fuzz targets on a stable toolchain: their seeds, and some thousand mutations that are the
//! same in every run. cargo-fuzz searches further, in `.ci/slow`.
#![allow(
    clippy::disallowed_methods,
    reason = "tests and benchmarks look at the real world from outside"
)]

#[path = "fuzz/lib.rs"]
#[allow(dead_code, reason = "each suite uses its part")]
pub mod fuzz;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fuzz::{seeds, targets};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

/// Mutations of each target: a few seconds in total.
const MUTATIONS: usize = 1500;

/// Boundary values.
const EDGES: [i64; 9] = [0, -1, 1, 127, 128, 255, i32::MAX as i64, i32::MIN as i64, i64::MAX];

/// One to four of the most effective changes: bit flips, boundary values, truncations, repeats, a
/// splice.
fn mutate(random: &mut ChaCha12Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds.choose(random).cloned().unwrap_or_default();
    for _ in 0..random.random_range(1..=4) {
        let len = bytes.len();
        if len == 0 {
            bytes.push(random.random());
            continue;
        }
        let at = random.random_range(0..len);
        match random.random_range(0..7) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => bytes.truncate(at),
            3 => {
                let edge = EDGES[random.random_range(0..EDGES.len())].to_be_bytes();
                let width = [1, 2, 4, 8][random.random_range(0..4)].min(len - at);
                bytes[at..at + width].copy_from_slice(&edge[8 - width..]);
            }
            4 => {
                let end = random.random_range(at..=len.min(at + 64));
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => drop(bytes.drain(at..random.random_range(at..=len.min(at + 16)))),
            _ => {
                let other = seeds.choose(random).map_or(&[][..], |seed| &seed[..]);
                let from = random.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes.truncate(1 << 16);
    bytes
}

/// Runs a target over its seeds and their mutations.
fn drive(name: &str) {
    let (_, target) = targets::TARGETS.into_iter().find(|(other, _)| *other == name).unwrap();
    let seeds = seeds::of(name, Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(!seeds.is_empty());
    let mut random = ChaCha12Rng::seed_from_u64(name.len() as u64);
    // Each target has its own random stream: a new seed in one changes nothing in another.
    random
        .set_stream(name.bytes().fold(0, |sum, byte| u64::wrapping_mul(sum, 31) + u64::from(byte)));
    let mutations = (0..MUTATIONS).map(|_| mutate(&mut random, &seeds));
    let inputs: Vec<Vec<u8>> = seeds.iter().cloned().chain(mutations).collect();
    for input in inputs {
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            panic!("{name} fails on these {} bytes: {hex}", input.len());
        }
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                drive(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_driven_here_and_by_cargo_fuzz() {
            let driven = [$(stringify!($name)),*];
            let all = targets::TARGETS.map(|(name, _)| name);
            assert_eq!(driven, all);
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("sims/fuzz");
            let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap();
            for name in all {
                assert!(dir.join(format!("drivers/{name}.rs")).exists(), "{name}");
                assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            }
        }
    };
}

targets! {
    record_batch segment indexes snapshot transaction_index checkpoints meta_properties
    internal_records scenario history server_properties request_frame
}

/// `BROKERQUAKE_CORPUS` names a directory for the seed corpus of cargo-fuzz.
#[test]
fn every_fuzz_target_has_a_seed_corpus() {
    let corpus = std::env::var("BROKERQUAKE_CORPUS").ok();
    for (name, _) in targets::TARGETS {
        let seeds = seeds::of(name, Path::new(env!("CARGO_MANIFEST_DIR")));
        assert!(!seeds.is_empty(), "{name}");
        let Some(dir) = corpus.as_ref().map(|corpus| Path::new(corpus).join(name)) else {
            continue;
        };
        std::fs::create_dir_all(&dir).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(dir.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}

#[test]
fn mutations_are_the_same_in_every_run() {
    let seeds = [b"seed".to_vec(), vec![0; 40]];
    let run = || {
        let mut random = ChaCha12Rng::seed_from_u64(1);
        (0..100).map(|_| mutate(&mut random, &seeds)).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
    let mut random = ChaCha12Rng::seed_from_u64(1);
    assert_ne!(random.next_u64(), random.next_u64());
}
