//! The fuzz targets: one function for each format that is read from a file or a client. cargo-fuzz
//! drives them in `.ci/slow`; `sims/fuzzed.rs` drives the same functions in every test run.

pub mod memory;
#[path = "../hostile/samples.rs"]
#[allow(missing_docs, reason = "shared with the tests of hostile clients")]
pub mod samples;
pub mod seeds;
pub mod specimen;
pub mod targets;

use brokerquake::{base, wire};
