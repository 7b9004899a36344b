//! What device firmware links: the types that travel, without `std`.
//!
//! Purpose: a device that signs its own readings, or a contract guest, needs the canonical forms and the keys
//! of [`protocol`] and nothing else. Clients, signers and queues for the device classes of the mission come
//! here as files of their own.
#![no_std]

extern crate alloc;

mod signer;
mod wallet;

pub use protocol;
pub use protocol::SignedReading;
/// MQTT-SN 1.2: the messages a device exchanges with a gateway.
pub use protocol::sn;
pub use signer::{SignError, Signer, request_to_json, to_json};
pub use wallet::{Position, SpendError, Spender, WINDOW_MS};
