//! Retention: how long old messages stay on this node.
//!
//! Headers, the tree of history, handovers and the state stay for ever; messages, payloads and what milestones
//! list are dropped once they are old enough. The rules are in `docs/spec/pruning.md`.

use super::actor::{Core, CoreError};
use super::issuing::unix_ms;
use crate::store::{CutRecord, Disk};
use commonware_consensus::types::Height;
use commonware_runtime::Spawner;
use std::time::Duration;
use tracing::info;

/// How long a node keeps what its state no longer needs. The default keeps everything: an archive node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Messages confirmed longer ago than this are dropped.
    pub age: Option<Duration>,
    /// The oldest messages are dropped when messages and payloads take more than this many bytes.
    pub bytes: Option<u64>,
}

/// Milestones whose messages are kept whatever the limits say: peers that were away for a moment ask for them.
pub(crate) const RETAINED_MIN: u64 = 256;
/// Time between two looks at what has become old.
const INTERVAL: Duration = Duration::from_secs(10);

impl<E: Disk + Spawner> Core<E> {
    /// Drops what is older than the limits allow, now and then.
    pub(super) async fn prune_if_due(&mut self) -> Result<(), CoreError> {
        let now = self.context.current();
        if self.limits.retention == Retention::default() || now < self.next_prune || !self.uncommitted.is_empty() {
            return Ok(());
        }
        self.next_prune = now + INTERVAL;
        let Some((height, record)) = self.old_enough(unix_ms(now)).await? else { return Ok(()) };
        self.store.messages.prune(record.floor).await?;
        self.store.payloads.prune(record.payload_floor).await?;
        self.store.confirmations.prune(record.confirmations).await?;
        self.store.spent.prune(record.spent).await?;
        self.store.cuts.prune(height).await?;
        self.chain.prune(Height::new(height));
        self.pruned = height;
        info!(height, "dropped what milestones below this one confirmed");
        Ok(())
    }

    /// The highest milestone that is beyond the limits, if it is a new one. Both limits hold for a beginning of the
    /// chain, so the boundary is found by halving.
    async fn old_enough(&self, now_ms: u64) -> Result<Option<(u64, CutRecord)>, CoreError> {
        let young = self.executed.height.saturating_sub(RETAINED_MIN).min(self.summits.needed_from());
        let (mut old, mut young) = (self.pruned, young);
        let mut found = None;
        while old + 1 < young {
            let height = old + (young - old) / 2;
            match self.store.cuts.at(height).await? {
                // dropped before, with the rest of its section
                None => old = height,
                Some(bytes) => {
                    let record: CutRecord = self.store.cuts.decode(&bytes)?;
                    match self.beyond(height, &record, now_ms).await? {
                        true => (old, found) = (height, Some((height, record))),
                        false => young = height,
                    }
                }
            }
        }
        Ok(found)
    }

    async fn beyond(&self, height: u64, record: &CutRecord, now_ms: u64) -> Result<bool, CoreError> {
        let Retention { age, bytes } = self.limits.retention;
        if bytes.is_some_and(|limit| self.stored_bytes.saturating_sub(record.bytes) > limit) {
            return Ok(true);
        }
        let Some(age) = age else { return Ok(false) };
        let time_ms = self.header(height).await?.map_or(0, |m| m.time_ms);
        Ok(now_ms.saturating_sub(time_ms) > u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    }
}
