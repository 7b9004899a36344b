//! libFuzzer's way into [`wattle_fuzz::decode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    wattle_fuzz::decode(data);
});
