//! The site's MQTT side: the broker, the ingress, the durable log that is also the cache, and an MQTT client.
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
//! - `rmqtt` is named only in [`embedded`], `rumqttc` only in [`client`] and [`external`].
//!
//! # The way of a publish
//! ```text
//! device ─PUBLISH root/device/x─▶ embedded | external ─▶ ingress ─▶ log ──▶ (the ledger node reads on from here)
//!        ◀─PUBACK───────────────────────┘   after fdatasync ◀────────┘
//!                                          └─▶ root/fog/x, root/fog/<site>/rejected
//! ```

pub mod broker;
pub mod client;
pub mod embedded;
pub mod external;
pub mod ingress;
pub mod log;
pub mod notices;

pub use crate::broker::{Broker, BrokerError};
pub use crate::client::{ConnectError, PublishError, Publisher, Received, Subscriber};
pub use crate::embedded::EmbeddedConfig;
pub use crate::external::ExternalConfig;
pub use crate::ingress::{Ingress, IngressCounters, Outcome, Publish, Refusal};
pub use crate::log::{AppendError, Appended, Entry, LogConfig, LogError, LogReport, LogStats, SiteLog};
