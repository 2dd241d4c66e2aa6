//! Drives the target `transaction_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| brokerquake_fuzz::targets::transaction_index(data));
