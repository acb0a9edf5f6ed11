#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| globalshop::http::fuzz::query_string(bytes));
