#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| globalshop::views::fuzz::product_query(bytes));
