//! Drives the target `scenario`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| brokerquake_fuzz::targets::scenario(data));
