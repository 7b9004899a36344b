//! libFuzzer's way into [`wattle_fuzz::verify_receipt`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    wattle_fuzz::verify_receipt(data);
});
