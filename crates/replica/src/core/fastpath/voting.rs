//! The core's side of a round: signatures are verified, votes go out, rejections too.
//!
//! Votes ride in whatever message this node issues next. If none is issued in the same round, an empty one carries them: at most one
//! every 2 ms, and no more of them than a quarter of the share, so that votes never cost a site its own messages.

use super::spends::Heard;
use crate::core::actor::{Core, CoreError};
use crate::core::issuing::{shifted, unix_ms};
use crate::handle::Event;
use crate::state::StateError;
use crate::store::{Ballot, Disk};
use crate::wire::{Frame, public_key};
use commonware_cryptography::ed25519;
use commonware_runtime::Spawner;
use commonware_utils::channel::oneshot;
use ledger::Rules;
use protocol::{Body, Certificate, Id, Reason, Rejection, Request, rate};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, warn};

/// Least time between two messages with nothing but votes, in microseconds.
const VOTE_INTERVAL_US: u64 = 2_000;
/// One of so many messages of the share may carry nothing but votes.
const VOTE_SHARE: u64 = 4;
/// Signatures verified together.
const BATCH_MAX: usize = 256;

impl<E: Disk + Spawner> Core<E> {
    /// This node's wall clock, in milliseconds since 1970.
    pub(super) fn wall_ms(&self) -> u64 {
        unix_ms(shifted(self.context.current(), self.clock_offset_ms))
    }

    /// One round: what was heard and asked for is judged and issued, durable, and answered.
    pub(in crate::core) async fn spend_round(&mut self) -> Result<(), CoreError> {
        self.check_heard();
        self.check_presented();
        let asked = self.check_carried();
        self.judge_candidates().await?;
        self.issue_carried(asked).await?;
        self.end_epoch_if_due().await?;
        self.issue_votes().await?;
        self.save_issued().await?;
        self.answer_carried();
        self.send_rejections();
        self.emit_spends();
        Ok(())
    }

    /// Takes in the requests heard in this round whose work and signature are good.
    pub(in crate::core) fn check_heard(&mut self) {
        let heard = std::mem::take(&mut self.fast.heard);
        let needed = self.genesis.wallet_parameters.difficulty;
        let (worked, idle): (Vec<Heard>, Vec<Heard>) = heard.into_iter().partition(|h| h.request.work() >= needed);
        for h in idle {
            self.fast.answer(h.id, h.issuer, Reason::Work { needed });
        }
        for together in worked.chunks(BATCH_MAX) {
            let all = self.are_authentic(together);
            for of_one in together.chunk_by(|a, b| a.message == b.message) {
                let authentic = all || self.are_authentic(of_one);
                for h in of_one {
                    if authentic || h.request.verify(&self.network) {
                        self.fast.take(h, false);
                    } else {
                        // an honest node carries none such: the rest of its message is not worth verifying one by one
                        self.fast.answer(h.id, h.issuer, Reason::Signature);
                        break;
                    }
                }
            }
        }
    }

    /// Requests of this epoch that a milestone executed and this node has not heard of are known from now on: one that is heard
    /// of later must not be taken for one that waits.
    pub(in crate::core) fn remember_spent(&mut self, spent: &[ledger::Executed]) {
        for ledger::Executed { request: id, content, .. } in spent {
            if content.epoch == self.fast.now.epoch() && self.fast.now.get(id).is_none() && content.verify(&self.network) {
                let _ = self.fast.now.add(*id, &Arc::new(content.clone()));
            }
        }
    }

    fn are_authentic(&self, heard: &[Heard]) -> bool {
        let requests: Vec<&Request> = heard.iter().map(|h| &*h.request).collect();
        Request::verify_all(&requests, &self.network, self.batch_seed)
    }

    /// Takes in certificates that others put on the ledger and that this node could not have assembled.
    pub(super) fn check_presented(&mut self) {
        for together in std::mem::take(&mut self.fast.presented) {
            for certificate in together {
                let id = certificate.request.id();
                // it may prove nothing, or its message be void: what the ledger knows shows when it is executed
                if self.fast.now.is_complete(&id) {
                    continue;
                }
                let percent = self.genesis.wallet_parameters.threshold_percent;
                let committee = self.fast.now.committee();
                if let Err(why) = certificate.verify_keys(&self.network, self.genesis.subnet, committee, percent) {
                    debug!(request = %id, %why, "a certificate that proves nothing: the rest of its message is not looked at");
                    break;
                }
                let heard = Heard { id, request: certificate.request.clone().into(), message: Id([0; 32]), issuer: self.me };
                self.fast.take(&heard, false);
                if self.fast.now.present(&id, certificate) {
                    self.fast.complete.insert(id);
                }
            }
        }
    }

    async fn judge_candidates(&mut self) -> Result<(), CoreError> {
        let now_ms = self.wall_ms();
        let Some(round) = self.fast.round(now_ms) else { return Ok(()) };
        let store = self.state.read(self.executed.state.as_ref(), self.fast.keys(&round)).await?;
        let height = self.executed.height.saturating_add(1);
        let rules = Rules {
            network: &self.network,
            subnet: self.genesis.subnet,
            epoch: self.fast.now.epoch(),
            height,
            time_ms: now_ms,
            parameters: &self.genesis.parameters,
            wallets: &self.genesis.wallet_parameters,
        };
        Ok(self.fast.judge(&round, &store, &rules, now_ms).map_err(StateError::from)?)
    }

    /// Issues an empty message for votes that nothing else carried.
    async fn issue_votes(&mut self) -> Result<(), CoreError> {
        let now = self.context.current();
        if self.fast.deadline().is_none_or(|at| now < at) {
            return Ok(());
        }
        let share = rate::share(&self.genesis.parameters, self.own.next_sequence).max(1);
        let interval_us = VOTE_INTERVAL_US.max(VOTE_SHARE.saturating_mul(1_000_000) / share);
        self.fast.next_vote = now + Duration::from_micros(interval_us);
        if self.fast.ballots(&Body::Data(Vec::new())).is_empty() {
            return Ok(());
        }
        let (reply, mut answer) = oneshot::channel();
        self.issue(Body::Data(Vec::new()), None, reply).await?;
        if let Ok(Err(why)) = answer.try_recv() {
            debug!(%why, "votes wait to be issued");
        }
        Ok(())
    }

    /// Makes the votes of messages durable that are about to be. They come before the messages.
    pub(in crate::core) async fn save_ballots(&mut self) -> Result<(), CoreError> {
        if self.fast.casting.is_empty() {
            return Ok(());
        }
        for ballot in std::mem::take(&mut self.fast.casting) {
            let index = self.store.ballots.append(ballot.key(), &protocol::Encode::encode(&ballot)).await?;
            if let Ballot::Vote { epoch, wallet, number, .. } = ballot
                && epoch == self.fast.now.epoch()
            {
                self.fast.locks.written(wallet, number, index);
            }
        }
        self.store.ballots.sync().await?;
        Ok(())
    }

    /// There are messages of this node that its disk has not heard of, so there may be such votes: it votes no more in this epoch.
    pub(in crate::core) fn abstain(&mut self) {
        if self.fast.locks.abstain() {
            let epoch = self.fast.now.epoch();
            warn!(epoch, "this node's disk lacks messages that it had issued: it votes for no request in this epoch");
            self.fast.pending.clear();
            self.fast.casting.push(Ballot::Abstain { epoch });
        }
    }

    /// Tells those that carried requests why this node is not for them.
    fn send_rejections(&mut self) {
        let at_ms = self.wall_ms();
        let mut frames: BTreeMap<protocol::PublicKey, Vec<Rejection>> = BTreeMap::new();
        for (carrier, request, reason) in self.fast.take_rejections() {
            let rejection = Rejection::sign(&self.network, &self.key, self.fast.now.epoch(), request, reason, at_ms);
            frames.entry(carrier).or_default().push(rejection);
            self.fast.counts.rejected += 1;
        }
        for (carrier, rejections) in frames {
            if let Some(peer) = public_key(&carrier) {
                (self.outlets.push)(Some(peer), Frame(Vec::new(), rejections));
            }
        }
    }

    /// A peer says why it is not for requests that this node carried. All that it says at once costs it one token: it needs the others
    /// for its messages.
    pub(in crate::core) fn rejected(&mut self, peer: &ed25519::PublicKey, rejections: Vec<Rejection>) {
        if rejections.is_empty() || !self.may_announce(peer) {
            return;
        }
        for rejection in rejections {
            let its_own = public_key(&rejection.validator).is_some_and(|key| key == *peer);
            if !its_own || !self.fast.now.wants(&rejection) {
                continue;
            }
            if !rejection.verify(&self.network) {
                // the peer forges its own name: the rest is not worth verifying
                break;
            }
            self.fast.doubtful.insert(rejection.request);
            self.fast.now.reject(rejection);
        }
    }

    /// Tells what happened to requests.
    pub(in crate::core) fn emit_spends(&mut self) {
        let events = self.fast.take_events();
        if !events.is_empty() {
            self.emit(&Event::Spends(events.into()));
        }
    }

    /// The certificate of a request, if enough votes are known and their messages are here. One that was put together is kept for a while:
    /// it takes a tree over all votes of each of those messages.
    pub(super) async fn assemble(&mut self, id: &Id) -> Result<Option<Certificate>, CoreError> {
        let known = [Some(&self.fast.now), self.fast.before.as_ref()];
        let Some((spends, spend)) = known.into_iter().flatten().find_map(|spends| spends.get(id).map(|spend| (spends, spend))) else {
            return Ok(None);
        };
        if let Some(certificate) = &spend.certificate {
            return Ok(Some((**certificate).clone()));
        }
        let mut votes = Vec::with_capacity(spends.needed());
        for (voter, message) in &spend.votes {
            if votes.len() < spends.needed()
                && let Some(message) = self.find(*message).await?
            {
                votes.extend(message.cast_vote(id, *voter));
            }
        }
        let assembled = match spends.needed() {
            0 => None,
            needed => Certificate::assemble((*spend.request).clone(), votes, needed),
        };
        if let Some(certificate) = &assembled {
            self.fast.now.keep(id, certificate);
            if let Some(before) = &mut self.fast.before {
                before.keep(id, certificate);
            }
        }
        Ok(assembled)
    }
}
