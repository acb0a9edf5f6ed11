#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| globalshop::import::fuzz::icecat(bytes));
