#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::identity::check(data));
