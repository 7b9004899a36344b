//! Readings, found by way of the index and read from the ledger's payloads, which decide.
//!
//! ```text
//! id, name, topic ─▶ Index: batches that may hold it ─▶ payload (the last few stay decoded) ─▶ compared ─▶ Found
//! ```
//! A payload that the node has dropped cannot be compared: then the answer is that what may have held the reading is gone.

mod pages;

pub(crate) use pages::Span;

use super::{Index, IndexError, Listed};
use protocol::{Batch, Decode as _, DecodeError, Id, Reading, ReadingName};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Batches that stay decoded,
const OPENED_MAX: usize = 256;
/// and readings in them.
const OPENED_READINGS_MAX: usize = 16_384;

/// Why a reading could not be looked up.
#[derive(Debug, Error)]
pub(crate) enum LookupError {
    /// The index does not answer.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The ledger no longer has the batch.
    #[error("the batch of this site's readings from number {0} on")]
    Dropped(u64),
    /// The batch is damaged.
    #[error("the payload of message {message} cannot be read ({why}): run `wattle check` on the data directory")]
    Unreadable {
        /// The message that names it.
        message: Id,
        /// Why.
        why: DecodeError,
    },
    /// The index does not tell the truth.
    #[error(
        "the index says that the payload of message {0} holds other readings than it does: stop the node and delete index.sqlite, it \
         is made again"
    )]
    Misplaced(Id),
}

/// Where bodies of batches are.
pub(crate) trait Payloads: Clone + Send + Sync {
    /// The message and the payload at a place; `None` if it is no longer there.
    fn payload_at(&self, place: u64) -> impl Future<Output = Option<(Id, Vec<u8>)>> + Send;
}

impl Payloads for replica::Handle {
    async fn payload_at(&self, place: u64) -> Option<(Id, Vec<u8>)> {
        let own = self.own_payload(place).await?;
        Some((own.record.message.id(), own.payload))
    }
}

/// A batch, decoded.
#[derive(Debug, PartialEq)]
pub(crate) struct Opened {
    place: u64,
    /// The message that anchors it.
    pub(crate) message: Id,
    /// The batch.
    pub(crate) batch: Batch,
}

/// A reading that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// The reading.
    pub(crate) reading: Reading,
    /// Its place in the batch.
    pub(crate) leaf: u32,
    /// The batch.
    pub(crate) anchored: Arc<Opened>,
}

/// Looks readings up. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lookup<P = replica::Handle> {
    index: Index,
    payloads: P,
    opened: Arc<Mutex<VecDeque<Arc<Opened>>>>,
}

impl<P: Payloads> Lookup<P> {
    /// Over an index, and the payloads it was made from.
    pub(crate) fn new(index: Index, payloads: P) -> Self {
        Self { index, payloads, opened: Arc::default() }
    }

    /// The reading of this id. Of several that are the same, one of the last.
    ///
    /// # Errors
    /// [`LookupError::Dropped`] if none is here, but there may have been one.
    pub(crate) async fn by_id(&self, id: Id) -> Result<Option<Found>, LookupError> {
        let (mut before, mut dropped) = (None, None);
        loop {
            let candidates = self.index.candidates(id, before).await?;
            for (batch, leaf) in candidates.readings {
                match self.open(batch).await {
                    Ok(opened) => {
                        if let Some(found) = found(&opened, leaf).filter(|found| found.reading.id() == id) {
                            return Ok(Some(found));
                        }
                    }
                    Err(why @ LookupError::Dropped(_)) => dropped = Some(why),
                    Err(why) => return Err(why),
                }
            }
            match candidates.next {
                Some(next) => before = Some(next),
                None => return dropped.map_or(Ok(None), Err),
            }
        }
    }

    /// The reading of this name; the first, if one device sent several for one time.
    ///
    /// # Errors
    /// [`LookupError::Dropped`] if none is here, but there may have been one.
    pub(crate) async fn by_name(&self, name: &ReadingName) -> Result<Option<Found>, LookupError> {
        let (mut after, mut dropped) = (None, None);
        loop {
            let batches = self.index.named(name.clone(), after).await?;
            let Some(last) = batches.last() else { return dropped.map_or(Ok(None), Err) };
            after = Some(last.first);
            for batch in batches {
                match self.open(batch).await {
                    Ok(opened) => {
                        let named = |r: &Reading| r.time_us == name.time_us && r.topic == name.topic;
                        let leaf = (0u32..).zip(&opened.batch.readings).find(|(_, r)| named(r)).map(|(leaf, _)| leaf);
                        if let Some(found) = leaf.and_then(|leaf| found(&opened, leaf)) {
                            return Ok(Some(found));
                        }
                    }
                    Err(why @ LookupError::Dropped(_)) => dropped = Some(why),
                    Err(why) => return Err(why),
                }
            }
        }
    }

    /// The batch at a place, decoded.
    async fn open(&self, batch: Listed) -> Result<Arc<Opened>, LookupError> {
        let Listed { first, place } = batch;
        if let Some(opened) = self.remembered(place) {
            return Ok(opened);
        }
        let (message, payload) = self.payloads.payload_at(place).await.ok_or(LookupError::Dropped(first))?;
        let batch = Batch::decode(&payload).map_err(|why| LookupError::Unreadable { message, why })?;
        if batch.first_offset != first {
            return Err(LookupError::Misplaced(message));
        }
        let opened = Arc::new(Opened { place, message, batch });
        self.remember(opened.clone());
        Ok(opened)
    }

    fn remembered(&self, place: u64) -> Option<Arc<Opened>> {
        let mut kept = self.lock();
        let at = kept.iter().position(|opened| opened.place == place)?;
        let opened = kept.remove(at)?;
        kept.push_front(opened.clone());
        Some(opened)
    }

    fn remember(&self, opened: Arc<Opened>) {
        let mut kept = self.lock();
        kept.push_front(opened);
        let mut readings = 0;
        let fit = kept.iter().take(OPENED_MAX).take_while(|opened| {
            readings += opened.batch.readings.len();
            readings <= OPENED_READINGS_MAX
        });
        let fit = fit.count();
        kept.truncate(fit);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Opened>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    /// The reading's place in the site's log.
    pub(crate) fn offset(&self) -> u64 {
        self.anchored.batch.first_offset.saturating_add(u64::from(self.leaf))
    }
}

fn found(opened: &Arc<Opened>, leaf: u32) -> Option<Found> {
    let reading = opened.batch.readings.get(usize::try_from(leaf).ok()?)?.clone();
    Some(Found { reading, leaf, anchored: opened.clone() })
}

#[cfg(test)]
impl Found {
    /// Reading `leaf` of a batch that `message` anchors.
    pub(crate) fn sample(message: Id, batch: Batch, leaf: u32) -> Option<Self> {
        found(&Arc::new(Opened { place: 0, message, batch }), leaf)
    }
}
