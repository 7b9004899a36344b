//! The archive: what the replica keeps on disk, table by table.
//!
//! | table | index | key | value |
//! |---|---|---|---|
//! | `layout` | 0 | – | version of all this ‖ the secret that keys are made with |
//! | `messages` | order of arrival (causal) | message id | the message |
//! | `payloads` | order of issue | BLAKE3 of the payload | index of its message in `messages` ‖ payload |
//! | `headers` | height | milestone digest | the milestone |
//! | `cuts` | height | milestone digest | [`CutRecord`]: what the milestone confirmed |
//! | `confirmations` | order of confirmation | message id | height ‖ place |
//! | `handovers` | epoch | digest of the closing milestone | [`protocol::Handover`] |
//! | `origin` | 0 begun, 1 ended | – | where a node that joined began ([`crate::sync`]) |
//! | `ballots` | order of voting | – | [`Ballot`]: what this node voted for |
//! | `spent` | order of execution | request id | height of the milestone that executed it |
//! | `history` | [`protocol::merkle::position`] | the node's hash | the same |
//!
//! A key on disk is the beginning of `SHA-256(secret ‖ key)`: short, because nobody who does not know this node's secret can
//! make two that agree.
//!
//! Certificates are in marshal's own archives, the state in [`crate::state`]. Old records of `messages`, `payloads`,
//! `cuts`, `confirmations`, `spent` and `ballots` may be pruned; the other tables stay whole.
//!
//! Order of durability, oldest first: ballots before the message with the votes; messages and payloads before they are pushed
//! or voted on; `cuts`, `confirmations`, `spent` and `history` before the state; the state before marshal hears that a milestone is done.
//! So after a crash marshal delivers again whatever the state has not seen, and writing it again is harmless.

mod ballot;

pub(crate) use ballot::Ballot;

use commonware_codec::RangeCfg;
use commonware_runtime::{Clock, Metrics, Storage, buffer::paged::CacheRef};
use commonware_storage::{
    archive::{Archive as _, Error as ArchiveError, Identifier, prunable},
    translator::EightCap,
};
use commonware_utils::sequence::FixedBytes;
use commonware_utils::{NZU64, NZUsize};
use protocol::codec::{Reader, put_varint};
use protocol::limits::{BATCH_BYTES_MAX, CUT_MESSAGES_MAX, MILESTONE_BYTES_MAX};
use protocol::{Decode, DecodeError, Encode, Id};
use std::num::NonZeroU64;
use thiserror::Error;

/// What the engine's storage asks of a runtime.
pub(crate) trait Disk: Storage + Clock + Metrics {}
impl<T: Storage + Clock + Metrics> Disk for T {}

/// Records that are pruned together, unless a replica is told otherwise.
pub(crate) const SECTION: NonZeroU64 = NZU64!(65_536);
/// The same of payloads, which are larger.
const PAYLOADS_SECTION: NonZeroU64 = NZU64!(4_096);
/// The version of what this module writes.
const LAYOUT_VERSION: u8 = 4;
/// Bytes of a key on disk. With the secret unknown only chance makes two agree: 1 in 10^11 among 10^9 records.
const KEY_BYTES: usize = 12;
/// A key as it is on disk.
type ShortKey = FixedBytes<KEY_BYTES>;
/// Bytes of the largest value in any table.
const VALUE_BYTES_MAX: usize = BATCH_BYTES_MAX + 64;
const _: () = assert!(CUT_MESSAGES_MAX * 32 + MILESTONE_BYTES_MAX + 64 <= VALUE_BYTES_MAX);

/// Why the archive cannot go on. The node stops: what is on disk is still good, or `wattle check` says what is not.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// The engine's storage failed: a full or failing disk, or damage.
    #[error("table '{table}': {source}")]
    Archive {
        /// Which table.
        table: &'static str,
        /// Why.
        source: ArchiveError,
    },
    /// A stored value cannot be read.
    #[error("table '{table}' holds a damaged record: {why}")]
    Damaged {
        /// Which table.
        table: &'static str,
        /// Why.
        why: DecodeError,
    },
    /// A write failed before, and the engine lost its handle with it.
    #[error("table '{0}' was lost by an earlier error")]
    Lost(&'static str),
    /// Tables without a layout, or with an older one.
    #[error(
        "the ledger on disk was written by an older version, or the table 'layout' is damaged: it cannot be read by this one; restore the \
         directory from a copy, go on with the version that wrote it, or begin with an empty directory and --from-peer"
    )]
    Older,
}

/// One table: the engine's archive, which a failed write consumes, behind a handle that stays.
pub(crate) struct Table<E: Disk> {
    name: &'static str,
    secret: Id,
    archive: Option<prunable::Archive<EightCap, E, ShortKey, Vec<u8>>>,
    next: u64,
    dirty: bool,
}

impl<E: Disk> Table<E> {
    pub(crate) async fn open(
        context: E,
        prefix: &str,
        name: &'static str,
        items: NonZeroU64,
        cache: &CacheRef,
        secret: Id,
    ) -> Result<Self, StoreError> {
        let config = prunable::Config {
            translator: EightCap,
            metadata_partition: format!("{prefix}-{name}-metadata"),
            key_partition: format!("{prefix}-{name}-key"),
            key_page_cache: cache.clone(),
            value_partition: format!("{prefix}-{name}-value"),
            compression: None,
            codec_config: (RangeCfg::new(0..=VALUE_BYTES_MAX), ()),
            items_per_section: items,
            key_write_buffer: NZUsize!(16 * 1024),
            value_write_buffer: NZUsize!(256 * 1024),
            replay_buffer: NZUsize!(256 * 1024),
        };
        let archive = prunable::Archive::init(context, config).await.map_err(|source| StoreError::Archive { table: name, source })?;
        let next = archive.last_index().map_or(0, |i| i + 1);
        Ok(Self { name, secret, archive: Some(archive), next, dirty: false })
    }

    fn archive(&self) -> Result<&prunable::Archive<EightCap, E, ShortKey, Vec<u8>>, StoreError> {
        self.archive.as_ref().ok_or(StoreError::Lost(self.name))
    }

    fn key(&self, key: Id) -> ShortKey {
        let mut short = [0; KEY_BYTES];
        short.iter_mut().zip(Id::hash(&[&self.secret.0, &key.0]).0).for_each(|(s, h)| *s = h);
        ShortKey::new(short)
    }

    const fn failed(&self, source: ArchiveError) -> StoreError {
        StoreError::Archive { table: self.name, source }
    }

    /// The index after the last one.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Appends a record; gives its index.
    pub(crate) async fn append(&mut self, key: Id, value: &Vec<u8>) -> Result<u64, StoreError> {
        let index = self.next;
        self.put(index, key, value).await?;
        Ok(index)
    }

    /// Writes a record at `index`, unless there is one.
    pub(crate) async fn put(&mut self, index: u64, key: Id, value: &Vec<u8>) -> Result<(), StoreError> {
        let archive = self.archive.take().ok_or(StoreError::Lost(self.name))?;
        self.archive = Some(archive.put(index, self.key(key), value).await.map_err(|e| self.failed(e))?);
        self.next = self.next.max(index + 1);
        self.dirty = true;
        Ok(())
    }

    pub(crate) async fn get(&self, key: Id) -> Result<Option<Vec<u8>>, StoreError> {
        self.archive()?.get(Identifier::Key(&self.key(key))).await.map_err(|e| self.failed(e))
    }

    pub(crate) async fn at(&self, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.archive()?.get(Identifier::Index(index)).await.map_err(|e| self.failed(e))
    }

    pub(crate) async fn has(&self, key: Id) -> Result<bool, StoreError> {
        self.archive()?.has(Identifier::Key(&self.key(key))).await.map_err(|e| self.failed(e))
    }

    /// Index of the first record that is still here.
    pub(crate) fn first(&self) -> Result<u64, StoreError> {
        Ok(self.archive()?.first_index().unwrap_or(self.next))
    }

    /// Drops records below `min`, in whole sections: some of them may stay.
    pub(crate) async fn prune(&mut self, min: u64) -> Result<(), StoreError> {
        let archive = self.archive.take().ok_or(StoreError::Lost(self.name))?;
        self.archive = Some(archive.prune(min).await.map_err(|e| self.failed(e))?);
        Ok(())
    }

    /// Makes everything written so far durable.
    pub(crate) async fn sync(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.dirty) {
            let archive = self.archive.take().ok_or(StoreError::Lost(self.name))?;
            self.archive = Some(archive.sync().await.map_err(|e| self.failed(e))?);
        }
        Ok(())
    }

    /// Reads a stored value.
    pub(crate) fn decode<T: Decode>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        T::decode(bytes).map_err(|why| StoreError::Damaged { table: self.name, why })
    }
}

/// A payload as it is kept, with the index of the message that names it. A crash can leave one whose message was never
/// written; then another message may stand there, which does not name it.
pub(crate) fn payload_record(message: u64, payload: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(payload.len() + 10);
    put_varint(&mut record, message);
    record.extend_from_slice(payload);
    record
}

/// The index of the message that names it, and the payload.
pub(crate) fn split_payload(record: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    let mut reader = Reader::new(record);
    let message = reader.varint("the place of a payload's message")?;
    let length = reader.remaining();
    Ok((message, reader.take(length, "a payload")?))
}

/// How the tables are written.
struct Layout {
    /// What keys are made with.
    secret: Id,
}

impl Encode for Layout {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(LAYOUT_VERSION);
        self.secret.encode_to(out);
    }
}

impl Decode for Layout {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(LAYOUT_VERSION, "the layout of the ledger on disk")?;
        Ok(Self { secret: Id::decode_from(reader)? })
    }
}

/// Reads the layout, or writes one if there is nothing yet.
async fn layout<E: Disk>(context: &E, prefix: &str, cache: &CacheRef, secret: Id) -> Result<Layout, StoreError> {
    let mut table = Table::open(context.child("layout"), prefix, "layout", NZU64!(1_024), cache, Id([0; 32])).await?;
    if let Some(stored) = table.at(0).await? {
        if stored.first().is_some_and(|version| *version < LAYOUT_VERSION) {
            return Err(StoreError::Older);
        }
        return table.decode(&stored);
    }
    // every replica that ever ran has written its history
    if context.scan(&format!("{prefix}-history-key")).await.is_ok_and(|files| !files.is_empty()) {
        return Err(StoreError::Older);
    }
    let new = Layout { secret };
    table.put(0, Id([0; 32]), &new.encode()).await?;
    table.sync().await?;
    Ok(new)
}

/// What a milestone confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CutRecord {
    /// Every message with a lower index in `messages` is confirmed or void: a restart reads from here.
    pub(crate) floor: u64,
    /// Every payload with a lower index in `payloads` is of a message that is confirmed.
    pub(crate) payload_floor: u64,
    /// Records in `confirmations` before this milestone's.
    pub(crate) confirmations: u64,
    /// Records in `spent` before this milestone's.
    pub(crate) spent: u64,
    /// Bytes of all messages and payloads written until then, those pruned since included.
    pub(crate) bytes: u64,
    /// Messages that count, in order.
    pub(crate) counted: Vec<Id>,
    /// Messages that do not. A record for those who ask: what is settled, the state says. A node that joined later does
    /// not have it.
    pub(crate) void: Vec<Id>,
}

impl Encode for CutRecord {
    fn encode_to(&self, out: &mut Vec<u8>) {
        for number in [self.floor, self.payload_floor, self.confirmations, self.spent, self.bytes] {
            put_varint(out, number);
        }
        for ids in [&self.counted, &self.void] {
            put_varint(out, ids.len() as u64);
            ids.iter().for_each(|i| i.encode_to(out));
        }
    }
}

impl Decode for CutRecord {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (floor, payload_floor) = (reader.varint("a cut's floor")?, reader.varint("a cut's payload floor")?);
        let (confirmations, spent) = (reader.varint("a cut's confirmations")?, reader.varint("a cut's executed requests")?);
        let bytes = reader.varint("a cut's bytes")?;
        let mut ids = |what| -> Result<Vec<Id>, DecodeError> {
            let n = reader.length(CUT_MESSAGES_MAX, 32, what)?;
            (0..n).map(|_| Id::decode_from(reader)).collect()
        };
        let (counted, void) = (ids("a cut's messages")?, ids("a cut's void messages")?);
        Ok(Self { floor, payload_floor, confirmations, spent, bytes, counted, void })
    }
}

/// Where a message was confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confirmation {
    pub(crate) height: u64,
    /// The place among the messages that count; `None` for a void one.
    pub(crate) index: Option<u64>,
}

impl Encode for Confirmation {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.height);
        put_varint(out, self.index.map_or(0, |i| i + 1));
    }
}

impl Decode for Confirmation {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let height = reader.varint("a confirmation's height")?;
        let index = reader.varint("a confirmation's place")?.checked_sub(1);
        Ok(Self { height, index })
    }
}

/// Which milestone executed a request. The table's key is the request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) height: u64,
}

impl Encode for Spent {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.height);
    }
}

impl Decode for Spent {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { height: reader.varint("the height of an executed request")? })
    }
}

/// All tables.
pub(crate) struct Store<E: Disk> {
    pub(crate) messages: Table<E>,
    pub(crate) payloads: Table<E>,
    pub(crate) headers: Table<E>,
    pub(crate) cuts: Table<E>,
    pub(crate) confirmations: Table<E>,
    pub(crate) history: Table<E>,
    pub(crate) handovers: Table<E>,
    pub(crate) origin: Table<E>,
    pub(crate) ballots: Table<E>,
    pub(crate) spent: Table<E>,
}

impl<E: Disk> Store<E> {
    /// `section`: records that are pruned together. `secret`: what nobody else knows; a store that is there keeps the one it
    /// was made with.
    pub(crate) async fn open(context: &E, prefix: &str, cache: &CacheRef, section: NonZeroU64, secret: Id) -> Result<Self, StoreError> {
        let many = section;
        let Layout { secret } = layout(context, prefix, cache, secret).await?;
        Ok(Self {
            messages: Table::open(context.child("messages"), prefix, "messages", many, cache, secret).await?,
            payloads: Table::open(context.child("payloads"), prefix, "payloads", section.min(PAYLOADS_SECTION), cache, secret).await?,
            headers: Table::open(context.child("headers"), prefix, "headers", many, cache, secret).await?,
            cuts: Table::open(context.child("cuts"), prefix, "cuts", many, cache, secret).await?,
            confirmations: Table::open(context.child("confirmations"), prefix, "confirmations", many, cache, secret).await?,
            history: Table::open(context.child("history"), prefix, "history", many, cache, secret).await?,
            origin: Table::open(context.child("origin"), prefix, "origin", NZU64!(1_024), cache, secret).await?,
            ballots: Table::open(context.child("ballots"), prefix, "ballots", many, cache, secret).await?,
            spent: Table::open(context.child("spent"), prefix, "spent", many, cache, secret).await?,
            handovers: Table::open(context.child("handovers"), prefix, "handovers", NZU64!(1_024), cache, secret).await?,
        })
    }

    /// Makes messages and payloads durable: before a push, before a vote.
    pub(crate) async fn sync_messages(&mut self) -> Result<(), StoreError> {
        self.payloads.sync().await?;
        self.messages.sync().await
    }

    /// Makes everything that execution writes durable, the state excepted.
    pub(crate) async fn sync_execution(&mut self) -> Result<(), StoreError> {
        self.headers.sync().await?;
        self.cuts.sync().await?;
        self.confirmations.sync().await?;
        self.spent.sync().await?;
        self.handovers.sync().await?;
        self.history.sync().await
    }
}

#[cfg(test)]
mod tests;
