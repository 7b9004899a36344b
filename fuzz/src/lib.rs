//! Fuzz targets, as functions of bytes: each panics if something does not hold that must always hold.
//!
//! ```text
//! fuzz_targets/x.rs (libFuzzer, feature `libfuzzer`) ─┐
//! tests/corpus.rs   (`cargo test`, no C++ compiler)  ─┴▶ x(data)     corpus/x/ holds the seeds of both
//! ```
//! Each answers whether the input got past the first refusal: seeds must, whatever a fuzzer makes of them.
#![forbid(unsafe_code)]

mod dag_model;
mod decode;
mod draw;
mod edge_payload;
mod fog;
mod ledger_model;
mod mqtt_sn;
mod verify_receipt;

pub use dag_model::dag_model;
pub use decode::decode;
pub use edge_payload::edge_payload;
pub use fog::fog;
pub use ledger_model::ledger_model;
pub use mqtt_sn::mqtt_sn;
pub use verify_receipt::verify_receipt;

/// A target: whether the input got past the first refusal.
pub type Target = fn(&[u8]) -> bool;

/// Every target with its name, which is also that of its folder below `corpus`.
pub const TARGETS: [(&str, Target); 7] = [
    ("decode", decode),
    ("edge_payload", edge_payload),
    ("fog", fog),
    ("dag_model", dag_model),
    ("ledger_model", ledger_model),
    ("verify_receipt", verify_receipt),
    ("mqtt_sn", mqtt_sn),
];
