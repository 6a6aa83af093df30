//! The scanner against serde_json, and bodies against the oracle.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sse_fast_fuzz::scanner(data));
