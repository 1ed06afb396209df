//! See `tidemill_fuzz_targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tidemill_fuzz_targets::run("validate", input));
