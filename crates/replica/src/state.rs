//! The authenticated state: the ledger's map on QMDB (`current`), so that every value is provable against
//! `state_root`.
//!
//! A milestone is executed as soon as it is verified, on top of the state of its parent, which may not be
//! final itself; such a [`Speculation`] is a batch that is either applied when its milestone is final, or
//! dropped. The batch's metadata holds the milestone's height, so a restart knows how far the state got.

use crate::store::Disk;
use crate::wire::{Digest, digest, id};
use commonware_codec::RangeCfg;
use commonware_cryptography::Sha256;
use commonware_parallel::Sequential;
use commonware_runtime::{Spawner, buffer::paged::CacheRef};
use commonware_storage::{
    journal::contiguous::variable,
    merkle::{full::Config as MerkleConfig, mmr},
    qmdb::{
        Error,
        any::{unordered::Update, value::VariableEncoding},
        current::{VariableConfig, batch::MerkleizedBatch, unordered::variable::Db},
        floor::Proportional,
    },
    translator::EightCap,
};
use commonware_utils::{NZU64, NZUsize};
use ledger::{ApplyError, Key, MemoryStore, Overlay};
use protocol::{Id, Message};
use std::collections::BTreeSet;
use std::sync::Arc;
use thiserror::Error as ThisError;

/// Bytes of one value of the state.
const STATE_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a chunk of the activity bitmap.
const CHUNK: usize = 32;

type Database<E> = Db<mmr::Family, E, Digest, Vec<u8>, Sha256, EightCap, CHUNK, Sequential>;
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

/// The state on disk.
pub(crate) struct State<E: Disk + Spawner> {
    db: Option<Database<E>>,
    height: u64,
}

impl<E: Disk + Spawner> State<E> {
    pub(crate) async fn open(context: E, prefix: &str, cache: &CacheRef) -> Result<Self, StateError> {
        let config = VariableConfig {
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
        };
        let db = Database::init(context, config, None).await?;
        let height = match db.get_metadata().await? {
            None => 0,
            Some(bytes) => u64::from_be_bytes(bytes.try_into().map_err(|_| StateError::Height)?),
        };
        Ok(Self { db: Some(db), height })
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

    /// The state after applying `messages`, in order, as milestone `height` on top of `parent`.
    pub(crate) async fn speculate(
        &self,
        parent: Option<&Speculation>,
        height: u64,
        messages: &[Arc<Message>],
    ) -> Result<Speculation, StateError> {
        let db = self.db()?;
        let base = self.read(parent, messages.iter().flat_map(|m| ledger::touched(m)).collect()).await?;
        let mut overlay = Overlay::new(&base);
        for message in messages {
            ledger::apply(&mut overlay, message)?;
        }
        let mut batch = match parent {
            Some(parent) => parent.0.new_batch::<Sha256>(),
            None => db.new_batch(),
        };
        for (key, value) in overlay.into_changes() {
            batch = batch.write(digest(key.hash()), Some(value));
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
