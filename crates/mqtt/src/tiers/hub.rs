//! A broker's part in the tree: takes publishes from all sides, decides by the board, keeps by the spool.

mod filters;
mod stats;

pub(crate) use filters::Hello;
pub use stats::{LinkStats, TierStats};

use super::board::{Board, Place, Source, Way};
use super::config::{TierConfig, TierError};
use super::memory::{self, SEQUENCE};
use super::passport::{Passport, PassportError, link_scope};
use super::scope::Scope;
use super::seen::Seen;
use crate::spool::{Change, Durable, Spool, SpoolError};
use async_trait::async_trait;
use stats::Counters;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tokio::sync::watch;

/// The queue of what goes up. Those of links bear their client ids.
pub(crate) const UP: &str = "up";

/// A publish for the clients of this broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its topic.
    pub topic: String,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The groups of clients that it is for, beside clients that subscribed for themselves; `None` for all groups.
    pub groups: Option<Vec<String>>,
}

/// The clients of this broker.
#[async_trait]
pub trait Subscribers: Send + Sync {
    /// Hands a publish to those that subscribed to it.
    async fn deliver(&self, delivery: Delivery);
}

/// A publish that was taken from a link.
#[derive(Debug)]
pub struct Taken {
    /// What the clients here get; nothing of a repetition.
    pub delivery: Option<Delivery>,
    /// To be waited for before the sender is acknowledged.
    pub durable: Option<Durable>,
}

/// Why a publish of a link is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// It passed here before, or too many brokers: brokers are wired in a circle. Sending it again would not help.
    #[error("it came in a circle, or over too many brokers: look at the parents of the brokers")]
    Loop,
    /// It is not of the form of a link's publish. Sending it again would not help.
    #[error(transparent)]
    Passport(#[from] PassportError),
    /// The broker below may not publish there.
    #[error("the link {link} may publish below root/<area>/{scope}/ only, not to {topic:?}")]
    Topic {
        /// The link's client id.
        link: String,
        /// Its scope.
        scope: String,
        /// The topic.
        topic: String,
    },
    /// It cannot be kept. If the error passes, it may be sent again.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

struct State {
    board: Board,
    seen: Seen,
    sequence: u64,
}

/// See the module. All methods are quick; those that give a [`Durable`] have the caller wait.
pub struct Tiers {
    id: String,
    config: TierConfig,
    spool: Spool,
    state: Mutex<State>,
    /// Changes when a filter does, here, below or above.
    changed: watch::Sender<u64>,
    /// What the parent may have of us.
    subscribed: Mutex<BTreeSet<String>>,
    /// The offset of the site's log to go on from.
    log: Option<u64>,
    /// Whether the parent is a broker of another kind.
    foreign: AtomicBool,
    pub(super) confirmed: AtomicU64,
    pub(super) connected: AtomicBool,
    pub(super) counters: Counters,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tiers {
    /// Opens the spool and takes up what was remembered. Links whose scope is no longer among the children are forgotten,
    /// with what waited for them. Blocks on files.
    ///
    /// # Errors
    /// [`TierError`].
    pub fn open(config: TierConfig) -> Result<Self, TierError> {
        config.check()?;
        let spool = Spool::open(&config.spool, config.limits.clone())?;
        let memory = memory::recall(&spool)?;
        let mut board = Board::new(Place {
            scope: config.scope.clone(),
            shared: config.member.is_some(),
            parent: config.parent.is_some(),
            up: config.up.clone(),
            down: config.down.clone(),
        });
        for (id, link) in memory.links {
            if config.children.contains(&link.scope) {
                *board.link_mut(&id) = link;
            } else {
                tracing::warn!(%id, "a link is forgotten: its scope is not among the children any more");
                spool.mention(memory::forget_link(&id, &link))?;
                spool.forget(&id, u64::MAX);
            }
        }
        spool.mention(memory::broker(&memory.id))?;
        Ok(Self {
            id: memory.id,
            config,
            spool,
            state: Mutex::new(State { board, seen: memory.seen, sequence: memory.sequence }),
            changed: watch::channel(0).0,
            subscribed: Mutex::new(memory.subscribed),
            log: memory.log,
            foreign: AtomicBool::new(memory.foreign),
            confirmed: AtomicU64::new(0),
            connected: AtomicBool::new(false),
            counters: Counters::default(),
        })
    }

    /// This broker's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its place.
    #[must_use]
    pub const fn config(&self) -> &TierConfig {
        &self.config
    }

    pub(crate) const fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Changes whenever a filter does.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Whether nothing that has to leave can be kept now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.spool.is_full()
    }

    /// Takes a publish of a client here, or of the site. Gives what to wait for before it is acknowledged, if it leaves at
    /// all. The clients here are not its business.
    ///
    /// # Errors
    /// [`SpoolError`]: it must not be acknowledged.
    pub fn offer(&self, topic: &str, payload: &[u8], qos: u8) -> Result<Option<Durable>, SpoolError> {
        let mut state = lock(&self.state);
        let mut change = Change::default();
        let sequence = self.enter(&mut state, topic, payload, qos, &mut change);
        if change.append.is_empty() {
            return Ok(None);
        }
        let durable = self.count_refusal(self.submit(&mut state, sequence, change))?;
        Ok(Some(durable))
    }

    /// As [`Tiers::offer`] for what the site's log holds: topics and payloads, and the offset after the last of them. All of
    /// it and the offset are kept together, so nothing is handed on twice or left out.
    ///
    /// # Errors
    /// [`SpoolError`]; nothing was taken.
    pub(super) fn offer_log(&self, published: &[(String, Vec<u8>)], next: u64) -> Result<Option<Durable>, SpoolError> {
        let mut state = lock(&self.state);
        let mut change = Change::default();
        let before = state.sequence;
        for (topic, payload) in published {
            state.sequence = self.enter(&mut state, topic, payload, 1, &mut change);
        }
        let sequence = std::mem::replace(&mut state.sequence, before);
        change.notes.push((memory::LOG.to_owned(), Some(next.to_be_bytes().to_vec())));
        if change.append.is_empty() {
            return self.spool.mention(change).map(|()| None);
        }
        Ok(Some(self.submit(&mut state, sequence, change)?))
    }

    /// Where to go on in the site's log.
    pub(super) const fn log_offset(&self) -> Option<u64> {
        self.log
    }

    /// Remembers where the site's log is followed from.
    pub(super) fn remember_log(&self, next: u64) -> Result<Durable, SpoolError> {
        self.spool.submit(memory::note(memory::LOG, Some(next.to_be_bytes().to_vec())))
    }

    /// Adds to `change` what a publish that enters here needs. Gives the last sequence that was used.
    fn enter(&self, state: &mut State, topic: &str, payload: &[u8], qos: u8, change: &mut Change) -> u64 {
        let ways = state.board.route(Source::Here, topic, &[]);
        if ways.is_empty() {
            return state.sequence;
        }
        let passport = Passport::new(&self.id, state.sequence + 1, qos);
        self.append(&passport, topic, payload, ways, change);
        passport.sequence
    }

    fn append(&self, passport: &Passport, topic: &str, payload: &[u8], ways: Vec<Way>, change: &mut Change) {
        for Way { link, served, groups } in ways {
            let record = passport.leave(&self.id, topic, payload, &served, groups.as_deref());
            change.append.push((link.unwrap_or_else(|| UP.to_owned()), record));
        }
    }

    /// Submits a change of publishes that enter here; `sequence` is the last they use.
    fn submit(&self, state: &mut State, sequence: u64, mut change: Change) -> Result<Durable, SpoolError> {
        let count = change.append.len() as u64;
        if sequence != state.sequence {
            change.notes.push((SEQUENCE.to_owned(), Some(sequence.to_be_bytes().to_vec())));
        }
        let durable = self.spool.submit(change)?;
        state.sequence = sequence;
        self.counters.spooled.fetch_add(count, Ordering::Relaxed);
        Ok(durable)
    }

    fn count_refusal<T>(&self, result: Result<T, SpoolError>) -> Result<T, SpoolError> {
        if result.is_err() {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Takes a publish from the broker below with the link `link`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn from_below<'a>(
        &self,
        link: &str,
        topic: &str,
        payload: &[u8],
        qos: u8,
        properties: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Taken, Refused> {
        let scope = link_scope(link).unwrap_or_default();
        if scope == Scope::default() || !scope.holds(topic) {
            return Err(Refused::Topic { link: link.to_owned(), scope: scope.to_string(), topic: topic.chars().take(128).collect() });
        }
        let taken = self.take(Source::Below(link), topic, payload, qos, Passport::read(properties)?)?;
        self.counters.from_below.fetch_add(u64::from(taken.delivery.is_some()), Ordering::Relaxed);
        Ok(taken)
    }

    /// Takes a publish from the parent.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn from_above<'a>(
        &self,
        topic: &str,
        payload: &[u8],
        qos: u8,
        properties: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Taken, Refused> {
        let taken = self.take(Source::Above, topic, payload, qos, Passport::read(properties)?)?;
        self.counters.from_above.fetch_add(u64::from(taken.delivery.is_some()), Ordering::Relaxed);
        Ok(taken)
    }

    fn take(&self, source: Source<'_>, topic: &str, payload: &[u8], qos: u8, passport: Option<Passport>) -> Result<Taken, Refused> {
        let mut state = lock(&self.state);
        let State { board, seen, sequence } = &mut *state;
        let mut change = Change::default();
        let known = passport.is_some();
        // from a broker of another kind: it enters the hierarchy here
        let passport = passport.unwrap_or_else(|| Passport::new(&self.id, *sequence + 1, qos));
        if known && !passport.may_enter(&self.id) {
            self.counters.loops.fetch_add(1, Ordering::Relaxed);
            return Err(Refused::Loop);
        }
        // What a broker below says of an origin says nothing of what comes another way: else it could have that taken for seen.
        let heard = match source {
            Source::Below(link) => format!("{link} {}", passport.origin),
            Source::Above | Source::Here => passport.origin.clone(),
        };
        if known && seen.has(&heard, passport.sequence) {
            self.counters.duplicates.fetch_add(1, Ordering::Relaxed);
            // it may be acknowledged once the first one is durable: an empty change is committed behind it
            return Ok(Taken { delivery: None, durable: Some(self.spool.submit(Change::default())?) });
        }
        let ways = board.route(source, topic, &passport.served);
        self.append(&passport, topic, payload, ways, &mut change);
        let count = change.append.len() as u64;
        let before = seen.window(&heard);
        if known {
            let (window, forgotten) = seen.take(&heard, passport.sequence);
            change.notes.push((memory::seen_key(&heard), Some(window)));
            change.notes.extend(forgotten.map(|origin| (memory::seen_key(&origin), None)));
        } else if count > 0 {
            change.notes.push((SEQUENCE.to_owned(), Some(passport.sequence.to_be_bytes().to_vec())));
        }
        // Without a queue that needs it, a crash takes the clients here along: then nobody has seen it.
        let kept = match (count, change.notes.is_empty()) {
            (0, true) => Ok(None),
            (0, false) => self.spool.mention(change).map(|()| None),
            _ => self.spool.submit(change).map(Some),
        };
        match kept {
            Ok(durable) => {
                if !known && count > 0 {
                    *sequence = passport.sequence;
                }
                self.counters.spooled.fetch_add(count, Ordering::Relaxed);
                let Passport { qos, groups, .. } = passport;
                Ok(Taken { delivery: Some(Delivery { topic: topic.to_owned(), payload: payload.to_vec(), qos, groups }), durable })
            }
            Err(error) => {
                if known {
                    seen.restore(&heard, before);
                }
                self.count_refusal(Err(error)).map_err(Refused::Spool)
            }
        }
    }

    /// Publishes of `queue` below this position have arrived; `count` of them just now.
    pub(crate) fn drained(&self, queue: &str, below: u64, count: u64) {
        self.counters.drained.fetch_add(count, Ordering::Relaxed);
        self.spool.forget(queue, below);
    }

    /// Writes what is queued and lets go of the spool. Blocks on files.
    pub fn close(&self) {
        self.spool.close();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
