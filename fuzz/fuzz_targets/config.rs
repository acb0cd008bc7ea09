//! See `staleguard_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| staleguard_fuzz::config(data));
