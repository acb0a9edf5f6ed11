#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| globalshop::journal::fuzz::stored_event(bytes));
