#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| step07_images::fuzz::manifest(bytes));
