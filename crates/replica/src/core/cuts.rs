//! Milestones before they are final: what each would confirm, and the state it would lead to.

use super::actor::{Core, CoreError, Job};
use super::refused::Refused;
use super::request::Link;
use super::settled::passed;
use crate::state::{Outcome, Speculation};
use crate::store::Disk;
use commonware_runtime::Spawner;
use dag::CutError;
use ledger::{Account, Rules};
use protocol::limits::CUT_MESSAGES_MAX;
use protocol::merkle::Range;
use protocol::{Body, Id, Message, Milestone, PublicKey, Unsigned};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// How long a tip that a milestone names may still arrive by itself: its push is usually right behind.
const TIP_DELAY: Duration = Duration::from_millis(10);

/// A closing milestone with so many messages in its cone, void ones too, needs no ends of members: with more waiting than one can
/// hold, those that end the epoch may not be among them, and there is no other milestone to come before it.
const CLOSING_FULL: usize = CUT_MESSAGES_MAX / 2;

/// What a message costs when a milestone with it is checked, in a few microseconds each.
fn cost(message: &Arc<Message>) -> usize {
    let body = match &message.body {
        Body::Requests(requests) => requests.len().saturating_mul(16),
        Body::Certificates(certificates) => certificates.iter().map(|c| c.votes.len().saturating_add(1).saturating_mul(32)).sum(),
        Body::Orders(orders) => orders.len().saturating_mul(32),
        _ => 0,
    };
    body.saturating_add(message.votes.len().saturating_mul(2)).saturating_add(1)
}

/// The last milestone executed.
#[derive(Clone)]
pub(crate) struct Executed {
    pub(crate) height: u64,
    pub(crate) digest: Id,
    pub(crate) time_ms: u64,
    /// History up to and including it.
    pub(crate) range: Range,
    /// The state after it, until that is on disk.
    pub(crate) state: Option<Speculation>,
}

/// A milestone that holds, on top of others that hold.
pub(crate) struct Cut {
    pub(crate) milestone: Arc<Milestone>,
    /// Everything in its new past cone.
    pub(crate) ids: BTreeSet<Id>,
    pub(crate) counted: Vec<Id>,
    pub(crate) void: Vec<Id>,
    pub(crate) state: Speculation,
    /// History up to and including it.
    pub(crate) range: Range,
    /// Orders and evidence in it that have no effect.
    pub(crate) refused: Refused,
    /// Issuers with void messages that it met, as they stand after it.
    pub(crate) suspects: Vec<(PublicKey, Account)>,
    /// Requests that it executes, in order.
    pub(crate) spent: Vec<ledger::Executed>,
}

/// What becomes of a chain of milestones.
pub(crate) enum Evaluation {
    /// All of it holds.
    Holds,
    /// Messages are missing.
    Waits(Vec<Id>),
    /// It can never hold.
    Fails(&'static str),
}

/// Each issuer's next sequence, and its last message that counted.
pub(super) type Frontier = BTreeMap<PublicKey, (u64, Id)>;

/// What a milestone builds on.
struct Base {
    height: u64,
    time_ms: u64,
    state_root: Id,
    state: Option<Speculation>,
    range: Range,
}

/// What a set of tips confirms.
struct Confirms {
    ids: BTreeSet<Id>,
    counted: Vec<Id>,
    void: Vec<Id>,
}

impl<E: Disk + Spawner> Core<E> {
    /// Tries a question of consensus; keeps it if messages are missing.
    async fn job(&mut self, job: Job) -> Result<(), CoreError> {
        let (Job::Propose { chain, .. } | Job::Verify { chain, .. }) = &job;
        match self.evaluate(chain).await? {
            Evaluation::Waits(missing) => {
                for id in missing {
                    self.want(id, TIP_DELAY);
                }
                let blindly = !self.defences.availability && matches!(job, Job::Verify { .. });
                match blindly {
                    true => self.conclude(job, true).await?,
                    false => self.jobs.push(job),
                }
            }
            evaluation => self.conclude(job, matches!(evaluation, Evaluation::Holds)).await?,
        }
        Ok(())
    }

    /// Answers. A vote, and a proposal is one, promises that the milestone can be executed: everything in it is
    /// durable first.
    async fn conclude(&mut self, job: Job, holds: bool) -> Result<(), CoreError> {
        match job {
            Job::Verify { reply, .. } => {
                if holds {
                    self.store.sync_messages().await?;
                }
                let _ = reply.send(holds);
            }
            Job::Propose { chain, now_ms, heartbeat, reply } => {
                let proposal = match chain.last() {
                    Some(parent) if holds => self.propose(parent, now_ms, heartbeat).await?,
                    _ => None,
                };
                if proposal.is_some() {
                    self.store.sync_messages().await?;
                }
                let _ = reply.send(proposal);
            }
        }
        Ok(())
    }

    /// Takes up what is new, and again what waited for messages.
    pub(super) async fn try_jobs(&mut self) -> Result<(), CoreError> {
        for job in std::mem::take(&mut self.jobs) {
            let abandoned = match &job {
                Job::Propose { reply, .. } => reply.is_closed(),
                Job::Verify { reply, .. } => reply.is_closed(),
            };
            if !abandoned {
                self.job(job).await?;
            }
        }
        Ok(())
    }

    /// Checks a chain of milestones, oldest first, each on top of the one before; the first on top of
    /// something executed or checked before.
    pub(super) async fn evaluate(&mut self, chain: &[Link]) -> Result<Evaluation, CoreError> {
        for link in chain {
            let height = link.milestone.height;
            if height <= self.executed.height {
                if height == self.executed.height && link.digest != self.executed.digest {
                    return Ok(Evaluation::Fails("it builds on a milestone that another one replaced"));
                }
                continue;
            }
            if !self.cuts.contains_key(&link.digest) {
                match self.evaluate_one(link).await? {
                    Evaluation::Holds => {}
                    other => {
                        if let Evaluation::Fails(why) = &other {
                            warn!(height, digest = %link.digest, why, "a milestone that was proposed does not hold: no vote for it");
                        }
                        return Ok(other);
                    }
                }
            }
        }
        Ok(Evaluation::Holds)
    }

    async fn evaluate_one(&mut self, link: &Link) -> Result<Evaluation, CoreError> {
        let m = &link.milestone;
        let Some(base) = self.base(&m.parent)? else {
            return Ok(match self.finalized.is_empty() {
                true => Evaluation::Fails("its parent is not known"),
                // the chain begins with a milestone that is final but waits for messages: so does this one
                false => Evaluation::Waits(Vec::new()),
            });
        };
        let elected = match m.height == base.height + 1 {
            true => self.elected(m.height, base.state.as_ref()).await?,
            false => None,
        };
        let rules = [
            (m.height == base.height + 1, "its height is not its parent's plus one"),
            (m.time_ms > base.time_ms, "its time is not after its parent's"),
            (m.subnet == self.genesis.subnet, "it is of another subnet"),
            (m.epoch == self.epoch_of(m.height), "it is of another epoch than its height"),
            (m.next_committee == elected, "it does not name the committee that is elected"),
            (m.state_root == base.state_root, "its state root is not the state after its parent"),
            (m.history_root == base.range.root(), "its history root is not its parents' tree"),
        ];
        if let Some((_, why)) = rules.iter().find(|(holds, _)| !holds) {
            return Ok(Evaluation::Fails(why));
        }
        let confirms = match self.confirms(&m.tips, &m.parent) {
            Ok(confirms) => confirms,
            Err(CutError::Unknown(missing)) => {
                for tip in &missing {
                    if !self.dag.is_pending(tip) && self.store.messages.has(*tip).await? {
                        return Ok(Evaluation::Fails("it names a tip that was confirmed long ago"));
                    }
                }
                return Ok(Evaluation::Waits(missing));
            }
            Err(_) => return Ok(Evaluation::Fails("its tips are stale or confirm too much")),
        };
        if m.message_count != confirms.counted.len() as u64 || m.messages_root != Milestone::root_of_messages(&confirms.counted) {
            return Ok(Evaluation::Fails("its messages root is not the order of its tips' past cone"));
        }
        let held = |ids: &[Id]| -> Vec<Arc<Message>> { ids.iter().filter_map(|id| self.dag.get(id).cloned()).collect() };
        let (messages, void) = (held(&confirms.counted), held(&confirms.void));
        let ledger_rules = self.ledger_rules(m.epoch, m.height, m.time_ms);
        let Outcome { state, refused, suspects, spent, may_close } =
            self.state.speculate(base.state.as_ref(), m.height, &ledger_rules, &messages, &void, m.next_committee.as_deref()).await?;
        if m.next_committee.is_some() && !may_close && confirms.ids.len() < CLOSING_FULL {
            return Ok(Evaluation::Fails("too few members have said that they vote no more in its epoch"));
        }
        let mut range = base.range;
        range.push(Milestone::history_leaf(&link.digest));
        let Confirms { ids, counted, void } = confirms;
        self.cuts.insert(link.digest, Cut { milestone: Arc::clone(m), ids, counted, void, state, range, refused, suspects, spent });
        Ok(Evaluation::Holds)
    }

    /// Builds a milestone on `parent`, which holds.
    async fn propose(&mut self, parent: &Link, now_ms: u64, heartbeat: bool) -> Result<Option<Milestone>, CoreError> {
        let Some(base) = self.base(&parent.digest)? else {
            return Ok(None);
        };
        let next_committee = self.elected(base.height + 1, base.state.as_ref()).await?;
        let closes = next_committee.is_some();
        let tips = {
            let (above, frontier) = (self.above(&parent.digest), self.frontier_after(&parent.digest));
            // what does not fit waits for the next one; but the ends of members may come last, and no milestone comes before the
            // closing one
            let budget = if closes { usize::MAX } else { self.pace.budget(base.height + 1) };
            self.dag.proposal_within(&|id| self.is_settled(id, &above, &frontier), budget, &cost)
        };
        if tips.is_empty() && !heartbeat {
            return Ok(None);
        }
        let Ok(confirms) = self.confirms(&tips, &parent.digest) else {
            return Ok(None);
        };
        let message_count = confirms.counted.len() as u64;
        if closes && confirms.ids.len() < CLOSING_FULL && !self.fast.may_close() {
            return Ok(None); // asked again when messages come
        }
        let milestone = Milestone {
            subnet: self.genesis.subnet,
            parent: parent.digest,
            height: base.height + 1,
            epoch: self.epoch_of(base.height + 1),
            time_ms: now_ms.max(base.time_ms + 1),
            tips,
            message_count,
            messages_root: Milestone::root_of_messages(&confirms.counted),
            state_root: base.state_root,
            history_root: base.range.root(),
            next_committee,
        };
        if closes {
            // nobody votes for one that lacks the ends of members
            let link = Link { digest: milestone.digest(), milestone: Arc::new(milestone.clone()) };
            if !matches!(self.evaluate_one(&link).await?, Evaluation::Holds) {
                return Ok(None);
            }
        }
        self.pace.proposed(milestone.height, milestone.digest());
        Ok(Some(milestone))
    }

    /// The epoch that a height belongs to.
    pub(super) const fn epoch_of(&self, height: u64) -> u64 {
        height / self.genesis.parameters.epoch_milestones
    }

    /// The committee that a milestone of this height must name, after the state of its parent.
    async fn elected(&self, height: u64, state: Option<&Speculation>) -> Result<Option<Vec<PublicKey>>, CoreError> {
        if self.epoch_of(height) == self.epoch_of(height + 1) {
            return Ok(None);
        }
        Ok(Some(self.state.elect(state, &self.ledger_rules(self.epoch_of(height), height, 0)).await?))
    }

    /// The ledger's rules for a milestone of this time; an election does not look at the time.
    pub(super) const fn ledger_rules(&self, epoch: u64, height: u64, time_ms: u64) -> Rules<'_> {
        Rules {
            network: &self.network,
            subnet: self.genesis.subnet,
            epoch,
            height,
            time_ms,
            parameters: &self.genesis.parameters,
            wallets: &self.genesis.wallet_parameters,
        }
    }

    /// What a milestone with this parent builds on; `None` if the parent does not hold (yet).
    fn base(&self, parent: &Id) -> Result<Option<Base>, CoreError> {
        if *parent == self.executed.digest {
            let Executed { height, time_ms, range, state, .. } = self.executed.clone();
            return Ok(Some(Base { height, time_ms, state_root: self.state_root()?, state, range }));
        }
        Ok(self.cuts.get(parent).map(|cut| Base {
            height: cut.milestone.height,
            time_ms: cut.milestone.time_ms,
            state_root: cut.state.root(),
            state: Some(cut.state.clone()),
            range: cut.range.clone(),
        }))
    }

    /// Root of the state after the last milestone executed.
    pub(super) fn state_root(&self) -> Result<Id, CoreError> {
        match &self.executed.state {
            Some(state) => Ok(state.root()),
            None => Ok(self.state.root()?),
        }
    }

    /// What the milestones from `digest` down to the last executed one confirm.
    fn above(&self, digest: &Id) -> Vec<&BTreeSet<Id>> {
        let mut sets = Vec::new();
        let mut at = digest;
        while let Some(cut) = self.cuts.get(at) {
            sets.push(&cut.ids);
            at = &cut.milestone.parent;
        }
        sets
    }

    /// The new past cone of `tips` on top of `parent`, in order, with conflicts decided.
    fn confirms(&self, tips: &[Id], parent: &Id) -> Result<Confirms, CutError> {
        let (above, frontier) = (self.above(parent), self.frontier_after(parent));
        let ordered = self.dag.cut(tips, &|id| self.is_settled(id, &above, &frontier))?;
        let messages: Vec<&Arc<Message>> = ordered.iter().filter_map(|id| self.dag.get(id)).collect();
        let settled = match self.defences.conflicts {
            true => dag::settle(Unsigned::root(self.network), messages, &frontier),
            false => dag::Settled { counted: ordered.clone(), void: Vec::new() },
        };
        Ok(Confirms { ids: ordered.into_iter().collect(), counted: settled.counted, void: settled.void })
    }

    /// Whether no milestone on top of those in `above` can confirm a message: one of them does, or its issuer has gone
    /// past its sequence. The latter keeps whoever no longer has the old messages in step with whoever has. What the
    /// state remembers as void is confirmed in the graph, or was never let in.
    fn is_settled(&self, id: &Id, above: &[&BTreeSet<Id>], frontier: &Frontier) -> bool {
        above.iter().any(|ids| ids.contains(id))
            || (self.defences.archive
                && self.defences.conflicts
                && self.dag.get(id).is_some_and(|m| passed(frontier, &m.issuer, m.sequence)))
    }

    /// Each issuer's next sequence and last message that counted, after the milestone of `digest`.
    fn frontier_after(&self, digest: &Id) -> Frontier {
        let mut cuts = Vec::new();
        let mut at = digest;
        while let Some(cut) = self.cuts.get(at) {
            cuts.push(cut);
            at = &cut.milestone.parent;
        }
        let mut frontier = self.frontier.clone();
        for cut in cuts.iter().rev() {
            for m in cut.counted.iter().filter_map(|id| self.dag.get(id)) {
                frontier.insert(m.issuer, (m.sequence + 1, m.id()));
            }
            // some may be barred
            frontier.extend(cut.suspects.iter().map(|(issuer, account)| (*issuer, (account.next_sequence, account.last))));
        }
        frontier
    }
}
