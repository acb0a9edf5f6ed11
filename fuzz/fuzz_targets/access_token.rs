#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| globalshop::accounts::fuzz::access_token(bytes));
