//! Opening what is on disk and going on from there.

use super::actor::{Core, CoreError, Counts, Limits, Outlets, Own};
use super::cuts::Executed;
use super::execution::Uncommitted;
use super::issuing::OWN_UNCONFIRMED_MAX;
use crate::state::{State, StateError};
use crate::store::{Confirmation, CutRecord, Disk, Store, Table};
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
pub(crate) struct Setup {
    pub(crate) genesis: Genesis,
    pub(crate) key: SecretKey,
    pub(crate) prefix: String,
    pub(crate) limits: Limits,
}

impl<E: Disk + Spawner> Core<E> {
    /// Opens archive and state and loads what is not confirmed.
    pub(crate) async fn open(
        context: E,
        setup: Setup,
        cache: &CacheRef,
        chain: Mailbox<Scheme, Standard<Block>>,
        outlets: Outlets,
        bell: Arc<Notify>,
    ) -> Result<Self, CoreError> {
        let Setup { genesis, key, prefix, limits } = setup;
        let network = genesis.network();
        let mut store = Store::open(&context, &prefix, cache).await?;
        let state = State::open(context.child("state"), &prefix, cache).await?;
        let (executed, floor) = executed(&genesis, &mut store, state.height()).await?;
        let now = context.current();
        let me = key.public_key();
        let mut core = Self {
            issuers: genesis.committee.validators().iter().map(|v| v.key).collect(),
            own: Own { next_sequence: 0, last: Unsigned::root(network), counted: 0, issued: 0, unsaved: Vec::new(), outbox: Vec::new() },
            dag: Dag::new(Unsigned::root(network), PENDING),
            arrivals: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            cuts: BTreeMap::new(),
            uncommitted: Uncommitted::default(),
            jobs: Vec::new(),
            finalized: VecDeque::new(),
            wanted: BTreeMap::new(),
            subscribers: Vec::new(),
            counts: Counts::default(),
            heard: BTreeMap::new(),
            next_push: now,
            next_announce: now,
            announced: Vec::new(),
            grown: false,
            context,
            genesis,
            network,
            key,
            me,
            limits,
            store,
            state,
            executed,
            outlets,
            chain,
            bell,
        };
        core.load(floor).await?;
        core.resume().await?;
        Ok(core)
    }

    /// Fills the graph from the table of messages, which is in causal order.
    async fn load(&mut self, floor: u64) -> Result<(), CoreError> {
        let next = self.store.messages.next();
        for index in floor.min(next.saturating_sub(RECENT_MESSAGES))..next {
            let Some(bytes) = self.store.messages.at(index).await? else { continue };
            let message: Arc<Message> = self.stored(&bytes)?;
            let id = message.id();
            let settled: BTreeSet<Id> = message.parents.iter().filter(|p| !self.dag.contains(p)).copied().collect();
            if !matches!(self.dag.insert(message, &settled), Ok(Insertion::Connected { .. })) {
                continue;
            }
            let confirmation = match self.store.confirmations.get(id).await? {
                Some(bytes) => Some(self.store.confirmations.decode::<Confirmation>(&bytes)?),
                None => None,
            };
            match confirmation.filter(|c| c.height <= self.executed.height) {
                Some(c) => self.dag.confirm(&[id], c.height),
                None => {
                    self.arrivals.insert(id, index);
                    self.unconfirmed.insert(index);
                }
            }
        }
        self.grown = !self.unconfirmed.is_empty();
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
async fn executed<E: Disk>(genesis: &Genesis, store: &mut Store<E>, height: u64) -> Result<(Executed, u64), CoreError> {
    let first = genesis.milestone();
    let digest = first.digest();
    let leaf = Milestone::history_leaf(&digest);
    match store.history.at(0).await? {
        Some(stored) if stored == leaf.encode() => {}
        Some(_) => return Err(CoreError::Inconsistent("its first milestone is not the one of this genesis")),
        None => store.history.put(0, leaf, &leaf.encode()).await?,
    }
    let range = history(&store.history, height + 1).await?;
    if height == 0 {
        return Ok((Executed { height, digest, time_ms: first.time_ms, range, state: None }, 0));
    }
    let record = store.cuts.at(height).await?.ok_or(CoreError::Inconsistent("the last executed milestone is missing"))?;
    let record: CutRecord = store.cuts.decode(&record)?;
    Ok((Executed { height, digest: record.milestone.digest(), time_ms: record.milestone.time_ms, range, state: None }, record.floor))
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
