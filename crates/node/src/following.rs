//! Following the ledger: every milestone once, in order, also those that were confirmed while this node was down.
//!
//! ```text
//! subscribe ─▶ ask for the milestones since the last one ─▶ events ─▶ one lies ahead: ask for those between ─▶ go on
//!     ▲                                                        │
//!     └──────────── too many waited: the events are lost ──────┘
//! ```
//! What of it was noted is the follower's to say: the next start goes on from there.

pub(crate) mod place;

use protocol::Id;
use replica::{Event, Handle, SpendEvent};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Milestones without anything to note after which the height is noted all the same.
const NOTE_HEIGHT_EVERY: u64 = 256;

/// What is new.
pub(crate) enum News {
    /// A milestone was executed.
    Milestone(Milestone),
    /// What a milestone confirmed is not here: it was before this node joined, or dropped since.
    Missed,
    /// Requests have another status.
    Spends(Arc<[SpendEvent]>),
    /// Events were lost. Milestones are asked for; what else was told meanwhile is not.
    Lost,
}

/// A milestone, and what it confirmed.
pub(crate) struct Milestone {
    /// Its height.
    pub(crate) height: u64,
    /// Its time, in milliseconds since 1970.
    pub(crate) time_ms: u64,
    /// The messages it confirmed, in order. Those that anchor readings may be left out: they say nothing else.
    pub(crate) messages: Vec<Id>,
}

/// Follows the ledger.
pub(crate) struct Following {
    ledger: Handle,
    events_max: usize,
    events: Option<mpsc::Receiver<Event>>,
    subscribed: bool,
    /// The last milestone that was given, or missed.
    height: u64,
    /// The last one that was noted.
    noted: u64,
    /// Milestones up to this one are asked for.
    until: u64,
    /// The one that comes after these.
    ahead: Option<Milestone>,
}

impl Following {
    /// One that goes on after the milestone of `height`. If more than `events_max` events wait, they are lost.
    pub(crate) const fn new(ledger: Handle, events_max: usize, height: u64) -> Self {
        Self { ledger, events_max, events: None, subscribed: false, height, noted: height, until: height, ahead: None }
    }

    /// What is new; nothing any more once the ledger has stopped.
    pub(crate) async fn next(&mut self) -> Option<News> {
        loop {
            if self.height < self.until {
                return self.asked().await;
            }
            if let Some(milestone) = self.ahead.take() {
                self.height = milestone.height;
                return Some(News::Milestone(milestone));
            }
            let Some(events) = self.events.as_mut() else {
                self.events = Some(self.ledger.subscribe(self.events_max).await?);
                self.until = self.ledger.status().await?.height;
                if std::mem::replace(&mut self.subscribed, true) {
                    return Some(News::Lost);
                }
                continue;
            };
            match events.recv().await {
                Some(Event::Milestone { height, time_ms, confirmed, .. }) if height > self.height => {
                    // a message that anchors readings holds nothing else
                    let messages = confirmed.iter().filter(|c| c.readings == 0).map(|c| c.id).collect();
                    self.until = height.saturating_sub(1);
                    self.ahead = Some(Milestone { height, time_ms, messages });
                }
                Some(Event::Milestone { .. }) => {}
                Some(Event::Spends(spends)) => return Some(News::Spends(spends)),
                None => self.events = None,
            }
        }
    }

    /// The next milestone, which no event told of.
    async fn asked(&mut self) -> Option<News> {
        let height = self.height.saturating_add(1);
        let record = self.ledger.milestone(height).await;
        if record.is_none() {
            self.ledger.status().await?;
        }
        self.height = height;
        Some(match record.filter(|record| !record.pruned) {
            Some(record) => News::Milestone(Milestone { height, time_ms: record.milestone.time_ms, messages: record.messages }),
            None => News::Missed,
        })
    }

    /// Whether the height is to be noted although there is nothing else to note.
    pub(crate) const fn is_due(&self) -> bool {
        self.height.saturating_sub(self.noted) >= NOTE_HEIGHT_EVERY
    }

    /// The height was noted.
    pub(crate) const fn noted(&mut self) {
        self.noted = self.height;
    }
}
