//! What was refused, by reason.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A connection: unknown user, or wrong password.
    Credentials,
    /// A connection: no credentials where some are needed.
    Anonymous,
    /// A connection: a token that is not genuine, or not for us.
    Token,
    /// A connection: a token or certificate whose time is over.
    Expired,
    /// A connection: a revoked certificate, or one that its authority does not stand for any more.
    Revoked,
    /// A connection: a user or device that is disabled or barred.
    Disabled,
    /// A connection: a certificate or token that names no device of this site and no user.
    Subject,
    /// A connection: a client id that cannot be one, or belongs to somebody else's session.
    ClientId,
    /// A connection: a will for a topic that may not be published to.
    Will,
    /// A connection: too many passwords wait to be verified.
    Busy,
    /// A connection that did not come through one of our listeners.
    Stranger,
    /// A connection: too many at once, or in a second.
    ConnectionRate,
    /// A connection: no TLS handshake, or no CONNECT in time.
    Handshake,
    /// A subscription to what the identity may not read.
    SubscribeDenied,
    /// A subscription whose filter is none.
    SubscribeFilter,
    /// A subscription more than a client may have.
    SubscribeQuota,
    /// A publish to a topic that is not the identity's.
    PublishDenied,
    /// A publish beyond the client's rate.
    PublishRate,
    /// A connection behind the front that ended before it sent a CONNECT that could be judged.
    NoConnect,
    /// A connected client that was closed for a packet against the protocol.
    Malformed,
}

/// How many reasons there are.
const REASONS: usize = 20;
/// Every reason, with what it is about and its name in metrics and logs.
const TABLE: [(Refused, &str, &str); REASONS] = [
    (Refused::Credentials, "connect", "credentials"),
    (Refused::Anonymous, "connect", "anonymous"),
    (Refused::Token, "connect", "token"),
    (Refused::Expired, "connect", "expired"),
    (Refused::Revoked, "connect", "revoked"),
    (Refused::Disabled, "connect", "disabled"),
    (Refused::Subject, "connect", "subject"),
    (Refused::ClientId, "connect", "client_id"),
    (Refused::Will, "connect", "will"),
    (Refused::Busy, "connect", "busy"),
    (Refused::Stranger, "connect", "stranger"),
    (Refused::ConnectionRate, "connect", "rate"),
    (Refused::Handshake, "connect", "handshake"),
    (Refused::SubscribeDenied, "subscribe", "denied"),
    (Refused::SubscribeFilter, "subscribe", "filter"),
    (Refused::SubscribeQuota, "subscribe", "quota"),
    (Refused::PublishDenied, "publish", "denied"),
    (Refused::PublishRate, "publish", "rate"),
    (Refused::NoConnect, "connect", "malformed"),
    (Refused::Malformed, "packet", "malformed"),
];

impl Refused {
    /// Its name in metrics and logs.
    #[must_use]
    pub fn reason(self) -> &'static str {
        TABLE.iter().find(|(refused, ..)| *refused == self).map_or("", |(_, _, reason)| *reason)
    }

    /// Whether a CONNECT is answered with "bad user name or password" (MQTT 5: 0x86, 3.1.1: 4). Everything else is
    /// answered with "not authorised" (0x87, 5).
    #[must_use]
    pub fn is_credentials(self) -> bool {
        matches!(self, Self::Credentials | Self::Token)
    }
}

/// What was counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessReport {
    /// What was refused: "connect", "subscribe", "publish" or "packet"; the reason; how often.
    pub refused: Vec<(&'static str, &'static str, u64)>,
    /// Connections that were closed because their right to be there ended.
    pub closed: u64,
    /// Times that files were read anew.
    pub reloads: u64,
    /// Times that files could not be used, and the old ones stayed in force.
    pub reloads_failed: u64,
}

/// Counts.
#[derive(Debug, Default)]
pub struct AccessCounters {
    refused: [AtomicU64; REASONS],
    closed: AtomicU64,
    reloads: AtomicU64,
    reloads_failed: AtomicU64,
}

impl AccessCounters {
    /// Counts a refusal.
    pub fn refused(&self, why: Refused) {
        for ((refused, ..), counter) in TABLE.iter().zip(&self.refused) {
            if *refused == why {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Counts connections that were closed.
    pub fn closed(&self, connections: u64) {
        self.closed.fetch_add(connections, Ordering::Relaxed);
    }

    /// Counts a reload.
    pub fn reloaded(&self, successful: bool) {
        let counter = if successful { &self.reloads } else { &self.reloads_failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted.
    #[must_use]
    pub fn report(&self) -> AccessReport {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AccessReport {
            refused: TABLE.iter().zip(&self.refused).map(|((_, what, reason), counter)| (*what, *reason, read(counter))).collect(),
            closed: read(&self.closed),
            reloads: read(&self.reloads),
            reloads_failed: read(&self.reloads_failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_under_a_name_of_its_own() {
        let counters = AccessCounters::default();
        for (i, (refused, what, reason)) in TABLE.iter().enumerate() {
            assert_eq!(refused.reason(), *reason);
            assert!(!TABLE.iter().skip(i + 1).any(|(_, w, r)| (w, r) == (what, reason)), "{what} {reason} twice");
            counters.refused(*refused);
        }
        assert!(counters.report().refused.iter().all(|(_, _, count)| *count == 1));
        counters.closed(2);
        counters.reloaded(false);
        let report = counters.report();
        assert_eq!((report.closed, report.reloads, report.reloads_failed), (2, 0, 1));
    }
}
