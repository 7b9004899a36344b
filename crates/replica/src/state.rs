//! The authenticated state: the ledger's map on QMDB (`current`), so that every value is provable against
//! `state_root`.
//!
//! A milestone is executed as soon as it is verified, on top of the state of its parent, which may not be
//! final itself; such a [`Speculation`] is a batch that is either applied when its milestone is final, or
//! dropped. The batch's metadata holds the milestone's height, so a restart knows how far the state got.

use crate::core::Refused;
use crate::store::Disk;
use crate::sync::{Flaw, StateSource};
use crate::wire::{Digest, digest, id};
use commonware_codec::{Decode as _, DecodeExt as _, RangeCfg};
use commonware_cryptography::Sha256;
use commonware_parallel::Sequential;
use commonware_runtime::{Spawner, buffer::paged::CacheRef};
use commonware_storage::{
    journal::contiguous::variable,
    merkle::{Location, full::Config as MerkleConfig, mmr},
    qmdb::{
        Error,
        any::{
            unordered::{Update, variable as variable_any},
            value::VariableEncoding,
        },
        current::{
            VariableConfig,
            batch::MerkleizedBatch,
            proof::OpsRootWitness,
            unordered::{proof::constant::KeyValueProof, variable::Db},
        },
        floor::Proportional,
        sync,
    },
    translator::EightCap,
};
use commonware_utils::{NZU64, NZUsize, range::NonEmptyRange};
use ledger::{Account, ApplyError, Changes, Key, MemoryStore, Overlay, Rules};
use protocol::{Genesis, Id, Message, PublicKey};
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::sync::Arc;
use thiserror::Error as ThisError;
use tracing::debug;

/// Bytes of one value of the state.
pub(crate) const STATE_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Entries of the log in one answer to a joining node, and applied at once.
const SYNC_BATCH: NonZeroU64 = NZU64!(512);
/// Bytes of a chunk of the activity bitmap.
const CHUNK: usize = 32;
/// Bytes of the engine's proof of one value.
pub(crate) const PROOF_BYTES_MAX: usize = 8 * 1024;
/// Hashes in it: siblings and peaks of a log of any size.
const PROOF_DIGESTS_MAX: usize = 192;
const _: () = assert!(PROOF_DIGESTS_MAX * 32 + CHUNK + 256 <= PROOF_BYTES_MAX);

/// The engine's family of trees.
pub(crate) type Family = mmr::Family;
/// What the engine decodes an entry of the log by.
type OperationConfig = ((), (RangeCfg<usize>, ()));
/// An entry of the state's log.
pub(crate) type Operation = variable_any::Operation<Family, Digest, Vec<u8>>;
type Database<E> = Db<mmr::Family, E, Digest, Vec<u8>, Sha256, EightCap, CHUNK, Sequential>;
type ValueProof = KeyValueProof<Family, Digest, CHUNK>;
type Batch = MerkleizedBatch<mmr::Family, Digest, Update<Digest, VariableEncoding<Vec<u8>>>, CHUNK, Sequential>;

/// Why the state cannot go on: the node stops.
#[derive(Debug, ThisError)]
pub(crate) enum StateError {
    #[error("the state's storage: {0}")]
    Storage(#[from] Error<mmr::Family>),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("the state's storage was lost by an earlier error")]
    Lost,
    #[error("the state's height record is damaged")]
    Height,
}

/// The state after a milestone that is not applied yet.
#[derive(Clone)]
pub(crate) struct Speculation(Arc<Batch>);

impl Speculation {
    pub(crate) fn root(&self) -> Id {
        id(self.0.root())
    }
}

/// What executing a milestone leads to.
pub(crate) struct Outcome {
    /// The state after it.
    pub(crate) state: Speculation,
    /// Orders and evidence in it that have no effect.
    pub(crate) refused: Refused,
    /// Issuers of which void messages are or were remembered, and met in it, as they stand after it.
    pub(crate) suspects: Vec<(PublicKey, Account)>,
    /// Requests that it executes, in order.
    pub(crate) spent: Vec<ledger::Executed>,
    /// Whether enough members have said that they vote no more for it to close its epoch.
    pub(crate) may_close: bool,
}

/// Whether a witness shows that the state with this root holds the log with that root.
pub(crate) fn witnessed(ops_root: Id, witness: &[u8], root: Id) -> bool {
    OpsRootWitness::<Family, Digest>::decode(bytes::Bytes::copy_from_slice(witness))
        .is_ok_and(|witness| witness.verify::<Sha256>(&digest(ops_root), &digest(root)))
}

/// Whether `proof` shows that the state with this root holds `value` under `key`; `None` if the proof cannot be read.
/// The chunk of the bitmap is an array here, so its length is checked before the engine indexes it.
pub(crate) fn holds(key: Key, value: &[u8], proof: &[u8], root: Id) -> Option<bool> {
    if proof.len() > PROOF_BYTES_MAX || value.len() > STATE_VALUE_BYTES_MAX {
        return None;
    }
    let proof = ValueProof::decode_cfg(bytes::Bytes::copy_from_slice(proof), &PROOF_DIGESTS_MAX).ok()?;
    let operation: Operation = Operation::Update(Update(digest(key.hash()), value.to_vec()));
    Some(proof.verify::<Sha256, _>(operation, &digest(root)))
}

/// A state that others can join at.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// The last milestone applied.
    pub(crate) height: u64,
    /// Operations of the log.
    pub(crate) size: u64,
    /// The first one that is needed.
    pub(crate) start: u64,
    /// Root of the log.
    pub(crate) ops_root: Id,
    /// That the state's root holds the log's.
    pub(crate) witness: Vec<u8>,
}

/// The state on disk.
pub(crate) struct State<E: Disk + Spawner> {
    db: Option<Database<E>>,
    height: u64,
}

impl<E: Disk + Spawner> State<E> {
    fn config(prefix: &str, cache: &CacheRef) -> VariableConfig<EightCap, OperationConfig, Sequential> {
        VariableConfig {
            merkle_config: MerkleConfig {
                journal_partition: format!("{prefix}-state-nodes"),
                metadata_partition: format!("{prefix}-state-pins"),
                items_per_blob: NZU64!(262_144),
                write_buffer: NZUsize!(256 * 1024),
                replay_buffer: NZUsize!(256 * 1024),
                strategy: Sequential,
                page_cache: cache.clone(),
            },
            journal_config: variable::Config {
                partition: format!("{prefix}-state-log"),
                items_per_section: NZU64!(262_144),
                compression: None,
                codec_config: ((), (RangeCfg::new(0..=STATE_VALUE_BYTES_MAX), ())),
                page_cache: cache.clone(),
                write_buffer: NZUsize!(256 * 1024),
                replay_buffer: NZUsize!(256 * 1024),
            },
            grafted_metadata_partition: format!("{prefix}-state-grafted"),
            translator: EightCap,
            init_cache: Some(NZUsize!(1 << 14)),
            init_buffer: NZUsize!(1 << 18),
            init_concurrency: (),
        }
    }

    /// Opens the state; a new one begins with what the genesis says.
    pub(crate) async fn open(context: E, prefix: &str, cache: &CacheRef, genesis: &Genesis) -> Result<Self, StateError> {
        let db = Database::init(context, Self::config(prefix, cache), None).await?;
        let height = match db.get_metadata().await? {
            None => None,
            Some(bytes) => Some(u64::from_be_bytes(bytes.try_into().map_err(|_| StateError::Height)?)),
        };
        let mut state = Self { db: Some(db), height: height.unwrap_or(0) };
        if height.is_none() {
            let values = ledger::genesis_state(genesis).into_iter().map(|(key, value)| (key, Some(value)));
            let first = state.write(None, 0, values.collect()).await?;
            state.apply(0, &first).await?;
            state.commit().await?;
        }
        Ok(state)
    }

    /// Fills an empty state from `source`: the operations from `start` to `size` of a log with this root. Gives the
    /// state's root then.
    pub(crate) async fn sync(
        context: E,
        prefix: &str,
        cache: &CacheRef,
        size: u64,
        start: u64,
        ops_root: Id,
        source: StateSource,
    ) -> Result<Id, Flaw> {
        let range = NonEmptyRange::new(Location::new(start)..Location::new(size)).map_err(|_| Flaw::Misfit("its state is empty"))?;
        let config = sync::engine::Config {
            context,
            source,
            target: sync::Target::new(digest(ops_root), range),
            max_outstanding_requests: NZUsize!(4),
            fetch_batch_size: SYNC_BATCH,
            apply_batch_size: SYNC_BATCH,
            db_config: Self::config(prefix, cache),
            update_rx: None,
            finish_rx: None,
            reached_target_tx: None,
        };
        let db: Database<E> = sync::sync(config).await.map_err(|why| {
            debug!(%why, "the state could not be taken over");
            Flaw::Misfit("the state it gave does not verify")
        })?;
        Ok(id(db.root()))
    }

    /// The state as applied, as a place to join at.
    pub(crate) async fn point(&self) -> Result<Point, StateError> {
        let db = self.db()?;
        let witness = db.ops_root_witness().await?;
        Ok(Point {
            height: self.height,
            size: *db.bounds().end,
            start: *db.sync_boundary(),
            ops_root: id(db.ops_root()),
            witness: commonware_codec::Encode::encode(&witness).to_vec(),
        })
    }

    /// The value under `key` in the state as applied, with the engine's proof of it; `None` if there is no value, which
    /// a tree like this cannot prove.
    pub(crate) async fn prove(&self, key: Key) -> Result<Option<(Vec<u8>, Vec<u8>)>, StateError> {
        let (db, hash) = (self.db()?, digest(key.hash()));
        let Some(value) = db.get(&hash).await? else { return Ok(None) };
        let proof = db.key_value_proof(hash).await?;
        Ok(Some((value, commonware_codec::Encode::encode(&proof).to_vec())))
    }

    /// A part of the log, as a joining node asks for it; nothing if the request makes no sense.
    pub(crate) async fn serve(&self, request: &[u8]) -> Option<Vec<u8>> {
        let request = sync::Request::<Family>::decode(bytes::Bytes::copy_from_slice(request)).ok()?;
        if request.max_ops() > SYNC_BATCH {
            return None;
        }
        let (response, _) = sync::Source::serve(self.db().ok()?, request).await.ok()?;
        Some(commonware_codec::Encode::encode(&response).to_vec())
    }

    /// Lets go of the log below `start`, which nobody joins at any more.
    pub(crate) async fn prune(&mut self, start: u64) -> Result<(), StateError> {
        let db = self.db.take().ok_or(StateError::Lost)?;
        self.db = Some(db.prune(Location::new(start)).await?);
        Ok(())
    }

    fn db(&self) -> Result<&Database<E>, StateError> {
        self.db.as_ref().ok_or(StateError::Lost)
    }

    /// Height of the last milestone applied.
    pub(crate) const fn height(&self) -> u64 {
        self.height
    }

    pub(crate) fn root(&self) -> Result<Id, StateError> {
        Ok(id(self.db()?.root()))
    }

    /// The values under `keys`, after `parent` if given, else as applied.
    pub(crate) async fn read(&self, parent: Option<&Speculation>, keys: BTreeSet<Key>) -> Result<MemoryStore, StateError> {
        let db = self.db()?;
        let mut values = MemoryStore::default();
        for key in keys {
            let hash = digest(key.hash());
            let value = match parent {
                Some(parent) => parent.0.get(&hash, db).await?,
                None => db.get(&hash).await?,
            };
            if let Some(value) = value {
                values.set(key, value);
            }
        }
        Ok(values)
    }

    /// What applying `messages`, in order, as milestone `height` on top of `parent` leads to; it found `void` void. A
    /// closing milestone then hands over to the next committee.
    pub(crate) async fn speculate(
        &self,
        parent: Option<&Speculation>,
        height: u64,
        rules: &Rules<'_>,
        messages: &[Arc<Message>],
        void: &[Arc<Message>],
        next_committee: Option<&[PublicKey]>,
    ) -> Result<Outcome, StateError> {
        let mut keys: BTreeSet<Key> = messages.iter().flat_map(|m| ledger::touched(m)).collect();
        keys.extend(void.iter().map(|m| Key::Account(m.issuer)).chain([Key::Epoch, Key::Farewells]));
        let mut base = self.read(parent, keys.clone()).await?;
        let remembered = ledger::remembered(&base, messages.iter().chain(void).map(|m| &**m))?;
        let mut suspects: BTreeSet<PublicKey> = void.iter().map(|m| m.issuer).collect();
        if !remembered.is_empty() {
            for key in remembered {
                if let Key::Void(issuer, _) = key {
                    suspects.insert(issuer);
                }
                keys.insert(key);
            }
            base = self.read(parent, keys.clone()).await?;
        }
        // what executing requests needs follows from the requests that are registered, and from those that wait
        loop {
            let following = ledger::following(&base, messages.iter().map(|m| &**m))?;
            let anew: BTreeSet<Key> = following.into_iter().filter(|key| keys.insert(*key)).collect();
            if anew.is_empty() {
                break;
            }
            base.join(self.read(parent, anew).await?);
        }
        let mut overlay = Overlay::new(&base);
        let (mut refused, mut spent) = (Refused::default(), Vec::new());
        for message in messages {
            let effects = ledger::apply_with_effects(&mut overlay, rules, message)?;
            for refusal in effects.refusals {
                debug!(message = %message.id(), %refusal, "an order, a request or evidence without effect");
                refused.push(message.id(), refusal);
            }
            spent.extend(effects.executed);
        }
        ledger::remember(&mut overlay, rules, void.iter().map(|m| &**m))?;
        let may_close = ledger::may_close(&overlay, rules)?;
        if let Some(committee) = next_committee {
            ledger::close_epoch(&mut overlay, rules, committee);
        }
        let mut accounts = Vec::new();
        for issuer in suspects {
            accounts.extend(ledger::read_account(&overlay, issuer)?.map(|account| (issuer, account)));
        }
        let state = self.write(parent, height, overlay.into_changes()).await?;
        Ok(Outcome { state, refused, suspects: accounts, spent, may_close })
    }

    /// Who would be elected after `parent`, if given, else in the state as applied.
    pub(crate) async fn elect(&self, parent: Option<&Speculation>, rules: &Rules<'_>) -> Result<Vec<PublicKey>, StateError> {
        let candidates = self.read(parent, BTreeSet::from([Key::Candidates, Key::Epoch])).await?;
        let mut keys: BTreeSet<Key> = ledger::electing(&ledger::read_candidates(&candidates)?.0).into_iter().collect();
        keys.extend([Key::Candidates, Key::Epoch]);
        let state = self.read(parent, keys).await?;
        Ok(ledger::elect(&state, rules)?)
    }

    async fn write(&self, parent: Option<&Speculation>, height: u64, changes: Changes) -> Result<Speculation, StateError> {
        let db = self.db()?;
        let mut batch = match parent {
            Some(parent) => parent.0.new_batch::<Sha256>(),
            None => db.new_batch(),
        };
        for (key, value) in changes {
            batch = batch.write(digest(key.hash()), value);
        }
        let merkleized = batch.merkleize(db, Some(height.to_be_bytes().to_vec()), &mut Proportional).await?;
        Ok(Speculation(merkleized))
    }

    /// Makes a speculation the state. Durable after [`State::commit`].
    pub(crate) async fn apply(&mut self, height: u64, speculation: &Speculation) -> Result<(), StateError> {
        let db = self.db.take().ok_or(StateError::Lost)?;
        self.db = Some(db.apply_batch(Arc::clone(&speculation.0)).await?);
        self.height = height;
        Ok(())
    }

    /// Makes what was applied durable.
    pub(crate) async fn commit(&mut self) -> Result<(), StateError> {
        let db = self.db.take().ok_or(StateError::Lost)?;
        self.db = Some(db.commit().await?);
        Ok(())
    }
}
