//! What goes out at the end of a round: pulls, pushes, announcements.

use super::actor::{ANNOUNCE_BUSY, ANNOUNCE_IDLE, ANNOUNCED_MAX, Core, PULL_DELAY};
use super::wanted::Source;
use crate::store::Disk;
use crate::wire::{Digest, Frame, digest};
use commonware_runtime::Spawner;
use std::time::Duration;

/// Least time between two frames pushed to the peers: what is issued meanwhile travels together.
const PUSH_INTERVAL: Duration = Duration::from_millis(1);
/// Time after which a pull that brought nothing is asked for again.
const PULL_AGAIN: Duration = Duration::from_secs(5);

impl<E: Disk + Spawner> Core<E> {
    /// Pulls what did not arrive by itself.
    pub(super) fn pull_missing(&mut self) {
        let now = self.context.current();
        for id in self.wanted.take_due(now, now + PULL_AGAIN) {
            (self.outlets.fetch)(digest(id));
        }
    }

    /// Pushes own messages, which are durable by now.
    pub(super) fn push_outbox(&mut self) {
        let now = self.context.current();
        if self.own.outbox.is_empty() || now < self.next_push {
            return;
        }
        self.next_push = now + PUSH_INTERVAL;
        for frame in Frame::split(std::mem::take(&mut self.own.outbox)) {
            (self.outlets.push)(None, frame);
        }
    }

    /// Tells the peers which tips are here: what they miss, they pull. Nothing else re-sends a lost push.
    pub(super) fn announce_tips(&mut self) {
        let now = self.context.current();
        if now < self.next_announce {
            return;
        }
        // what a full pool of pending messages turned away, or a lost answer left open
        for id in self.dag.missing() {
            self.want_from(id, PULL_DELAY, Source::Gap);
        }
        let tips: Vec<Digest> = self.dag.tips().iter().take(ANNOUNCED_MAX).map(|t| digest(*t)).collect();
        // a peer that has just come hears of us soon
        let all = self.heard.len() + 1 >= self.committee.len();
        let pause = if all && tips == self.announced { ANNOUNCE_IDLE } else { ANNOUNCE_BUSY };
        self.next_announce = now + pause;
        (self.outlets.announce)(tips.clone());
        self.announced = tips;
    }
}
