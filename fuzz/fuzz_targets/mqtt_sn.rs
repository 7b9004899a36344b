//! libFuzzer's way into [`wattle_fuzz::mqtt_sn`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    wattle_fuzz::mqtt_sn(data);
});
