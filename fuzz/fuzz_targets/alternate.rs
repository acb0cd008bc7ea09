//! See `staleguard_fuzz::alternate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| staleguard_fuzz::alternate(data));
