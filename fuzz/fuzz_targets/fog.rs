//! libFuzzer's way into [`wattle_fuzz::fog`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    wattle_fuzz::fog(data);
});
