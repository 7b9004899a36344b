//! The ledger from outside: stake, elections and slashing (`docs/spec/epochs.md`), void messages
//! (`docs/spec/finality.md`), sites and devices (`docs/spec/devices.md`), requests (`docs/spec/wallet.md`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod attacks;
mod devices;
mod elections;
mod model;
mod orders;
mod requests;
mod slashing;
mod spending;
mod void;
mod world;
