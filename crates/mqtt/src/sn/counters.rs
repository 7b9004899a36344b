//! What a gateway counts.

use super::budget::Budget;
use super::session::{Loss, Note};
use protocol::sn::ReturnCode;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why something was refused: by the session, or at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Congestion,
    InvalidTopicId,
    NotSupported,
    /// As many clients as there may be.
    Clients,
    /// As many are connecting as may at a time.
    Handshakes,
    /// As many are connecting from one address.
    Source,
    /// A client id that belongs to somebody with a key, or another than the key's.
    Identity,
    /// A client id that names no device.
    ClientId,
    /// Not MQTT-SN 1.2.
    Protocol,
    /// Not connected.
    Stranger,
}

const REASONS: [&str; 10] =
    ["congestion", "invalid_topic_id", "not_supported", "clients", "handshakes", "source", "identity", "client_id", "protocol", "stranger"];

/// Why a message was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    Full,
    TooLarge,
    Topics,
    Unwanted,
    NoLink,
    /// A client says more than can be taken.
    Inbox,
    /// A publish of QoS −1 that names no known topic, or for which there was no room.
    Anonymous,
    /// The operating system did not take it.
    Socket,
}

const LOSSES: [&str; 8] = ["full", "too_large", "topics", "unwanted", "no_link", "inbox", "anonymous", "socket"];

const _: () = assert!(Reason::Stranger as usize + 1 == REASONS.len());
const _: () = assert!(Dropped::Socket as usize + 1 == LOSSES.len());

/// The counts, as everybody writes them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) clients: AtomicU64,
    pub(super) asleep: AtomicU64,
    pub(super) connected: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) malformed: AtomicU64,
    publishes_in: AtomicU64,
    publishes_out: AtomicU64,
    retries: AtomicU64,
    refused: [AtomicU64; REASONS.len()],
    dropped: [AtomicU64; LOSSES.len()],
}

/// The counts at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayStats {
    /// Clients, those included that are connecting.
    pub clients: u64,
    /// Those that sleep.
    pub asleep: u64,
    /// Bytes of messages that wait.
    pub buffered_bytes: u64,
    /// Connections that were accepted.
    pub connected: u64,
    /// Clients that fell silent.
    pub lost: u64,
    /// Publishes of clients that went to the broker.
    pub publishes_in: u64,
    /// Publishes that went to clients.
    pub publishes_out: u64,
    /// Messages that were sent again.
    pub retries: u64,
    /// Datagrams that mean nothing.
    pub malformed: u64,
    /// What was refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// What was dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// Something was refused.
    pub(super) fn refuse(&self, reason: Reason) {
        if let Some(counter) = self.refused.get(reason as usize) {
            count(counter);
        }
    }

    /// A message was dropped.
    pub(super) fn drop_one(&self, why: Dropped) {
        if let Some(counter) = self.dropped.get(why as usize) {
            count(counter);
        }
    }

    /// A publish of QoS −1 went to the broker.
    pub(super) fn published(&self) {
        count(&self.publishes_in);
    }

    /// What a session notes.
    pub(super) fn note(&self, note: Note) {
        match note {
            Note::PublishIn => count(&self.publishes_in),
            Note::PublishOut => count(&self.publishes_out),
            Note::Retry => count(&self.retries),
            Note::Refused(code) => match code {
                ReturnCode::Congestion | ReturnCode::Accepted => self.refuse(Reason::Congestion),
                ReturnCode::InvalidTopicId => self.refuse(Reason::InvalidTopicId),
                ReturnCode::NotSupported => self.refuse(Reason::NotSupported),
            },
            Note::Dropped(loss) => self.drop_one(match loss {
                Loss::Full => Dropped::Full,
                Loss::TooLarge => Dropped::TooLarge,
                Loss::Topics => Dropped::Topics,
                Loss::Unwanted => Dropped::Unwanted,
                Loss::NoLink => Dropped::NoLink,
            }),
        }
    }

    /// The counts now.
    pub(super) fn stats(&self, budget: &Arc<Budget>) -> GatewayStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        GatewayStats {
            clients: read(&self.clients),
            asleep: read(&self.asleep),
            buffered_bytes: budget.used() as u64,
            connected: read(&self.connected),
            lost: read(&self.lost),
            publishes_in: read(&self.publishes_in),
            publishes_out: read(&self.publishes_out),
            retries: read(&self.retries),
            malformed: read(&self.malformed),
            refused: REASONS.into_iter().zip(self.refused.iter().map(read)).collect(),
            dropped: LOSSES.into_iter().zip(self.dropped.iter().map(read)).collect(),
        }
    }
}
