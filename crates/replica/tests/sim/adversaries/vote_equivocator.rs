//! A member of the committee that votes for every request it hears of, rivals too: in two messages of one sequence, each shown to
//! half of its peers first, and in two messages of different sequences, shown to all.

use super::{PACE, STEPS, accompanied};
use crate::world::World;
use commonware_runtime::{Spawner as _, Supervisor as _};
use protocol::limits::VOTES_MAX;
use protocol::{Body, Id, Message, PublicKey, SecretKey, Unsigned};
use replica::Handle;
use std::collections::{BTreeMap, BTreeSet};

/// Messages among which it looks for the last one of its own replica.
const RECENT: usize = 256;

/// The requests heard of: by epoch, wallet and number, in the order in which they came.
#[derive(Default)]
struct Heard {
    rivals: BTreeMap<(u64, PublicKey, u64), Vec<Id>>,
    fresh: BTreeSet<(u64, PublicKey, u64)>,
}

impl Heard {
    fn take(&mut self, message: &Message) {
        let Body::Requests(requests) = &message.body else { return };
        for request in requests {
            let (slot, id) = ((request.epoch, request.wallet, request.number), request.id());
            let rivals = self.rivals.entry(slot).or_default();
            if !rivals.contains(&id) {
                rivals.push(id);
                self.fresh.insert(slot);
            }
        }
    }

    /// Votes for what is new: for the first of each kind, and for the last.
    fn ballots(&mut self) -> Option<[Vec<Id>; 2]> {
        let (mut first, mut last): (BTreeSet<Id>, BTreeSet<Id>) = (BTreeSet::new(), BTreeSet::new());
        for slot in std::mem::take(&mut self.fresh) {
            first.extend(self.rivals[&slot].first());
            last.extend(self.rivals[&slot].last());
        }
        let ascending = |ids: BTreeSet<Id>| ids.into_iter().take(VOTES_MAX).collect::<Vec<_>>();
        (!first.is_empty()).then(|| [ascending(first), ascending(last)])
    }
}

/// Where to go on: after the last message of its own replica.
async fn place_after(handle: &Handle, key: &SecretKey, root: Id) -> (u64, Id) {
    let recent = handle.recent_messages(RECENT).await;
    let own = recent.iter().map(|record| &record.message).filter(|m| m.issuer == key.public_key());
    own.max_by_key(|m| m.sequence).map_or((0, root), |m| (m.sequence + 1, m.id()))
}

pub async fn play(world: &mut World, place: usize) {
    let (mut puppet, handle) = accompanied(world, place).await;
    world.context.child("voter").spawn(move |_| async move {
        let (key, mut heard, mut next) = (puppet.key.clone(), Heard::default(), None);
        for step in 0..STEPS {
            for message in puppet.listen(PACE).await {
                heard.take(&message);
            }
            let Some(ballots) = heard.ballots() else { continue };
            let (sequence, last) = match next {
                Some(at) => at,
                None => place_after(&handle, &key, puppet.root()).await,
            };
            let voting = |sequence: u64, parent: Id, side: usize| {
                let data = [step as u8, side as u8];
                Unsigned { votes: ballots[side].clone(), ..puppet.draft(sequence, vec![parent], &data) }.sign(&key)
            };
            if step.is_multiple_of(2) {
                let fork = [voting(sequence, last, 0), voting(sequence, last, 1)];
                for to in puppet.others() {
                    puppet.push(to, std::slice::from_ref(&fork[to % 2]));
                }
                puppet.push_all(&fork);
                next = Some((sequence + 1, fork[0].id()));
            } else {
                let first = voting(sequence, last, 0);
                let second = voting(sequence + 1, first.id(), 1);
                next = Some((sequence + 2, second.id()));
                puppet.push_all(&[first, second]);
            }
        }
    });
}
