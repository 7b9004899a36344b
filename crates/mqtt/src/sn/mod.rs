//! The MQTT-SN 1.2 gateway: battery devices speak MQTT-SN over UDP, the site's broker hears MQTT.
//!
//! Purpose: a transparent gateway (§4.1 of the specification). Every client has a connection of its own to the broker, the
//! embedded one or any other that speaks MQTT 5, so wills, retained messages, sessions and wildcards are the broker's,
//! and an acknowledgement to the client means what the broker's means. Rules are numbered in `docs/spec/mqtt-sn.md`.
//!
//! # Rules
//! - [`start`] needs a configuration and nothing else of this crate: a gateway may run where there is no site.
//! - What a session does is decided in `session`, which has no sockets and no clock. Everything else carries.
//! - `rumqttc` is named only in `upstream`, `dimpl` only in `dtls`.
//!
//! # The way of a publish
//! ```text
//! device ─PUBLISH─▶ gateway ─▶ client ─▶ session ─▶ upstream ─PUBLISH, same id─▶ broker ─▶ log
//!        ◀─PUBACK── outlet ◀── client ◀─ session ◀─ upstream ◀────────PUBACK──── broker ◀── on the disk
//! ```

mod announcer;
mod anonymous;
mod budget;
mod client;
mod config;
mod counters;
mod dtls;
mod gateway;
mod keys;
mod memory;
mod peer;
mod session;
mod topics;
mod upstream;

pub use config::{
    ADVERTISE_EVERY, BUFFERED_BYTES_MAX, CLIENT_ID_BYTES_MAX, CLIENT_MESSAGES_MAX, CLIENTS_MAX, DEFAULT_PORT, DtlsConfig, GatewayConfig,
    HANDSHAKES_MAX, HANDSHAKES_PER_SOURCE_MAX, PACKET_BYTES, PACKET_BYTES_LIMIT, RETRIES, RETRY, SnError, check_client_id,
};
pub use counters::GatewayStats;
pub use gateway::{Gateway, start};
pub use keys::PskKeys;
