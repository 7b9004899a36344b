//! Decisions at the edge: what a payload means, and what becomes of it.
//!
//! Purpose: the pure half of the fog processor. Nothing here opens a socket or a file, reads a clock or rolls
//! dice: time is an argument, and equal input gives equal output on every machine.
//!
//! ```text
//! PUBLISH root/device/x ─▶ payload::read ─▶ readings ─▶ payload::fog_json ─▶ PUBLISH root/fog/x
//!                          fog::Fog::parse ─▶ readings ─▶ fog::Fog::process ─▶ accepted, derived, commands
//! ```

mod base64url;
mod cayenne;
pub mod fog;
mod malformed;
mod mapping;
pub mod payload;
mod senml;
mod senml_cbor;
mod signed;
pub mod thing;
