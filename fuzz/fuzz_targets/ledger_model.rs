//! libFuzzer's way into [`wattle_fuzz::ledger_model`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    wattle_fuzz::ledger_model(data);
});
