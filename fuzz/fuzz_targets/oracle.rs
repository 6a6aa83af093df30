//! The rewriter against the oracle of tests/core.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sse_fast_fuzz::oracle(data));
