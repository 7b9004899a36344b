//! What comes from peers: checked, then into graph and archive.

use super::actor::{ANNOUNCE_BUSY, Core, CoreError};
use crate::store::Disk;
use crate::wire::{FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, Frame};
use commonware_resolver::{Outcome, Resolution};
use commonware_runtime::Spawner;
use commonware_utils::channel::oneshot;
use dag::{InsertError, Insertion};
use protocol::{Decode, Id, Message};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// Messages in one answer to a pull: the one asked for and its nearest ancestors.
const PULL_MESSAGES_MAX: usize = 256;
const _: () = assert!(PULL_MESSAGES_MAX <= FRAME_MESSAGES_MAX);
/// Pending messages dropped at once to make room.
const ROOM: usize = 64;

impl<E: Disk + Spawner> Core<E> {
    /// Whether a message is here, wherever.
    pub(super) async fn knows(&self, id: &Id) -> Result<bool, CoreError> {
        Ok(self.dag.contains(id) || self.dag.is_pending(id) || self.store.messages.has(*id).await?)
    }

    /// Checks a message and inserts it; what it lacks is wanted after `delay`.
    pub(super) async fn admit(&mut self, message: Arc<Message>, delay: Duration) -> Result<(), CoreError> {
        let id = message.id();
        if self.knows(&id).await? {
            return Ok(());
        }
        if !self.issuers.contains(&message.issuer) {
            self.refuse(&message, "its issuer is not in the committee");
            return Ok(());
        }
        if let Err(why) = message.verify(&self.network, self.genesis.subnet) {
            self.refuse(&message, &why.to_string());
            return Ok(());
        }
        self.insert(message, delay).await
    }

    fn refuse(&mut self, message: &Message, why: &str) {
        self.counts.refused += 1;
        debug!(message = %message.id(), issuer = %message.issuer, why, "refused a message");
    }

    /// Inserts a message whose signature is good.
    async fn insert(&mut self, message: Arc<Message>, delay: Duration) -> Result<(), CoreError> {
        let id = message.id();
        let mut settled = BTreeSet::new();
        for parent in &message.parents {
            if !self.dag.contains(parent) && self.store.messages.has(*parent).await? {
                settled.insert(*parent);
            }
        }
        let again = Arc::clone(&message);
        match self.dag.insert(message, &settled) {
            Ok(Insertion::Known) => {}
            Ok(Insertion::Pending { missing }) => {
                self.wanted.remove(&id);
                for parent in missing {
                    self.want(parent, delay);
                }
            }
            Ok(Insertion::Connected { vertices, evidence }) => {
                for e in &evidence {
                    self.counts.equivocations += 1;
                    warn!(issuer = %e.issuer, sequence = e.sequence, first = %e.first, second = %e.second, "an issuer signed two messages of one sequence");
                }
                for vertex in vertices {
                    self.save(&vertex).await?;
                    self.wanted.remove(&vertex.id());
                }
                self.grown = true;
                self.next_announce = self.next_announce.min(self.context.current() + ANNOUNCE_BUSY);
                self.bell.notify_one();
            }
            Err(InsertError::PendingFull { .. } | InsertError::IssuerPendingFull { .. }) if delay.is_zero() && self.make_room() => {
                Box::pin(self.insert(again, delay)).await?;
            }
            Err(why) => {
                self.counts.refused += 1;
                self.wanted.remove(&id);
                debug!(message = %id, %why, "refused a message");
            }
        }
        Ok(())
    }

    /// Drops pending messages that nobody waits for, to take in one that was asked for; gives whether any was
    /// there. They come again with the next announcement.
    fn make_room(&mut self) -> bool {
        let tips = self.dag.pending_tips();
        tips.iter().take(ROOM).filter(|id| self.dag.drop_pending(id)).count() > 0
    }

    /// Writes a connected message. Durable with the next sync.
    pub(super) async fn save(&mut self, message: &Message) -> Result<(), CoreError> {
        let index = self.store.messages.append(message.id(), &message.bytes().to_vec()).await?;
        self.arrivals.insert(message.id(), index);
        self.unconfirmed.insert(index);
        Ok(())
    }

    /// A peer's answer to a pull: the message asked for, then ancestors, each a parent of an earlier one. So
    /// every one of them is authenticated by the hash that was asked for, and a wrong one is the peer's fault.
    pub(super) async fn delivered(&mut self, key: Id, value: &[u8], verdict: oneshot::Sender<Outcome>) -> Result<(), CoreError> {
        let chained = |frame: Frame| {
            let mut allowed = BTreeSet::from([key]);
            for (i, message) in frame.0.iter().enumerate() {
                if !allowed.contains(&message.id()) || (i == 0 && message.id() != key) {
                    return None;
                }
                allowed.extend(message.parents.iter().copied());
            }
            (!frame.0.is_empty()).then_some(frame)
        };
        let Some(frame) = Frame::from_bytes(value).ok().and_then(chained) else {
            let _ = verdict.send(Outcome::Invalid);
            return Ok(());
        };
        let _ = verdict.send(Outcome::Resolved(Resolution::Complete));
        self.counts.pulled += frame.0.len() as u64;
        self.wanted.remove(&key);
        // oldest first, so that one answer does not ask for its own members
        for message in frame.0.into_iter().rev() {
            self.admit(message, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Answers a pull: the message, then its nearest ancestors. No answer means "not here".
    pub(super) async fn produce(&self, key: Id, answer: oneshot::Sender<bytes::Bytes>) -> Result<(), CoreError> {
        let (mut found, mut seen, mut bytes) = (Vec::new(), BTreeSet::new(), 0);
        let mut queue = VecDeque::from([key]);
        while let Some(id) = queue.pop_front() {
            if found.len() == PULL_MESSAGES_MAX {
                break;
            }
            let Some(message) = self.find(id).await? else { continue };
            bytes += message.bytes().len();
            if bytes > FRAME_BYTES_MAX {
                break;
            }
            // whoever asks for something new has what is confirmed, or asks again
            let new = !self.dag.is_confirmed(&key) && self.dag.contains(&key);
            queue.extend(message.parents.iter().filter(|p| !(new && self.dag.is_confirmed(p)) && seen.insert(**p)));
            found.push(message);
        }
        if !found.is_empty() {
            let _ = answer.send(Frame(found).to_bytes().into());
        }
        Ok(())
    }

    /// A connected message, from memory or disk.
    pub(super) async fn find(&self, id: Id) -> Result<Option<Arc<Message>>, CoreError> {
        if let Some(message) = self.dag.get(&id) {
            return Ok(Some(Arc::clone(message)));
        }
        match self.store.messages.get(id).await? {
            Some(bytes) => Ok(Some(Arc::new(self.store.messages.decode::<Message>(&bytes)?))),
            None => Ok(None),
        }
    }

    /// Decodes a stored message.
    pub(super) fn stored(&self, bytes: &[u8]) -> Result<Arc<Message>, CoreError> {
        Message::decode(bytes).map(Arc::new).map_err(|_| CoreError::Inconsistent("a stored message cannot be read"))
    }
}
