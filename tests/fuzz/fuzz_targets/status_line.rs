#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bursar_fuzz::status_line(data));
