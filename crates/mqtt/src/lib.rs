//! The site's MQTT side: the broker, the ingress, the durable log that is also the cache, an MQTT client, and the MQTT-SN
//! gateway.
//!
//! Purpose: what a device publishes becomes readings in the site's log, and only then is it acknowledged. What the
//! site has to say (processed data, notices of what the ledger holds) goes out through the same broker.
//!
//! # Rules
//! - **Acknowledged means kept.** A PUBACK or PUBREC leaves only after the reading's group is on the disk.
//! - **One ingress** for both kinds of broker: [`embedded`] (in this process) and [`external`] (one that was there
//!   before us, such as mosquitto). They differ in how a publish arrives and how it is answered, in nothing else.
//! - **Every queue has a bound** and every bound a name. What is dropped is counted, and only ever what can be had
//!   again from the log.
//! - **Who may do what** is decided in [`access`], which knows no broker; a broker asks it.
//! - `rmqtt` is named only in [`embedded`], `rumqttc` only in [`client`], [`credentials`], [`external`], [`roles`], [`tiers`]
//!   and [`sn`], `dimpl` only in [`sn`].
//!
//! # The way of a publish
//! ```text
//! device ─PUBLISH root/device/x─▶ embedded | external ─▶ ingress ─▶ log ──▶ (the ledger node reads on from here)
//!        ◀─PUBACK───────────────────────┘   after fdatasync ◀────────┘
//!                                          └─▶ root/fog/x, root/fog/<site>/rejected
//! ```

pub mod access;
pub mod broker;
pub mod client;
pub mod credentials;
pub mod embedded;
pub mod external;
pub mod identity;
pub mod ingress;
pub mod log;
pub mod notices;
pub mod replay;
pub mod requests;
pub mod roles;
pub mod sn;
pub mod spool;
pub mod tiers;

pub use crate::access::{AccessConfig, AccessError, AccessReport, Anonymous, Identity, Limits, TokenAlgorithm, TokenConfig};
pub use crate::broker::{Broker, BrokerError, Luggage, Waiting, Whom};
pub use crate::client::{ConnectError, PublishError, Publisher, Received, Subscriber};
pub use crate::credentials::{CredentialFiles, Credentials, CredentialsError, ServerUrl};
pub use crate::embedded::{EmbeddedConfig, KeeperStats, Listeners, Security, TlsFiles};
pub use crate::external::ExternalConfig;
pub use crate::identity::{Identities, IdentityCounters, Registered, Registry, Unbelievable};
pub use crate::ingress::{Arrival, Ingress, IngressCounters, Outcome, Parser, PassedOn, Publish, Refusal};
pub use crate::log::{AppendError, Appended, Entry, LogConfig, LogError, LogReport, LogStats, SiteLog};
pub use crate::requests::{NOT_IN_PARTS, NotAsked, ReportDesk, RequestDesk};
pub use crate::tiers::{TierConfig, TierError, TierStats};
