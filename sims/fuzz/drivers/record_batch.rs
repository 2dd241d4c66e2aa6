//! Drives the target `record_batch`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| brokerquake_fuzz::targets::record_batch(data));
