//! Answers to the rest of the process.

use super::actor::{Core, CoreError};
use super::request::Request;
use crate::handle::{Evidence, EvidenceError, MessageRecord, MilestoneRecord, OwnPayload, Standing, Status};
use crate::store::{Confirmation, CutRecord, Disk};
use crate::wire;
use commonware_consensus::types::Height;
use commonware_runtime::Spawner;
use ledger::Key;
use protocol::receipt::Anchor;
use protocol::{Finalization, Id, Milestone, merkle};
use std::collections::{BTreeMap, BTreeSet};

/// Records in one answer.
const ANSWER_MAX: usize = 1000;
/// Milestones after the confirming one that are searched for a certificate. Consensus certifies nearly
/// every milestone; those that it skips are certified by a successor.
const CERTIFICATE_WITHIN: u64 = 256;

impl<E: Disk + Spawner> Core<E> {
    pub(super) async fn answer(&mut self, query: Request) -> Result<(), CoreError> {
        match query {
            Request::Status { reply } => {
                let _ = reply.send(self.status().await?);
            }
            Request::Message { id, reply } => {
                let _ = reply.send(self.record_of(id).await?);
            }
            Request::RecentMessages { limit, reply } => {
                let _ = reply.send(self.recent(limit).await?);
            }
            Request::Milestone { height, reply } => {
                let _ = reply.send(self.milestone(height).await?);
            }
            Request::Evidence { id, reply } => {
                let _ = reply.send(self.evidence(id).await?);
            }
            Request::Payload { blob, reply } => {
                let record = self.store.payloads.get(blob).await?;
                let _ = reply.send(record.and_then(|r| r.get(32..).map(<[u8]>::to_vec)));
            }
            Request::OwnPayloads { before, limit, reply } => {
                let _ = reply.send(self.own_payloads(before, limit).await?);
            }
            _ => {}
        }
        Ok(())
    }

    async fn status(&self) -> Result<Status, CoreError> {
        let state = self.state.read(self.executed.state.as_ref(), BTreeSet::from([Key::Totals])).await?;
        let totals = ledger::read_totals(&state).map_err(crate::state::StateError::from)?;
        Ok(Status {
            key: self.me,
            height: self.executed.height,
            digest: self.executed.digest,
            milestone_ms: self.executed.time_ms,
            state_root: self.state_root()?,
            epoch: 0,
            messages: totals.messages,
            readings: totals.readings,
            issued: self.own.issued,
            peers: self.peers(),
            tips: self.dag.tips().len(),
            unconfirmed: self.dag.unconfirmed(),
            pending: self.dag.pending(),
            equivocations: self.counts.equivocations,
            refused: self.counts.refused,
            pulled: self.counts.pulled,
        })
    }

    async fn confirmation(&self, id: Id) -> Result<Option<Confirmation>, CoreError> {
        match self.store.confirmations.get(id).await? {
            Some(bytes) => {
                let c: Confirmation = self.store.confirmations.decode(&bytes)?;
                Ok((c.height <= self.executed.height).then_some(c))
            }
            None => Ok(None),
        }
    }

    async fn standing(&self, id: Id) -> Result<Standing, CoreError> {
        Ok(match self.confirmation(id).await? {
            None => Standing::Pending,
            Some(Confirmation { height, index: Some(index) }) => Standing::Confirmed { height, index },
            Some(Confirmation { height, index: None }) => Standing::Void { height },
        })
    }

    async fn record_of(&self, id: Id) -> Result<Option<MessageRecord>, CoreError> {
        let Some(message) = self.find(id).await? else { return Ok(None) };
        Ok(Some(MessageRecord { message, standing: self.standing(id).await? }))
    }

    async fn recent(&self, limit: usize) -> Result<Vec<MessageRecord>, CoreError> {
        let next = self.store.messages.next();
        let mut records = Vec::new();
        for index in (0..next).rev().take(limit.min(ANSWER_MAX)) {
            if let Some(bytes) = self.store.messages.at(index).await? {
                let message = self.stored(&bytes)?;
                let standing = self.standing(message.id()).await?;
                records.push(MessageRecord { message, standing });
            }
        }
        Ok(records)
    }

    async fn cut(&self, height: u64) -> Result<Option<CutRecord>, CoreError> {
        if height > self.executed.height {
            return Ok(None);
        }
        Ok(match self.store.cuts.at(height).await? {
            Some(bytes) => Some(self.store.cuts.decode(&bytes)?),
            None => None,
        })
    }

    async fn milestone(&self, height: u64) -> Result<Option<MilestoneRecord>, CoreError> {
        if height == 0 {
            let milestone = self.genesis.milestone();
            return Ok(Some(MilestoneRecord { digest: milestone.digest(), milestone, messages: Vec::new(), void: Vec::new() }));
        }
        Ok(self.cut(height).await?.map(|cut| MilestoneRecord {
            digest: cut.milestone.digest(),
            milestone: cut.milestone,
            messages: cut.counted,
            void: cut.void,
        }))
    }

    async fn evidence(&self, id: Id) -> Result<Result<Evidence, EvidenceError>, CoreError> {
        let Some(message) = self.find(id).await? else { return Ok(Err(EvidenceError::Unknown(id))) };
        let (height, index) = match self.standing(id).await? {
            Standing::Pending => return Ok(Err(EvidenceError::Pending(id))),
            Standing::Void { .. } => return Ok(Err(EvidenceError::Void(id))),
            Standing::Confirmed { height, index } => (height, index),
        };
        let cut = self.cut(height).await?.ok_or(CoreError::Inconsistent("a milestone that confirmed a message is missing"))?;
        let leaves: Vec<Id> = cut.counted.iter().map(Milestone::message_leaf).collect();
        let path = usize::try_from(index).ok().and_then(|i| merkle::path(&leaves, i));
        let message_path = path.ok_or(CoreError::Inconsistent("a message's place in its milestone is damaged"))?;
        let Some((certified, finalization)) = self.certificate(height).await? else {
            return Ok(Err(EvidenceError::Uncertified(height)));
        };
        let anchor = match certified == height {
            true => None,
            false => {
                let later = self.cut(certified).await?.ok_or(CoreError::Inconsistent("a certified milestone is missing"))?;
                Some(Anchor { history_path: self.history_path(height, certified).await?, milestone: later.milestone })
            }
        };
        Ok(Ok(Evidence { message, message_index: index, message_path, milestone: cut.milestone, anchor, finalization }))
    }

    /// The first certificate on a milestone of at least `height`.
    async fn certificate(&self, height: u64) -> Result<Option<(u64, Finalization)>, CoreError> {
        let last = self.executed.height.min(height.saturating_add(CERTIFICATE_WITHIN));
        for h in height..=last {
            if let Some(certificate) = self.chain.get_finalization(Height::new(h)).await {
                let finalization = wire::finalization(&certificate);
                return Ok(Some((h, finalization.ok_or(CoreError::Inconsistent("a stored certificate cannot be read"))?)));
            }
        }
        Ok(None)
    }

    /// From milestone `index` to the history root in milestone `size`.
    async fn history_path(&self, index: u64, size: u64) -> Result<Vec<Id>, CoreError> {
        let mut asked = Vec::new();
        let _ = merkle::path_from(index, size, &mut |level, at| {
            asked.push((level, at));
            merkle::empty_root()
        });
        let mut nodes = BTreeMap::new();
        for (level, at) in asked {
            let node = self.store.history.at(merkle::position(level, at)).await?;
            let node = node.ok_or(CoreError::Inconsistent("a node of the history is missing"))?;
            nodes.insert((level, at), self.store.history.decode::<Id>(&node)?);
        }
        Ok(merkle::path_from(index, size, &mut |level, at| nodes.get(&(level, at)).copied().unwrap_or_else(merkle::empty_root)))
    }

    async fn own_payloads(&self, before: Option<u64>, limit: usize) -> Result<Vec<OwnPayload>, CoreError> {
        let mut found = Vec::new();
        let next = self.store.payloads.next();
        for place in (0..before.map_or(next, |b| b.min(next))).rev() {
            if found.len() >= limit.min(ANSWER_MAX) {
                break;
            }
            let Some(stored) = self.store.payloads.at(place).await? else { continue };
            let Some((id, payload)) = stored.split_first_chunk::<32>() else { continue };
            // a crash can leave a payload whose message was never written: nobody ever heard of it
            let Some(record) = self.record_of(Id(*id)).await? else { continue };
            found.push(OwnPayload { place, record, payload: payload.to_vec() });
        }
        Ok(found)
    }
}
