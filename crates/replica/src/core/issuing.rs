//! Issuing: batches and data become messages of this node.

use super::actor::{Core, CoreError, IssueReply, Unsaved};
use super::offences::CAUGHT_UP_MS;
use crate::handle::{IssueError, Issued};
use crate::store::{Disk, payload_record};
use commonware_runtime::Spawner;
use commonware_utils::channel::oneshot;
use dag::Insertion;
use protocol::{Batch, Body, Decode, Encode, Unsigned};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Own messages that may wait for a milestone. A node that is cut off keeps issuing up to here; what comes
/// then stays in the site's log. Peers can hold as many pending (see `PENDING` in the startup), so a long
/// chain merges when the node is back.
pub use protocol::limits::OWN_UNCONFIRMED_MAX;

/// Milliseconds since 1970.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `time` as a clock shows it that is ahead by `offset_ms`, or behind if it is negative.
pub(crate) fn shifted(time: SystemTime, offset_ms: i64) -> SystemTime {
    let by = Duration::from_millis(offset_ms.unsigned_abs());
    let moved = if offset_ms < 0 { time.checked_sub(by) } else { time.checked_add(by) };
    moved.unwrap_or(time)
}

impl<E: Disk + Spawner> Core<E> {
    /// Builds, signs and inserts a message. The answer goes out once it is durable.
    pub(super) async fn issue(&mut self, body: Body, payload: Option<Vec<u8>>, reply: IssueReply) -> Result<(), CoreError> {
        let waiting = self.own.next_sequence.saturating_sub(self.own.counted);
        let refusal = if !self.may_issue(self.me).await? {
            Err(IssueError::Stranger(self.me))
        } else if self.own.next_sequence == u64::MAX {
            Err(IssueError::Barred(self.me))
        } else if waiting >= OWN_UNCONFIRMED_MAX && !matches!(body, Body::EndOfEpoch { .. }) {
            Err(IssueError::Backlog(waiting))
        } else {
            check(&body, payload.as_deref())
        };
        if let Err(why) = refusal {
            let _ = reply.send(Err(why));
            return Ok(());
        }
        let unsigned = Unsigned {
            network: self.network,
            subnet: self.genesis.subnet,
            issuer: self.me,
            sequence: self.own.next_sequence,
            parents: self.dag.parents_for(&self.me, self.own.last),
            issued_at_ms: unix_ms(shifted(self.context.current(), self.clock_offset_ms)),
            votes: self.fast.ballots(&body),
            body,
            pow_nonce: 0,
        };
        let unsigned = match self.metered(unsigned).await? {
            Ok(unsigned) => unsigned,
            Err(why) => {
                let _ = reply.send(Err(why));
                return Ok(());
            }
        };
        let message = Arc::new(unsigned.sign(&self.key));
        let id = message.id();
        self.enrol(&message).await?;
        if !matches!(self.dag.insert(Arc::clone(&message), &BTreeSet::from([self.own.last])), Ok(Insertion::Connected { .. })) {
            return Err(CoreError::Inconsistent("an own message does not fit the graph"));
        }
        self.own.next_sequence += 1;
        self.own.last = id;
        self.own.issued += 1;
        self.fast.cast(&message.votes);
        self.fast.hear(&message);
        self.own.unsaved.push(Unsaved { message, payload, reply });
        self.grown = true;
        Ok(())
    }

    /// Shows once an epoch that a validator outside the committee is there: it is elected only if a message of its counts.
    pub(super) async fn sign_of_life(&mut self) -> Result<(), CoreError> {
        let epoch = self.epoch_of(self.executed.height + 1);
        let now = self.context.current();
        let behind = unix_ms(now).saturating_sub(self.executed.time_ms) > CAUGHT_UP_MS;
        if self.shown == Some(epoch) || now < self.next_announce || behind || self.committee.contains(&self.me) {
            return Ok(());
        }
        if self.may_issue(self.me).await? {
            self.shown = Some(epoch);
            let (reply, _) = oneshot::channel();
            self.issue(Body::Data(Vec::new()), None, reply).await?;
        }
        Ok(())
    }

    /// Makes what was issued durable, then answers and lets it be pushed. Payloads first: a message must never be
    /// found on disk without its own. And votes before the messages that carry them.
    pub(super) async fn save_issued(&mut self) -> Result<(), CoreError> {
        self.save_ballots().await?;
        if self.own.unsaved.is_empty() {
            return Ok(());
        }
        let issued = std::mem::take(&mut self.own.unsaved);
        let mut places = Vec::with_capacity(issued.len());
        // the messages are appended below, one after the other
        for (one, index) in issued.iter().zip(self.store.messages.next()..) {
            places.push(self.keep_payload(one, index).await?);
        }
        self.store.payloads.sync().await?;
        for one in &issued {
            self.save(&one.message).await?;
        }
        self.store.messages.sync().await?;
        for (Unsaved { message, reply, .. }, place) in issued.into_iter().zip(places) {
            let _ = reply.send(Ok(Issued { message: message.id(), place }));
            self.own.outbox.push(message);
        }
        self.bell.notify_one();
        Ok(())
    }

    /// Writes the payload of an own message that will stand at `index` among all messages; gives its place.
    async fn keep_payload(&mut self, one: &Unsaved, index: u64) -> Result<Option<u64>, CoreError> {
        let (Body::Readings { blob, .. }, Some(payload)) = (&one.message.body, &one.payload) else { return Ok(None) };
        let record = payload_record(index, payload);
        let place = self.store.payloads.append(*blob, &record).await?;
        self.own.payloads.push_back((one.message.sequence, place));
        self.stored_bytes += record.len() as u64;
        Ok(Some(place))
    }
}

/// A body must be one that every peer will decode, and its payload the one it names.
fn check(body: &Body, payload: Option<&[u8]>) -> Result<(), IssueError> {
    Body::decode(&body.encode()).map_err(IssueError::Invalid)?;
    match (body, payload) {
        (Body::Readings { blob, bytes, .. }, Some(payload)) if Batch::blob_digest(payload) == *blob && payload.len() == *bytes as usize => {
            Ok(())
        }
        (Body::Readings { .. }, _) => Err(IssueError::Payload),
        (_, None) => Ok(()),
        _ => Err(IssueError::Payload),
    }
}
