//! libFuzzer's way into [`wattle_fuzz::edge_payload`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    wattle_fuzz::edge_payload(data);
});
