//! Drives the target `meta_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| brokerquake_fuzz::targets::meta_properties(data));
