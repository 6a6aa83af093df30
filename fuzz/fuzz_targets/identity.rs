//! Without rules the output is the input.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sse_fast_fuzz::identity(data));
