//! Decisions at the edge: what a payload means, and what becomes of it.
//!
//! Purpose: the pure half of the fog processor. Nothing here opens a socket or a file, reads a clock or rolls
//! dice: time is an argument, and equal input gives equal output on every machine.
//!
//! ```text
//! PUBLISH root/device/x ─▶ payload::decode ─▶ readings ─▶ payload::fog_json ─▶ PUBLISH root/fog/x
//! ```

mod base64url;
pub mod payload;
mod senml;
