//! libFuzzer's way into [`wattle_fuzz::dag_model`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    wattle_fuzz::dag_model(data);
});
