//! What devices ask of each other (`root/device/<site>/<ID>/request`), and what they report of commands that somebody paid for
//! (`…/report`): who takes it.
//!
//! The ingress knows the topics and answers the publish; what a request means, and where it goes, is somebody else's
//! ([`RequestDesk`], [`ReportDesk`]).

use async_trait::async_trait;
use protocol::DeviceName;
use std::fmt;
use thiserror::Error;

/// Bytes of a request's payload.
pub const REQUEST_PAYLOAD_BYTES_MAX: usize = 8 * 1024;
const _: () = assert!(REQUEST_PAYLOAD_BYTES_MAX > 4 * protocol::limits::REQUEST_VALUE_BYTES_MAX);

/// Why a site whose parts are processes of their own takes no requests (REQ-13).
pub const NOT_IN_PARTS: &str =
    "this site takes no requests of devices: its broker and its ledger node are parts that talk only MQTT (site.roles)";

/// Bytes of a report's payload.
pub const REPORT_PAYLOAD_BYTES_MAX: usize = 2 * 1024;

/// Why a request, or a report, was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotAsked {
    /// It never will be; why, for the device's owner.
    #[error("{0}")]
    Refused(String),
    /// It cannot be now: it may be sent again.
    #[error("it cannot be taken now: send it again later")]
    Later,
}

/// Takes the requests of a site's devices.
#[async_trait]
pub trait RequestDesk: fmt::Debug + Send + Sync {
    /// Takes the request that `from` published; returns once it is durable. `arrival_us`: when it came, in microseconds since
    /// 1970.
    ///
    /// # Errors
    /// [`NotAsked`]: nothing was kept.
    async fn ask(&self, from: DeviceName, payload: &[u8], arrival_us: u64) -> Result<(), NotAsked>;
}

/// Takes what a site's devices report of commands that somebody paid for.
#[async_trait]
pub trait ReportDesk: fmt::Debug + Send + Sync {
    /// Takes the report that `from` published; returns once it is durable.
    ///
    /// # Errors
    /// [`NotAsked`]: nothing was kept.
    async fn report(&self, from: DeviceName, payload: &[u8]) -> Result<(), NotAsked>;
}
