//! Says the votes and certificates of others again, where they do not belong: for another request, short by one, under another
//! voter's place, with another content, of an epoch that has ended. In its own messages, which count; and the messages with the
//! votes themselves once more.

use super::{PACE, STEPS, accompanied};
use crate::spending::Pen;
use crate::world::World;
use commonware_runtime::{Spawner as _, Supervisor as _};
use protocol::certificate::needed;
use protocol::limits::CERTIFICATES_MAX;
use protocol::{Body, CastVote, Certificate, Id, Message, Operation, PublicKey, Request};
use std::collections::BTreeMap;

/// Messages with votes that it keeps: the oldest.
const KEPT: usize = 32;
/// Acts between two replays.
const REPLAY_EVERY: u64 = 4;
/// Requests of which it forges at a time.
const FORGED: usize = CERTIFICATES_MAX / 6;

/// What it has heard.
struct Heard {
    /// Of its own wallet, whose requests nobody votes for.
    pen: Pen,
    committee: Vec<PublicKey>,
    needed: usize,
    requests: BTreeMap<Id, Request>,
    /// In the order of their coming.
    order: Vec<Id>,
    votes: BTreeMap<Id, BTreeMap<u8, CastVote>>,
    voting: Vec<Message>,
}

impl Heard {
    fn take(&mut self, message: Message) {
        if let Body::Requests(requests) = &message.body {
            for request in requests {
                if self.requests.insert(request.id(), request.clone()).is_none() {
                    self.order.push(request.id());
                }
            }
        }
        if message.votes.is_empty() {
            return;
        }
        if let Some(voter) = self.committee.iter().position(|key| *key == message.issuer) {
            for id in &message.votes {
                let vote = message.cast_vote(id, voter as u8).expect("the message has this vote");
                self.votes.entry(*id).or_default().insert(voter as u8, vote);
            }
        }
        if self.voting.len() < KEPT {
            self.voting.push(message);
        }
    }

    /// Certificates that do not hold, or no more: of the oldest requests and of the newest in turn.
    fn forgeries(&self, step: u64) -> Vec<Certificate> {
        let mut known: Vec<&Id> = self.order.iter().filter(|id| self.votes.contains_key(*id)).collect();
        if (step / REPLAY_EVERY).is_multiple_of(2) {
            known.reverse();
        }
        known.into_iter().take(FORGED).flat_map(|id| self.forged(id)).collect()
    }

    fn forged(&self, id: &Id) -> Vec<Certificate> {
        let (request, votes) = (&self.requests[id], self.votes[id].values().cloned().collect::<Vec<_>>());
        let mut all = Vec::new();
        // as it is: it holds, until it is executed or its epoch ends
        all.extend(Certificate::assemble(request.clone(), votes.clone(), self.needed));
        // short by one
        all.extend(Certificate::assemble(request.clone(), votes.clone(), self.needed - 1));
        // one voter in the places of all
        let places = 0..self.needed as u8;
        let one: Vec<CastVote> = places.map(|voter| CastVote { voter, ..votes[0].clone() }).collect();
        all.push(Certificate { request: request.clone(), votes: one });
        // what nobody voted for, and what it never says otherwise
        let at = self.pen.first(request.epoch);
        let own = self.pen.sign(at, Operation::Transfer { to: request.wallet }, 1, request.from_ms);
        all.push(Certificate { request: own, votes: votes.clone() });
        if votes.len() >= self.needed {
            // what they voted for at the same time, or long ago, was another request
            let other = self.requests.values().find(|r| r.id() != *id && r.wallet == request.wallet);
            all.extend(other.map(|other| Certificate { request: other.clone(), votes: votes.clone() }));
            // another message of theirs
            let mut changed = votes;
            changed[0].content = Id([7; 32]);
            all.push(Certificate { request: request.clone(), votes: changed });
        }
        all
    }
}

pub async fn play(world: &mut World, place: usize) {
    let (mut puppet, handle) = accompanied(world, place).await;
    let committee: Vec<PublicKey> = world.genesis.committee.validators().iter().map(|v| v.key).collect();
    let needed = needed(committee.len(), world.genesis.wallet_parameters.threshold_percent);
    let pen = Pen::new(&world.genesis, world.key(place));
    world.context.child("replayer").spawn(move |_| async move {
        let (requests, votes) = (BTreeMap::new(), BTreeMap::new());
        let mut heard = Heard { pen, committee, needed, requests, order: Vec::new(), votes, voting: Vec::new() };
        for step in 0..STEPS {
            for message in puppet.listen(PACE).await {
                heard.take(message);
            }
            if step % REPLAY_EVERY != REPLAY_EVERY - 1 {
                continue;
            }
            let forged = heard.forgeries(step);
            if !forged.is_empty() {
                // a full backlog of its own is its own fault
                let _ = handle.issue(Body::Certificates(forged), None).await;
                puppet.push_all(&heard.voting);
            }
        }
    });
}
