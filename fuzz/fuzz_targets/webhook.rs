#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| globalshop::provider::fuzz::webhook(bytes));
