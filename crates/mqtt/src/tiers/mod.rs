//! Brokers in tiers: Local → Aggregation → Central, one tree of them acting as one broker (M16, the paper's §3.3).
//!
//! Purpose: a device at one site reads what another site publishes, though each is connected to the broker of its own site
//! only. The rules are numbered in `docs/spec/tiers.md`.
//!
//! # Rules
//! - A broker has a **scope**, the sites it is for, and at most one **parent**. It is a client of its parent, over one MQTT 5
//!   connection, the **link**.
//! - A subscription that cannot be satisfied below goes up, once; publishes go up when they are configured or asked for;
//!   notifications come down once for each link ([`board`]).
//! - **Nothing acknowledged is lost.** What has to leave on a link is in the [`crate::spool`] before its sender is
//!   acknowledged, and stays there until the other end has acknowledged. That holds upwards and downwards.
//! - **Once.** A publish keeps the origin and the sequence it got where it entered; who has seen it drops it, also after a
//!   restart ([`seen`]). It passes no broker twice ([`passport`]).
//! - The modules [`balance`], [`board`], [`passport`], [`scope`] and [`seen`] are pure: no sockets, files or clocks.
//!
//! ```text
//!                 parent
//!                   ▲ │            uplink: one connection, both directions
//!        queue `up` │ ▼ from_above
//! clients ──▶ offer ┌─┴────────┐ ──▶ Subscribers::deliver ──▶ clients
//! site log ─▶ feeder│  Tiers   │
//!                   └─▲────────┘
//!          from_below │ │ queue of each link
//!                     │ ▼
//!                  brokers below   (the embedded broker's side of a link: `embedded/links.rs`)
//! ```

pub mod balance;
pub mod board;
pub mod config;
mod feeder;
mod hub;
mod memory;
pub mod passport;
pub mod scope;
pub mod seen;
mod uplink;

pub use config::{LinkTls, Member, Parent, ParentUrl, TierConfig, TierError};
pub use hub::{Delivery, LinkStats, Refused, Subscribers, Taken, TierStats, Tiers};
pub use scope::Scope;

pub(crate) use feeder::feed;
pub(crate) use hub::Hello;
pub(crate) use uplink::Uplink;

/// Until the stop, also if the owner is gone.
async fn told(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
