//! The ledger from outside: stake, elections and slashing (`docs/spec/epochs.md`), void messages
//! (`docs/spec/finality.md`), sites and devices (`docs/spec/devices.md`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod devices;
mod elections;
mod model;
mod orders;
mod slashing;
mod void;
mod world;
