//! The MQTT-SN gateway with real datagrams, in front of the embedded broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod bounds;
mod device;
mod discovery;
mod messages;
mod secure;
mod sessions;
