//! Drives the target `request_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| brokerquake_fuzz::targets::request_frame(data));
