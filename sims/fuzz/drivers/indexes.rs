//! Drives the target `indexes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| brokerquake_fuzz::targets::indexes(data));
