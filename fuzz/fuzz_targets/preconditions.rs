//! See `staleguard_fuzz::preconditions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| staleguard_fuzz::preconditions(data));
