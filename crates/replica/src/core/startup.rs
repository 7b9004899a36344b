//! Opening what is on disk and going on from there.

use super::actor::{Core, CoreError, Counts, Limits, Outlets, Own};
use super::cuts::Executed;
use super::execution::Uncommitted;
use super::fastpath::FastPath;
use super::issuing::{OWN_UNCONFIRMED_MAX, shifted, unix_ms};
use super::offences::Accusations;
use super::pace::Pace;
use super::rates::Rates;
use super::wanted::Wanted;
use crate::defences::Defences;
use crate::epochs::{Cue, Entry};
use crate::state::{State, StateError};
use crate::store::{Confirmation, CutRecord, Disk, Store, Table};
use crate::sync::Summits;
use crate::wire::{Block, Scheme};
use commonware_consensus::marshal::{core::Mailbox, standard::Standard};
use commonware_runtime::{Spawner, buffer::paged::CacheRef};
use commonware_utils::sync::Notify;
use dag::{Dag, Insertion};
use ledger::Key;
use protocol::merkle::{self, Range};
use protocol::{Decode, Encode, Genesis, Id, Message, Milestone, SecretKey, Unsigned};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Messages loaded although they are confirmed, so that the newest tips are known after a restart.
const RECENT_MESSAGES: u64 = 256;

/// Messages that may wait for a parent: as many of one issuer as it may have unconfirmed, with room to spare.
const PENDING: dag::Limits = dag::Limits { pending_max: 32_768, pending_per_issuer_max: 16_384 };
const _: () = assert!(PENDING.pending_per_issuer_max as u64 > OWN_UNCONFIRMED_MAX);

/// What the core is opened with.
pub(crate) struct Setup<E: Disk> {
    pub(crate) genesis: Genesis,
    pub(crate) key: SecretKey,
    pub(crate) prefix: String,
    pub(crate) limits: Limits,
    pub(crate) store: Store<E>,
    pub(crate) defences: Defences,
    pub(crate) clock_offset_ms: i64,
}

impl<E: Disk + Spawner> Core<E> {
    /// Opens archive and state and loads what is not confirmed.
    pub(crate) async fn open(
        context: E,
        setup: Setup<E>,
        cache: &CacheRef,
        chain: Mailbox<Scheme, Standard<Block>>,
        outlets: Outlets,
        bell: Arc<Notify>,
    ) -> Result<Self, CoreError> {
        let Setup { genesis, key, prefix, limits, mut store, defences, clock_offset_ms } = setup;
        let network = genesis.network();
        let state = State::open(context.child("state"), &prefix, cache, &genesis).await?;
        let (executed, last) = executed(&genesis, &mut store, state.height()).await?;
        let now = context.current();
        let me = key.public_key();
        let mut core = Self {
            committee: Vec::new(),
            issuers: BTreeSet::new(),
            accusations: Accusations::default(),
            frontier: BTreeMap::new(),
            suspects: BTreeSet::new(),
            rivals: BTreeSet::new(),
            own: Own {
                next_sequence: 0,
                last: Unsigned::root(network),
                counted: 0,
                issued: 0,
                unsaved: Vec::new(),
                payloads: VecDeque::new(),
                outbox: Vec::new(),
            },
            dag: Dag::new(Unsigned::root(network), PENDING),
            arrivals: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            cuts: BTreeMap::new(),
            uncommitted: Uncommitted::default(),
            jobs: Vec::new(),
            pace: Pace::default(),
            finalized: VecDeque::new(),
            wanted: Wanted::default(),
            subscribers: Vec::new(),
            counts: Counts::default(),
            rates: Rates::default(),
            fast: FastPath::new(me, unix_ms(shifted(now, clock_offset_ms)), now),
            heard: BTreeMap::new(),
            next_push: now,
            next_announce: now,
            summits: Summits::default(),
            pushed: Vec::new(),
            batch_seed: Id::hash(&[b"wattle/batch seed", &key.to_seed()]).0,
            needed: BTreeSet::new(),
            shown: None,
            next_prune: now,
            pruned: store.cuts.first()?.saturating_sub(1),
            stored_bytes: last.bytes,
            announced: Vec::new(),
            grown: false,
            context,
            genesis,
            network,
            key,
            me,
            limits,
            defences,
            clock_offset_ms,
            store,
            state,
            executed,
            outlets,
            chain,
            bell,
        };
        core.know_issuers().await?;
        core.load(last.floor).await?;
        core.resume().await?;
        core.load_payloads(last.payload_floor).await?;
        core.enter().await?;
        core.recover_fast_path().await?;
        Ok(core)
    }

    /// Brings what the state says of the registered validators.
    async fn know_issuers(&mut self) -> Result<(), CoreError> {
        let state = self.state.read(None, BTreeSet::from([Key::Candidates])).await?;
        for issuer in ledger::read_candidates(&state).map_err(StateError::from)?.0 {
            self.may_issue(issuer).await?;
        }
        Ok(())
    }

    /// Begins the epoch of the next milestone.
    async fn enter(&mut self) -> Result<(), CoreError> {
        let state = self.state.read(None, BTreeSet::from([Key::Epoch])).await?;
        let current = ledger::read_epoch(&state).map_err(StateError::from)?;
        if current.epoch != self.epoch_of(self.executed.height + 1) {
            return Err(CoreError::Inconsistent("its epoch is not the one of its last milestone"));
        }
        let boundary = match current.epoch.checked_sub(1) {
            None => self.genesis.milestone().digest(),
            Some(before) => self.closing(before).await?.digest(),
        };
        let previous = match current.epoch {
            0 => None,
            1 => Some(self.genesis.committee.validators().iter().map(|v| v.key).collect()),
            epoch => self.closing(epoch - 2).await?.next_committee,
        };
        self.committee.clone_from(&current.committee);
        self.fast.enter(current.epoch, current.committee.clone(), self.genesis.wallet_parameters.threshold_percent);
        self.tell_addresses(previous.as_deref().unwrap_or_default()).await?;
        let entry = Entry { epoch: current.epoch, committee: current.committee, previous, boundary };
        let before = entry.epoch.checked_sub(1);
        let _ = self.outlets.cues.send(Cue::Enter(entry));
        if let Some(before) = before {
            // a crash may have come before it was forgotten
            let _ = self.outlets.cues.send(Cue::Forget(before));
        }
        Ok(())
    }

    /// The closing milestone of an epoch that is over.
    async fn closing(&self, epoch: u64) -> Result<Milestone, CoreError> {
        let height = self.genesis.parameters.closing_height(epoch).unwrap_or(u64::MAX);
        self.header(height).await?.ok_or(CoreError::Inconsistent("a closing milestone is missing"))
    }

    /// Fills the graph from the table of messages, which is in causal order.
    async fn load(&mut self, floor: u64) -> Result<(), CoreError> {
        let next = self.store.messages.next();
        for index in floor.min(next.saturating_sub(RECENT_MESSAGES))..next {
            let Some(bytes) = self.store.messages.at(index).await? else { continue };
            let message: Arc<Message> = self.stored(&bytes)?;
            let id = message.id();
            let (issuer, sequence) = (message.issuer, message.sequence);
            self.may_issue(issuer).await?;
            let settled: BTreeSet<Id> = message.parents.iter().filter(|p| !self.dag.contains(p)).copied().collect();
            let Ok(Insertion::Connected { evidence, .. }) = self.dag.insert(message, &settled) else { continue };
            self.rivals.extend(evidence.iter().flat_map(|e| [e.first, e.second]));
            let confirmation = match self.store.confirmations.get(id).await? {
                Some(bytes) => Some(self.store.confirmations.decode::<Confirmation>(&bytes)?),
                None => None,
            };
            // the state says what is settled; the archive only says since when, and what of it counts
            if self.has_passed(&issuer, sequence) || self.is_void(issuer, sequence, &id).await? {
                let confirmation = confirmation.filter(|c| c.height <= self.executed.height);
                self.dag.confirm(&[id], confirmation.map_or(self.executed.height, |c| c.height));
                if confirmation.is_none_or(|c| c.index.is_none()) {
                    self.dag.abandon(&[id]);
                }
            } else {
                self.arrivals.insert(id, index);
                self.unconfirmed.insert(index);
            }
        }
        self.grown = !self.unconfirmed.is_empty();
        Ok(())
    }

    /// Finds the payloads of own messages that are not confirmed.
    async fn load_payloads(&mut self, floor: u64) -> Result<(), CoreError> {
        for place in floor..self.store.payloads.next() {
            if let Some((message, _)) = self.payload_at(place).await?.filter(|(m, _)| m.sequence >= self.own.counted) {
                self.own.payloads.push_back((message.sequence, place));
            }
        }
        Ok(())
    }

    /// Finds the end of the own chain: the account knows what counted, the graph what came after.
    async fn resume(&mut self) -> Result<(), CoreError> {
        let accounts = self.state.read(None, BTreeSet::from([Key::Account(self.me)])).await?;
        if let Some(account) = ledger::read_account(&accounts, self.me).map_err(StateError::from)? {
            self.own.next_sequence = account.next_sequence;
            self.own.counted = account.next_sequence;
            self.own.last = account.last;
        }
        for index in &self.unconfirmed {
            let Some(bytes) = self.store.messages.at(*index).await? else { continue };
            let message = Message::decode(&bytes).map_err(|_| CoreError::Inconsistent("a stored message cannot be read"))?;
            if message.issuer == self.me && message.sequence >= self.own.next_sequence {
                self.own.next_sequence = message.sequence + 1;
                self.own.last = message.id();
            }
        }
        self.own.issued = self.own.next_sequence;
        Ok(())
    }
}

/// The last milestone whose effects are complete, and where to load messages from.
async fn executed<E: Disk>(genesis: &Genesis, store: &mut Store<E>, height: u64) -> Result<(Executed, CutRecord), CoreError> {
    let first = genesis.milestone();
    let digest = first.digest();
    let leaf = Milestone::history_leaf(&digest);
    match store.history.at(0).await? {
        Some(stored) if stored == leaf.encode() => {}
        Some(_) => return Err(CoreError::Inconsistent("its first milestone is not the one of this genesis")),
        None => {
            store.history.put(0, leaf, &leaf.encode()).await?;
            store.history.sync().await?;
        }
    }
    let range = history(&store.history, height + 1).await?;
    if height == 0 {
        let nothing = CutRecord { floor: 0, payload_floor: 0, confirmations: 0, spent: 0, bytes: 0, counted: Vec::new(), void: Vec::new() };
        return Ok((Executed { height, digest, time_ms: first.time_ms, range, state: None }, nothing));
    }
    let missing = CoreError::Inconsistent("the last executed milestone is missing");
    let milestone: Milestone = store.headers.decode(&store.headers.at(height).await?.ok_or(missing)?)?;
    let missing = CoreError::Inconsistent("what the last executed milestone confirmed is missing");
    let record: CutRecord = store.cuts.decode(&store.cuts.at(height).await?.ok_or(missing)?)?;
    Ok((Executed { height, digest: milestone.digest(), time_ms: milestone.time_ms, range, state: None }, record))
}

/// The tree of history with `size` leaves, from its stored nodes.
pub(crate) async fn history<E: Disk>(table: &Table<E>, size: u64) -> Result<Range, CoreError> {
    let mut peaks = Vec::new();
    for (level, at) in Range::peaks_of(size) {
        let node = table.at(merkle::position(level, at)).await?.ok_or(CoreError::Inconsistent("a node of the history is missing"))?;
        peaks.push(table.decode(&node)?);
    }
    Range::from_peaks(size, peaks).ok_or(CoreError::Inconsistent("the history does not add up"))
}
