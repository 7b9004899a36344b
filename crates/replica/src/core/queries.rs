//! Answers to the rest of the process.

use super::actor::{Core, CoreError};
use super::refusal::Refusal;
use super::request::Request;
use crate::handle::{Evidence, EvidenceError, MessageRecord, MilestoneRecord, OwnPayload, Standing, Status};
use crate::store::{Confirmation, CutRecord, Disk, StoreError, split_payload};
use crate::wire;
use commonware_consensus::types::Height;
use commonware_runtime::Spawner;
use ledger::Key;
use protocol::receipt::Anchor;
use protocol::{Batch, Body, Finalization, Handover, Id, Message, Milestone, merkle};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Records in one answer.
const ANSWER_MAX: usize = 1000;
/// Milestones after the confirming one that are searched for a certificate. Consensus certifies nearly
/// every milestone; those that it skips are certified by a successor.
pub(super) const CERTIFICATE_WITHIN: u64 = 256;

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
            Request::MessagesBefore { before, limit, reply } => {
                let _ = reply.send(self.messages_before(before, limit).await?);
            }
            Request::Milestone { height, reply } => {
                let _ = reply.send(self.milestone(height).await?);
            }
            Request::Evidence { id, reply } => {
                let _ = reply.send(self.evidence(id).await?);
            }
            Request::Payload { blob, reply } => {
                let record = self.store.payloads.get(blob).await?;
                let _ = reply.send(record.and_then(|r| split_payload(&r).ok().map(|(_, payload)| payload.to_vec())));
            }
            Request::OwnPayload { place, reply } => {
                let _ = reply.send(self.own_payload(place).await?);
            }
            Request::OwnPayloads { before, limit, reply } => {
                let _ = reply.send(self.own_payloads(before, limit).await?);
            }
            Request::StateProof { key, reply } => {
                let _ = reply.send(self.state_proof(key).await?);
            }
            Request::Head { from_epoch, reply } => {
                let _ = reply.send(self.head(from_epoch).await?);
            }
            Request::Sync { question, reply } => {
                let _ = reply.send(self.answer_sync(&question).await?);
            }
            other => self.answer_spends(other).await?,
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
            epoch: self.epoch_of(self.executed.height + 1),
            committee: self.committee.clone(),
            validator: self.committee.contains(&self.me),
            cut_off: self.cut_off(),
            orders_refused: self.counts.orders_refused,
            messages: totals.messages,
            readings: totals.readings,
            issued: self.own.issued,
            peers: self.peers(),
            tips: self.dag.tips().len(),
            unconfirmed: self.dag.unconfirmed(),
            pending: self.dag.pending(),
            wanted: self.wanted.len(),
            equivocations: self.counts.equivocations,
            refused: self.counts.refusals.values().sum(),
            refusals: Refusal::KINDS.iter().map(|kind| (*kind, self.counts.refusals.get(kind).copied().unwrap_or(0))).collect(),
            pulled: self.counts.pulled,
            votes_cast: self.fast.counts.votes_cast,
            spends_certified: self.fast.counts.certified,
            spends_final: self.fast.counts.executed,
            spends_rejected: self.fast.counts.rejected,
            certificates_issued: self.fast.counts.certificates,
        })
    }

    /// Where an executed milestone confirmed a message. What a crash or a joining that failed left behind above the last
    /// executed one says nothing.
    pub(super) async fn confirmation(&self, id: Id) -> Result<Option<Confirmation>, CoreError> {
        match self.store.confirmations.get(id).await? {
            Some(bytes) => {
                let c: Confirmation = self.store.confirmations.decode(&bytes)?;
                Ok((c.height <= self.executed.height).then_some(c))
            }
            None => Ok(None),
        }
    }

    async fn standing(&self, id: Id, message: &Message) -> Result<Standing, CoreError> {
        let (issuer, sequence) = (message.issuer, message.sequence);
        let settled = self.has_passed(&issuer, sequence) || self.is_void(issuer, sequence, &id).await?;
        Ok(match self.confirmation(id).await? {
            None if settled => Standing::Settled,
            None => Standing::Pending,
            Some(Confirmation { height, index: Some(index) }) => Standing::Confirmed { height, index },
            Some(Confirmation { height, index: None }) => Standing::Void { height },
        })
    }

    async fn record_of(&self, id: Id) -> Result<Option<MessageRecord>, CoreError> {
        let Some(message) = self.find(id).await? else { return Ok(None) };
        let standing = self.standing(id, &message).await?;
        Ok(Some(MessageRecord { message, standing }))
    }

    async fn recent(&self, limit: usize) -> Result<Vec<MessageRecord>, CoreError> {
        Ok(self.messages_before(None, limit).await?.into_iter().map(|(_, record)| record).collect())
    }

    /// Messages below a place, or the newest, each with its place.
    async fn messages_before(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, MessageRecord)>, CoreError> {
        let next = self.store.messages.next();
        let mut records = Vec::new();
        for index in (0..before.unwrap_or(next).min(next)).rev().take(limit.min(ANSWER_MAX)) {
            if let Some(bytes) = self.store.messages.at(index).await? {
                let message = self.stored(&bytes)?;
                let standing = self.standing(message.id(), &message).await?;
                records.push((index, MessageRecord { message, standing }));
            }
        }
        Ok(records)
    }

    pub(crate) async fn cut(&self, height: u64) -> Result<Option<CutRecord>, CoreError> {
        if height > self.executed.height {
            return Ok(None);
        }
        Ok(match self.store.cuts.at(height).await? {
            Some(bytes) => Some(self.store.cuts.decode(&bytes)?),
            None => None,
        })
    }

    /// An executed milestone.
    pub(crate) async fn header(&self, height: u64) -> Result<Option<Milestone>, CoreError> {
        if height == 0 {
            return Ok(Some(self.genesis.milestone()));
        }
        if height > self.executed.height {
            return Ok(None);
        }
        Ok(match self.store.headers.at(height).await? {
            Some(bytes) => Some(self.store.headers.decode(&bytes)?),
            None => None,
        })
    }

    async fn milestone(&self, height: u64) -> Result<Option<MilestoneRecord>, CoreError> {
        let Some(milestone) = self.header(height).await? else { return Ok(None) };
        let (pruned, messages, void) = match self.cut(height).await? {
            Some(cut) => (false, cut.counted, cut.void),
            None => (height > 0, Vec::new(), Vec::new()),
        };
        Ok(Some(MilestoneRecord { digest: milestone.digest(), milestone, messages, void, pruned }))
    }

    async fn evidence(&self, id: Id) -> Result<Result<Evidence, EvidenceError>, CoreError> {
        let Some(message) = self.find(id).await? else { return Ok(Err(EvidenceError::Unknown(id))) };
        let (height, index) = match self.standing(id, &message).await? {
            Standing::Pending => return Ok(Err(EvidenceError::Pending(id))),
            Standing::Settled => return Ok(Err(EvidenceError::Dropped(id))),
            Standing::Void { .. } => return Ok(Err(EvidenceError::Void(id))),
            Standing::Confirmed { height, index } => (height, index),
        };
        let Some(cut) = self.cut(height).await? else { return Ok(Err(EvidenceError::Unknown(id))) };
        let milestone = self.header(height).await?.ok_or(CoreError::Inconsistent("a milestone that confirmed a message is missing"))?;
        let leaves: Vec<Id> = cut.counted.iter().map(Milestone::message_leaf).collect();
        let path = usize::try_from(index).ok().and_then(|i| merkle::path(&leaves, i));
        let message_path = path.ok_or(CoreError::Inconsistent("a message's place in its milestone is damaged"))?;
        let Some((certified, finalization)) = self.certificate(height).await? else {
            return Ok(Err(EvidenceError::Uncertified(height)));
        };
        let anchor = match certified == height {
            true => None,
            false => {
                let later = self.header(certified).await?.ok_or(CoreError::Inconsistent("a certified milestone is missing"))?;
                Some(Anchor { history_path: self.history_path(height, certified).await?, milestone: later })
            }
        };
        let handovers = match self.handovers(finalization.epoch).await? {
            Ok(handovers) => handovers,
            Err(epoch) => return Ok(Err(EvidenceError::Handover(epoch))),
        };
        Ok(Ok(Evidence { message, message_index: index, message_path, milestone, anchor, finalization, handovers }))
    }

    /// What leads a verifier from the genesis to the committee of `epoch`; else the epoch whose end is not here.
    pub(super) async fn handovers(&self, epoch: u64) -> Result<Result<Vec<Handover>, u64>, CoreError> {
        let mut handovers = Vec::new();
        for earlier in 0..epoch {
            let Some(handover) = self.handover(earlier).await? else { return Ok(Err(earlier)) };
            handovers.push(handover);
        }
        Ok(Ok(handovers))
    }

    /// The end of an epoch, as a stranger can check it.
    pub(crate) async fn handover(&self, epoch: u64) -> Result<Option<Handover>, CoreError> {
        if let Some(stored) = self.store.handovers.at(epoch).await? {
            return Ok(Some(self.store.handovers.decode(&stored)?));
        }
        let Some(height) = self.genesis.parameters.closing_height(epoch) else { return Ok(None) };
        let Some(milestone) = self.header(height).await? else { return Ok(None) };
        let certificate = self.chain.get_finalization(Height::new(height)).await;
        let finalization = certificate.as_ref().and_then(wire::finalization);
        Ok(finalization.map(|finalization| Handover { milestone, finalization }))
    }

    /// The first certificate on a milestone of at least `height`.
    pub(super) async fn certificate(&self, height: u64) -> Result<Option<(u64, Finalization)>, CoreError> {
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
    pub(super) async fn history_path(&self, index: u64, size: u64) -> Result<Vec<Id>, CoreError> {
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
            found.extend(self.own_payload(place).await?);
        }
        Ok(found)
    }

    async fn own_payload(&self, place: u64) -> Result<Option<OwnPayload>, CoreError> {
        let Some((message, payload)) = self.payload_at(place).await? else { return Ok(None) };
        let standing = self.standing(message.id(), &message).await?;
        Ok(Some(OwnPayload { place, record: MessageRecord { message, standing }, payload }))
    }

    /// A stored payload, and the message that names it. A crash can leave a payload whose message was never written: nobody
    /// ever heard of it.
    pub(super) async fn payload_at(&self, place: u64) -> Result<Option<(Arc<Message>, Vec<u8>)>, CoreError> {
        let Some(record) = self.store.payloads.at(place).await? else { return Ok(None) };
        let (index, payload) = split_payload(&record).map_err(|why| StoreError::Damaged { table: "payloads", why })?;
        let Some(bytes) = self.store.messages.at(index).await? else { return Ok(None) };
        let message = self.stored(&bytes)?;
        let names = matches!(&message.body, Body::Readings { blob, .. } if *blob == Batch::blob_digest(payload));
        Ok(names.then(|| (message, payload.to_vec())))
    }
}
