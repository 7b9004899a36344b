//! Requests of callers: this node puts them into its next message, those of all callers of a round together.
//!
//! ```text
//! callers ─▶ carried, in their order ─ so many a round ─▶ known or refused ─▶ answered
//!                                                    └─▶ signatures, all together ─▶ judged ─▶ one message
//! ```

use super::spends::Heard;
use crate::core::actor::{Core, CoreError};
use crate::handle::{IssueError, SpendAnswer};
use crate::store::Disk;
use commonware_runtime::Spawner;
use commonware_utils::channel::oneshot;
use protocol::limits::REQUESTS_MAX;
use protocol::{Body, DecodeError, Id, Reason, Request};
use std::sync::Arc;

/// Requests of callers that are looked at in one round: verifying them takes some 30 ms. Other callers wait for the next round.
const CARRIED_MAX: usize = 1_024;
const _: () = assert!(REQUESTS_MAX <= CARRIED_MAX);
/// Callers that wait.
const CALLERS_MAX: usize = 1_024;
/// When a caller may ask again for whom there is no room, in milliseconds.
const CALLERS_RETRY_MS: u64 = 100;

/// What a caller hears.
pub(in crate::core) type SpendReply = oneshot::Sender<Result<Vec<SpendAnswer>, IssueError>>;

/// What each request of a caller came to, and where to say so.
type Caller = (Vec<Result<Id, Reason>>, SpendReply);

/// What a caller wants carried.
pub(in crate::core) struct Carried {
    pub(in crate::core) requests: Vec<Request>,
    pub(in crate::core) reply: SpendReply,
}

/// A caller's request in this round.
enum Case {
    /// It is in a message already, or was executed.
    Known(Id),
    /// It is in a message already, and is carried again.
    Again(Id, Arc<Request>),
    /// It is to be carried, if the signature is good and this node is for it.
    Fresh(Id, Arc<Request>),
    /// It is not carried.
    Refused(Reason),
}

/// A caller's requests in this round.
pub(super) struct Asked {
    cases: Vec<Case>,
    reply: SpendReply,
}

impl Asked {
    /// Those whose signatures are to be verified.
    fn fresh(&self) -> impl Iterator<Item = &Request> {
        self.cases.iter().filter_map(|case| match case {
            Case::Fresh(_, request) => Some(&**request),
            Case::Known(_) | Case::Again(..) | Case::Refused(_) => None,
        })
    }
}

/// How many of the callers that wait are looked at in this round, given how many requests each has.
fn turn(waiting: impl Iterator<Item = usize>) -> usize {
    let (mut room, mut callers) = (CARRIED_MAX, 0);
    for requests in waiting {
        // one without requests is answered too
        let Some(left) = room.checked_sub(requests.max(1)) else { break };
        room = left;
        callers += 1;
    }
    callers
}

/// A caller that waits until its requests are durable.
pub(super) struct Carrying {
    answers: Vec<Result<Id, Reason>>,
    reply: SpendReply,
}

impl<E: Disk + Spawner> Core<E> {
    /// A caller asks for its requests to be carried.
    pub(in crate::core) fn carry(&mut self, carried: Carried) {
        if carried.requests.len() > REQUESTS_MAX {
            let (limit, found) = (REQUESTS_MAX, carried.requests.len() as u64);
            let why = DecodeError::OverLimit { what: "a message's requests", limit, found };
            let _ = carried.reply.send(Err(IssueError::Invalid(why)));
        } else if self.fast.carried.len() >= CALLERS_MAX {
            let _ = carried.reply.send(Err(IssueError::Rate { retry_ms: CALLERS_RETRY_MS }));
        } else {
            self.fast.carried.push_back(carried);
        }
    }

    /// Takes in what callers ask for, to be judged with everything else.
    pub(super) fn check_carried(&mut self) -> Vec<Asked> {
        let callers = turn(self.fast.carried.iter().map(|carried| carried.requests.len()));
        let carried: Vec<Carried> = self.fast.carried.drain(..callers).collect();
        let mut all = Vec::with_capacity(callers);
        for Carried { requests, reply } in carried {
            let cases = requests.into_iter().map(|request| self.check_one(request)).collect();
            all.push(Asked { cases, reply });
        }
        self.check_signatures(&mut all);
        all
    }

    /// Verifies the signatures of all callers together; if one is bad, those of each caller; if one of the caller's is, one by one.
    fn check_signatures(&mut self, all: &mut [Asked]) {
        let good = self.are_signed(all.iter().flat_map(Asked::fresh));
        for asked in all {
            let good = good || self.are_signed(asked.fresh());
            for case in &mut asked.cases {
                let Case::Fresh(id, request) = case else { continue };
                let (id, request) = (*id, Arc::clone(request));
                let refused = match good || request.verify(&self.network) {
                    true => self.take_asked(id, &request),
                    false => Some(Reason::Signature),
                };
                if let Some(reason) = refused {
                    *case = Case::Refused(reason);
                }
            }
        }
    }

    fn are_signed<'a>(&self, requests: impl Iterator<Item = &'a Request>) -> bool {
        let requests: Vec<&Request> = requests.collect();
        Request::verify_all(&requests, &self.network, self.batch_seed)
    }

    /// Takes in a caller's request whose signature is good; gives why it is not carried, if there is no room for it.
    fn take_asked(&mut self, id: Id, request: &Arc<Request>) -> Option<Reason> {
        let heard = Heard { id, request: Arc::clone(request), message: Id([0; 32]), issuer: self.me };
        self.fast.take(&heard, true);
        if self.fast.now.get(&id).is_none() {
            // there are too many of its number
            let voted = self.fast.now.slot(&request.wallet, request.number).first().copied().unwrap_or(id);
            return Some(Reason::Locked { voted });
        }
        self.fast.asked.insert(id, None);
        None
    }

    /// Everything but the signature.
    fn check_one(&mut self, request: Request) -> Case {
        let (id, epoch) = (request.id(), self.fast.now.epoch());
        let known = |spends: &super::Spends| spends.get(&id).is_some_and(|s| !s.carriers.is_empty() || s.executed.is_some());
        if known(&self.fast.now) || self.fast.before.as_ref().is_some_and(known) {
            // what it carries for somebody it also tells of
            self.fast.now.carried_here(&id);
            self.fast.try_again(&id);
            return match self.fast.now.neglected(&id).filter(|_| !self.fast.ended) {
                Some(request) => Case::Again(id, request),
                None => Case::Known(id),
            };
        }
        if request.epoch != epoch {
            return Case::Refused(Reason::Epoch { now: epoch });
        }
        if self.fast.ended {
            return Case::Refused(Reason::Ended);
        }
        let needed = self.genesis.wallet_parameters.difficulty;
        if request.work() < needed {
            return Case::Refused(Reason::Work { needed });
        }
        Case::Fresh(id, Arc::new(request))
    }

    /// Issues what this node is for. One caller's requests go into one message.
    pub(super) async fn issue_carried(&mut self, asked: Vec<Asked>) -> Result<(), CoreError> {
        let verdicts = std::mem::take(&mut self.fast.asked);
        let (mut requests, mut callers): (Vec<Arc<Request>>, Vec<Caller>) = (Vec::new(), Vec::new());
        for Asked { cases, reply } in asked {
            let (mut answers, mut fresh) = (Vec::with_capacity(cases.len()), Vec::new());
            for case in cases {
                answers.push(match case {
                    Case::Known(id) => Ok(id),
                    Case::Refused(reason) => Err(reason),
                    Case::Fresh(id, request) | Case::Again(id, request) => match verdicts.get(&id).copied().flatten() {
                        Some(reason) => {
                            self.fast.now.forget_unheard(&id);
                            Err(reason)
                        }
                        None => {
                            fresh.push((id, request));
                            Ok(id)
                        }
                    },
                });
            }
            // somebody asks twice in one round
            fresh.retain(|(_, request)| !requests.contains(request));
            fresh.dedup_by_key(|(id, _)| *id);
            if requests.len() + fresh.len() > REQUESTS_MAX {
                self.issue_together(std::mem::take(&mut requests), std::mem::take(&mut callers)).await?;
            }
            requests.extend(fresh.into_iter().map(|(_, request)| request));
            callers.push((answers, reply));
        }
        self.issue_together(requests, callers).await
    }

    async fn issue_together(&mut self, requests: Vec<Arc<Request>>, callers: Vec<Caller>) -> Result<(), CoreError> {
        let issued = match requests.is_empty() {
            true => Ok(()),
            false => {
                let body = Body::Requests(requests.iter().map(|r| (**r).clone()).collect());
                let (reply, mut answer) = oneshot::channel();
                self.issue(body, None, reply).await?;
                match answer.try_recv() {
                    Ok(Err(why)) => Err(why),
                    // it is answered when it is durable, which is at the end of this round
                    Ok(Ok(_)) | Err(_) => Ok(()),
                }
            }
        };
        if issued.is_err() {
            requests.iter().for_each(|r| self.fast.retract(&r.id(), &r.wallet, r.number));
        }
        for (answers, reply) in callers {
            match &issued {
                Ok(()) => self.fast.carrying.push(Carrying { answers, reply }),
                Err(why) => drop(reply.send(Err(why.clone()))),
            }
        }
        Ok(())
    }

    /// Answers callers whose requests are durable now.
    pub(super) fn answer_carried(&mut self) {
        for Carrying { answers, reply } in std::mem::take(&mut self.fast.carrying) {
            let answers = answers.into_iter().map(|answer| answer.and_then(|id| self.spend_record(&id).ok_or(Reason::Ended)));
            let _ = reply.send(Ok(answers.collect()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_takes_callers_in_their_order_and_no_more_than_it_can_verify() {
        assert_eq!(turn([].into_iter()), 0);
        assert_eq!(turn([1, 64, 0].into_iter()), 3);
        assert_eq!(turn(std::iter::repeat_n(REQUESTS_MAX, 100)), CARRIED_MAX / REQUESTS_MAX);
        assert_eq!(turn(std::iter::repeat_n(0, CALLERS_MAX + 1)), CARRIED_MAX, "whoever asks for nothing takes a place too");
        // nobody is passed over for a smaller one
        let full = std::iter::repeat_n(REQUESTS_MAX, CARRIED_MAX / REQUESTS_MAX - 1).chain([1, REQUESTS_MAX, 1]);
        assert_eq!(turn(full), CARRIED_MAX / REQUESTS_MAX);
    }
}
