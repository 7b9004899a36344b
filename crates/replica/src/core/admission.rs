//! What comes from peers: checked, then into graph and archive.

use super::actor::{ANNOUNCE_BUSY, Core, CoreError, PULL_DELAY};
use super::refusal::Refusal;
use super::wanted::Source;
use crate::defences::Defences;
use crate::state::StateError;
use crate::store::Disk;
use crate::wire::{FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, Frame};
use commonware_resolver::{Outcome, Resolution};
use commonware_runtime::Spawner;
use commonware_utils::channel::oneshot;
use dag::{InsertError, Insertion};
use ledger::Key;
use protocol::{Decode, Evidence, Id, Message, MessageError, PublicKey};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// Messages in one answer to a pull: the one asked for and its nearest ancestors.
const PULL_MESSAGES_MAX: usize = 256;
const _: () = assert!(PULL_MESSAGES_MAX <= FRAME_MESSAGES_MAX);
/// Signatures verified together, at least (fewer are as fast one by one) and at most.
const BATCH_MIN: usize = 4;
const BATCH_MAX: usize = 256;
/// Pending messages dropped at once to make room.
const ROOM: usize = 64;

impl<E: Disk + Spawner> Core<E> {
    /// Whether a message is here, wherever.
    pub(super) async fn knows(&self, id: &Id) -> Result<bool, CoreError> {
        Ok(self.dag.contains(id) || self.dag.is_pending(id) || (self.defences.archive && self.was_settled(id).await?))
    }

    /// Checks network, subnet and signature: those that are not switched off.
    fn verdict(&self, message: &Message) -> Result<(), MessageError> {
        let Defences { signatures, network, .. } = self.defences;
        let subnet = if network { self.genesis.subnet } else { message.subnet };
        match message.verify(&self.network, subnet) {
            Err(MessageError::Network) if !network => Ok(()),
            Err(MessageError::Signature) if !signatures => Ok(()),
            verdict => verdict,
        }
    }

    /// Takes in what peers pushed in this round.
    pub(super) async fn admit_pushed(&mut self) -> Result<(), CoreError> {
        let pushed = std::mem::take(&mut self.pushed);
        self.admit_all(pushed, PULL_DELAY).await
    }

    /// Takes in messages; their signatures are verified together.
    async fn admit_all(&mut self, messages: Vec<Arc<Message>>, delay: Duration) -> Result<(), CoreError> {
        let mut fresh = Vec::with_capacity(messages.len());
        for message in messages {
            if !self.knows(&message.id()).await? {
                fresh.push(message);
            }
        }
        for together in fresh.chunks(BATCH_MAX) {
            let borrowed: Vec<&Message> = together.iter().map(|m| &**m).collect();
            let authentic =
                together.len() >= BATCH_MIN && Message::verify_all(&borrowed, &self.network, self.genesis.subnet, self.batch_seed);
            for message in together {
                self.admit(Arc::clone(message), delay, authentic).await?;
            }
        }
        Ok(())
    }

    /// Checks a message, unless it is known to be authentic, and inserts it; what it lacks is wanted after `delay`.
    async fn admit(&mut self, message: Arc<Message>, delay: Duration, authentic: bool) -> Result<(), CoreError> {
        let id = message.id();
        if self.knows(&id).await? {
            return Ok(());
        }
        if !self.may_issue(message.issuer).await? {
            self.refuse(id, message.issuer, Refusal::NotAnIssuer);
            return Ok(());
        }
        let passed = self.defences.archive && self.defences.conflicts && self.has_passed(&message.issuer, message.sequence);
        let settled = passed || self.is_void(message.issuer, message.sequence, &id).await?;
        // what is final must be executed, whatever its issuer owed
        let needed = self.needed.contains(&id);
        if !settled
            && !needed
            && let Err(why) = self.judge(&message, !delay.is_zero()).await?
        {
            self.refuse(id, message.issuer, why);
            return Ok(());
        }
        if !authentic && let Err(why) = self.verdict(&message) {
            self.refuse(id, message.issuer, why.into());
            return Ok(());
        }
        if settled {
            return self.insert_settled(&message, delay.is_zero()).await;
        }
        self.insert(message, delay).await
    }

    /// Takes in a message that is settled: one that this node had dropped or never had, or a rival of one that counts. No
    /// milestone will confirm it; it is kept only if others wait for it.
    pub(super) async fn insert_settled(&mut self, message: &Arc<Message>, pulled: bool) -> Result<(), CoreError> {
        let id = message.id();
        self.wanted.remove(&id);
        if let Some(rival) = self.dag.at(&message.issuer, message.sequence).filter(|rival| *rival != id)
            && let Some(rival) = self.find(rival).await?
        {
            self.counts.equivocations += 1;
            self.accusations.hear(Evidence::messages(message.head(), rival.head()));
        }
        if !pulled || !self.dag.awaits(&id) {
            return Ok(());
        }
        self.store.messages.append(id, &message.bytes().to_vec()).await?;
        self.stored_bytes += message.bytes().len() as u64;
        self.enrol_settled(message).await?;
        let connected = self.dag.settle_parent(&id);
        self.connected(connected).await
    }

    /// Whether a validator of this key was ever registered. It stays true, so that no two nodes that have executed the
    /// same milestones judge differently.
    pub(super) async fn may_issue(&mut self, issuer: PublicKey) -> Result<bool, CoreError> {
        if self.issuers.contains(&issuer) {
            return Ok(true);
        }
        let keys = BTreeSet::from([Key::Validator(issuer), Key::Account(issuer)]);
        let state = self.state.read(self.executed.state.as_ref(), keys).await?;
        let registered = ledger::read_validator(&state, issuer).map_err(StateError::from)?.is_some();
        if registered {
            self.issuers.insert(issuer);
            if let Some(account) = ledger::read_account(&state, issuer).map_err(StateError::from)? {
                self.mark(issuer, &account);
            }
        }
        Ok(registered)
    }

    /// Counts a message that is not admitted.
    pub(super) fn refuse(&mut self, id: Id, issuer: PublicKey, why: Refusal) {
        *self.counts.refusals.entry(why.kind()).or_default() += 1;
        debug!(message = %id, %issuer, %why, "refused a message");
    }

    /// Inserts a message whose signature is good.
    async fn insert(&mut self, message: Arc<Message>, delay: Duration) -> Result<(), CoreError> {
        let id = message.id();
        let mut settled = BTreeSet::new();
        for parent in &message.parents {
            if !self.dag.contains(parent) && self.was_settled(parent).await? {
                settled.insert(*parent);
            }
        }
        self.enrol(&message).await?;
        let again = Arc::clone(&message);
        match self.dag.insert(message, &settled) {
            Ok(Insertion::Known) => {}
            Ok(Insertion::Pending { missing }) => {
                self.wanted.remove(&id);
                if self.needed.contains(&id) {
                    self.needed.extend(missing.iter().copied());
                }
                for parent in missing {
                    self.want_from(parent, delay, Source::Issuer(again.issuer));
                }
            }
            Ok(connected @ Insertion::Connected { .. }) => self.connected(connected).await?,
            Err(InsertError::PendingFull { .. }) if delay.is_zero() && self.make_room(None) => {
                Box::pin(self.insert(again, delay)).await?;
            }
            Err(InsertError::IssuerPendingFull { issuer, .. }) if delay.is_zero() && self.make_room(Some(issuer)) => {
                Box::pin(self.insert(again, delay)).await?;
            }
            Err(why) => {
                self.rates.forget(&id);
                self.wanted.remove(&id);
                self.refuse(id, again.issuer, why.into());
            }
        }
        Ok(())
    }

    /// Takes note of what the graph connected.
    async fn connected(&mut self, insertion: Insertion<Arc<Message>>) -> Result<(), CoreError> {
        let Insertion::Connected { vertices, evidence } = insertion else { return Ok(()) };
        for e in &evidence {
            self.counts.equivocations += 1;
            self.prove(e).await?;
            self.rivals.extend([e.first, e.second]);
            warn!(issuer = %e.issuer, sequence = e.sequence, first = %e.first, second = %e.second, "an issuer signed two messages of one sequence");
        }
        for vertex in vertices {
            if self.has_passed(&vertex.issuer, vertex.sequence) {
                // it waited until its issuer had gone past it: the next milestone settles it
                self.rivals.insert(vertex.id());
            }
            self.save(&vertex).await?;
            self.count_in(&vertex);
            if vertex.issuer == self.me {
                self.abstain();
            }
            self.fast.hear(&vertex);
            self.wanted.remove(&vertex.id());
        }
        self.grown = true;
        self.next_announce = self.next_announce.min(self.context.current() + ANNOUNCE_BUSY);
        self.bell.notify_one();
        Ok(())
    }

    /// Drops pending messages that nobody waits for, of one issuer or of anybody, to take in one that was asked for;
    /// gives whether any was there. They come again with the next announcement.
    fn make_room(&mut self, of: Option<PublicKey>) -> bool {
        let mut dropped = false;
        for id in self.dag.pending_tips(of.as_ref()).iter().take(ROOM) {
            self.rates.forget(id);
            dropped |= self.dag.take_pending(id).is_some();
        }
        dropped
    }

    /// Writes a connected message. Durable with the next sync.
    pub(super) async fn save(&mut self, message: &Message) -> Result<(), CoreError> {
        let index = self.store.messages.append(message.id(), &message.bytes().to_vec()).await?;
        self.stored_bytes += message.bytes().len() as u64;
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
        self.admit_all(frame.0.into_iter().rev().collect(), Duration::ZERO).await
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
            let _ = answer.send(Frame(found, Vec::new()).to_bytes().into());
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
