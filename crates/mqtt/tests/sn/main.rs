//! The MQTT-SN gateway with real datagrams, in front of the embedded broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod abuse;
mod access;
mod bounds;
mod device;
mod discovery;
mod messages;
mod secure;
#[path = "../secured/mod.rs"]
#[allow(dead_code, clippy::result_large_err, reason = "what other tests need, and the error of the client library")]
mod secured;
mod sessions;
#[allow(dead_code, reason = "others use the rest")]
#[path = "../waiting/mod.rs"]
mod waiting;
