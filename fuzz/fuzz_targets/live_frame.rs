#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| globalshop::ws::fuzz::live_frame(bytes));
