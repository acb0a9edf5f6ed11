#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| globalshop::http::fuzz::idempotency_key(bytes));
