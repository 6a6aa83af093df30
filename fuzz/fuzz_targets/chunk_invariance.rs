//! Rewriter and parser give the same under every cut.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sse_fast_fuzz::chunk_invariance(data));
