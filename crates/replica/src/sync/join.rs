//! The side that joins.

use super::source::StateSource;
use super::wire::{Counted, Question, RECORDS_MAX, Records, Summit};
use super::{CUTS, Flaw, JoinError, Joining, Progress, Upstream};
use crate::replica::Engine;
use crate::state::{self, State};
use crate::store::{Confirmation, CutRecord, Store};
use crate::wire::{Certificate, Scheme, finalization};
use commonware_codec::Decode as _;
use commonware_cryptography::certificate::Verifier as _;
use commonware_runtime::buffer::paged::CacheRef;
use protocol::codec::{Reader, put_bytes, put_varint};
use protocol::{Committee, Decode, DecodeError, Encode, Finalization, Genesis, Handover, Id, Milestone, PublicKey, handover, merkle};
use std::num::NonZeroU64;
use tracing::{info, warn};

/// Bytes of a stored certificate.
const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;

/// Where a node that joined began.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    epoch: u64,
    committee: Vec<PublicKey>,
    certificate: Vec<u8>,
}

impl Origin {
    /// The epoch of the certificate, and its committee.
    pub(crate) fn committee(&self) -> (u64, &[PublicKey]) {
        (self.epoch, &self.committee)
    }

    /// The engine's certificate on the first milestone to execute.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        Certificate::decode_cfg(bytes::Bytes::copy_from_slice(&self.certificate), &Scheme::certificate_codec_config_unbounded()).ok()
    }
}

impl Encode for Origin {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.epoch);
        put_varint(out, self.committee.len() as u64);
        self.committee.iter().for_each(|key| key.encode_to(out));
        put_bytes(out, &self.certificate);
    }
}

impl Decode for Origin {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let epoch = reader.varint("an epoch")?;
        let n = reader.length(protocol::limits::COMMITTEE_MAX, 32, "a committee")?;
        let committee = (0..n).map(|_| PublicKey::decode_from(reader)).collect::<Result<_, _>>()?;
        Ok(Self { epoch, committee, certificate: reader.bytes(CERTIFICATE_BYTES_MAX, "a certificate")?.into() })
    }
}

/// The record that says that joining has begun; the next one in the table says how it ended.
const BEGUN: u64 = 0;
const ENDED: u64 = 1;

/// Where this node began, if not at the genesis.
pub(crate) async fn origin<E: Engine>(store: &Store<E>) -> Result<Option<Origin>, JoinError> {
    match (store.origin.at(BEGUN).await.map_err(disk)?, store.origin.at(ENDED).await.map_err(disk)?) {
        (_, Some(ended)) => store.origin.decode(&ended).map(Some).map_err(disk),
        (Some(_), None) => Err(JoinError::Unfinished),
        (None, None) => Ok(None),
    }
}

fn disk(why: impl std::fmt::Display) -> JoinError {
    JoinError::Storage(why.to_string())
}

/// Joins from the first source that gives everything. Does nothing in a directory that has begun otherwise.
pub(crate) async fn join<E: Engine>(
    context: &E,
    genesis: &Genesis,
    prefix: &str,
    cache: &CacheRef,
    section: NonZeroU64,
    secret: Id,
    joining: &Joining,
) -> Result<(), JoinError> {
    let mut store = Store::open(&context.child("joining"), prefix, cache, section, secret).await.map_err(disk)?;
    let ended = store.origin.at(ENDED).await.map_err(disk)?.is_some();
    let fresh = store.history.at(0).await.map_err(disk)?.is_none();
    let begun = store.origin.at(BEGUN).await.map_err(disk)?.is_some();
    if joining.upstreams.is_empty() || ended || !(fresh || begun) {
        return Ok(());
    }
    let mark = Id([0; 32]);
    store.origin.put(BEGUN, mark, &Vec::new()).await.map_err(disk)?;
    store.origin.sync().await.map_err(disk)?;
    let mut last = None;
    for upstream in &joining.upstreams {
        let (returned, outcome) = Joiner { context, genesis, prefix, cache, joining, upstream, store }.run().await?;
        store = returned;
        match outcome {
            Ok(origin) => {
                store.sync_execution().await.map_err(disk)?;
                store.origin.put(ENDED, Id([1; 32]), &origin.encode()).await.map_err(disk)?;
                store.origin.sync().await.map_err(disk)?;
                joining.watch.tell(Progress::Done);
                return Ok(());
            }
            Err(why) => {
                warn!(source = upstream.name(), %why, "cannot join from this source");
                last = Some((upstream.name().to_owned(), why));
            }
        }
    }
    let (name, why) = last.unwrap_or_else(|| (String::new(), Flaw::Silent));
    Err(JoinError::Sources { asked: joining.upstreams.len(), name, why })
}

struct Joiner<'a, E: Engine> {
    context: &'a E,
    genesis: &'a Genesis,
    prefix: &'a str,
    cache: &'a CacheRef,
    joining: &'a Joining,
    upstream: &'a Upstream,
    store: Store<E>,
}

/// What keeps a source's answers from being taken over: the source, or this node's disk.
enum Halt {
    Source(Flaw),
    Disk(JoinError),
}

impl<T: Into<Flaw>> From<T> for Halt {
    fn from(why: T) -> Self {
        Self::Source(why.into())
    }
}

impl<E: Engine> Joiner<'_, E> {
    async fn run(mut self) -> Result<(Store<E>, Result<Origin, Flaw>), JoinError> {
        match self.attempt().await {
            Ok(origin) => Ok((self.store, Ok(origin))),
            Err(Halt::Source(why)) => Ok((self.store, Err(why))),
            Err(Halt::Disk(why)) => Err(why),
        }
    }

    async fn ask<T: Decode>(&self, question: &Question) -> Result<T, Flaw> {
        let answer = self.upstream.ask(question).await.ok_or(Flaw::Silent)?;
        T::decode(&answer).map_err(|_| Flaw::Unreadable)
    }

    async fn attempt(&mut self) -> Result<Origin, Halt> {
        let handovers = self.handovers().await?;
        let summit: Summit = self.ask(&Question::Summit).await?;
        let (epoch, committee, known) = self.certified(&summit, &handovers)?;
        info!(source = self.upstream.name(), height = summit.height, epoch, "joining at a certified milestone");
        self.joining.watch.tell(Progress::Summit { height: summit.height, epoch });
        self.headers(&summit).await?;
        self.cuts(&summit).await?;
        self.state(&summit).await?;
        for handover in handovers.iter().take(known) {
            let digest = handover.milestone.digest();
            self.store.handovers.put(handover.milestone.epoch, digest, &handover.encode()).await.map_err(halt)?;
        }
        let members = committee.validators().iter().map(|v| v.key).collect();
        Ok(Origin { epoch, committee: members, certificate: summit.certificate })
    }

    /// Every epoch's end that the source knows. They are checked with the summit.
    async fn handovers(&self) -> Result<Vec<Handover>, Flaw> {
        let mut all: Vec<Handover> = Vec::new();
        loop {
            let Records(more) = self.ask::<Records<Handover>>(&Question::Handovers { from: all.len() as u64 }).await?;
            if more.is_empty() || all.len() > protocol::limits::HANDOVERS_MAX {
                return Ok(all);
            }
            all.extend(more);
        }
    }

    /// Checks the certificate on the floor. Gives its epoch and committee, and how many handovers lead there.
    fn certified(&self, summit: &Summit, handovers: &[Handover]) -> Result<(u64, Committee, usize), Flaw> {
        let parameters = &self.genesis.parameters;
        let epoch = parameters.epoch_of(summit.floor.height);
        let known = usize::try_from(epoch).unwrap_or(usize::MAX);
        let path = handovers.get(..known).ok_or(Flaw::Misfit("it does not know how the committee came to be"))?;
        let committee = handover::walk(self.genesis, path)?;
        let config = Scheme::certificate_codec_config_unbounded();
        let certificate =
            Certificate::decode_cfg(bytes::Bytes::copy_from_slice(&summit.certificate), &config).map_err(|_| Flaw::Unreadable)?;
        let certificate: Finalization = finalization(&certificate).ok_or(Flaw::Unreadable)?;
        certificate.verify(&self.genesis.network(), &committee)?;
        let floor = &summit.floor;
        let rules = [
            (floor.digest() == certificate.digest, "its certificate is on another milestone"),
            (floor.subnet == self.genesis.subnet, "its milestone is of another subnet"),
            (floor.epoch == epoch && certificate.epoch == epoch, "its milestone is of another epoch than its height"),
            (summit.height.checked_add(1) == Some(floor.height) && summit.height > 0, "its state is not the one before its milestone"),
            (state::witnessed(summit.ops_root, &summit.witness, floor.state_root), "its state is not the certified one"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(Flaw::Misfit(why)),
            None => Ok((epoch, committee, known)),
        }
    }

    /// Takes over the headers, each linked to the one before and the last to the certified floor.
    async fn headers(&mut self, summit: &Summit) -> Result<(), Halt> {
        let first = self.genesis.milestone();
        let mut previous = first.digest();
        let mut range = merkle::Range::default();
        let mut headers: Vec<(Id, Milestone)> = Vec::new();
        self.history(&mut range, 0, &previous).await?;
        let mut next = 1;
        while next <= summit.height {
            let count = (summit.height - next + 1).min(RECORDS_MAX as u64);
            let Records(more) = self.ask::<Records<Milestone>>(&Question::Headers { from: next, count }).await?;
            if more.is_empty() {
                return Err(Flaw::Misfit("it does not have every header").into());
            }
            for header in more {
                if header.height != next || header.parent != previous || next > summit.height {
                    return Err(Flaw::Misfit("its headers are not one chain").into());
                }
                previous = header.digest();
                headers.push((previous, header));
                next += 1;
            }
            self.joining.watch.tell(Progress::Headers { done: next - 1, of: summit.height });
        }
        if previous != summit.floor.parent {
            return Err(Flaw::Misfit("its headers do not lead to the certified milestone").into());
        }
        for (digest, header) in headers {
            self.history(&mut range, header.height, &digest).await?;
            self.store.headers.put(header.height, digest, &header.encode()).await.map_err(halt)?;
        }
        match range.root() == summit.floor.history_root {
            true => Ok(()),
            false => Err(Flaw::Misfit("its headers are not the certified history").into()),
        }
    }

    async fn history(&mut self, range: &mut merkle::Range, height: u64, digest: &Id) -> Result<(), Halt> {
        let nodes = range.push(Milestone::history_leaf(digest));
        for (position, node) in (merkle::position(0, height)..).zip(nodes) {
            self.store.history.put(position, node, &node.encode()).await.map_err(halt)?;
        }
        Ok(())
    }

    /// Takes over what counts in the last milestones, so that messages that build on it can be understood. What they found
    /// void comes with the state.
    async fn cuts(&mut self, summit: &Summit) -> Result<(), Halt> {
        let mut next = summit.height.saturating_sub(CUTS - 1).max(1);
        while next <= summit.height {
            let count = summit.height - next + 1;
            let Records(more) = self.ask::<Records<Counted>>(&Question::Cuts { from: next, count }).await?;
            if more.is_empty() {
                return Err(Flaw::Misfit("it no longer has what the last milestones confirmed").into());
            }
            for Counted(counted) in more {
                let header = self.store.headers.at(next).await.map_err(halt)?.ok_or(Flaw::Misfit("a header is missing"))?;
                let header: Milestone = self.store.headers.decode(&header).map_err(halt)?;
                if header.messages_root != Milestone::root_of_messages(&counted) || next > summit.height {
                    return Err(Flaw::Misfit("its messages are not those that a milestone confirmed").into());
                }
                self.take(next, header.digest(), counted).await?;
                next += 1;
            }
        }
        Ok(())
    }

    async fn take(&mut self, height: u64, digest: Id, counted: Vec<Id>) -> Result<(), Halt> {
        let confirmations = self.store.confirmations.next();
        for (index, id) in (0u64..).zip(&counted) {
            if !self.store.confirmations.has(*id).await.map_err(halt)? {
                let confirmation = Confirmation { height, index: Some(index) };
                self.store.confirmations.append(*id, &confirmation.encode()).await.map_err(halt)?;
            }
        }
        let here = CutRecord { floor: 0, payload_floor: 0, confirmations, spent: 0, bytes: 0, counted, void: Vec::new() };
        self.store.cuts.put(height, digest, &here.encode()).await.map_err(halt)
    }

    /// Takes over the state.
    async fn state(&mut self, summit: &Summit) -> Result<(), Halt> {
        let source = StateSource::new(self.upstream.clone());
        let context = self.context.child("joining_state");
        let root = State::sync(context, self.prefix, self.cache, summit.size, summit.start, summit.ops_root, source).await?;
        if root != summit.floor.state_root {
            return Err(Flaw::Root.into());
        }
        self.joining.watch.tell(Progress::State);
        Ok(())
    }
}

fn halt(why: impl std::fmt::Display) -> Halt {
    Halt::Disk(disk(why))
}
