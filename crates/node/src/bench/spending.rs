//! Chains of requests that wallets hand to the replicas of a committee, and what becomes of them.
//!
//! ```text
//! worker w ─spend, the next of its chain─▶ replica w mod n ─events─▶ tracker of that replica: certified, final
//!    ▲                                                                  │
//!    └───────────────────── how far the wallet is ◀─────────────────────┘
//!                                          replica 0 ─events─▶ counter: messages, milestones, up to the last final request
//! ```
//! - A wallet hands over its next requests when all before are certified, and not too many of them wait for a milestone.
//! - A request counts from the moment its wallet hands it over to the moment the same replica tells that it is certified, or final.

use super::committee::Member;
use crate::demo::POLL;
use protocol::{Body, Id, Request};
use replica::{Confirmed, Event, Handle, IssueError, SpendEvent, SpendStatus};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Events that a tracker may be behind.
const EVENTS_MAX: usize = 16_384;
/// How long nothing may become certified or final.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages whose content is looked at afterwards, the first ones.
const LOOKED_AT_MAX: usize = 20_000;

/// How wallets send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Requests that a wallet hands over at a time.
    pub(super) chain: usize,
    /// Requests of a wallet that may wait for a milestone; at least `chain`.
    pub(super) not_final_max: usize,
}

/// What milestones confirmed meanwhile, as the first replica tells.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Messages.
    pub(super) messages: u64,
    /// Milestones.
    pub(super) milestones: u64,
    /// The first of the messages.
    pub(super) some: Vec<Id>,
}

/// What became of all requests.
#[derive(Debug)]
pub(super) struct Course {
    /// From the first handed over to the last certified, in seconds.
    pub(super) certified_seconds: f64,
    /// From the first handed over to the last final, in seconds.
    pub(super) final_seconds: f64,
    /// From handed over to certified, in milliseconds; without the first batch of a wallet that has several.
    pub(super) certified_ms: Vec<f64>,
    /// From handed over to final, of the same.
    pub(super) final_ms: Vec<f64>,
    /// What it took.
    pub(super) traffic: Traffic,
}

/// Has the wallets send their chains, each to one replica, and waits until all requests are final.
///
/// # Errors
/// A sentence if a replica stops or refuses a request, or nothing happens for a minute.
pub(super) async fn run(members: &[Member], chains: Vec<Vec<Request>>, plan: Plan) -> Result<Course, String> {
    let stopped = || "a replica has stopped".to_owned();
    let mut trackers: Vec<Tracker> = members.iter().map(|_| Tracker::default()).collect();
    let mut workers = Vec::new();
    for (wallet, chain) in chains.into_iter().enumerate() {
        let home = wallet % members.len().max(1);
        let (Some((handle, _)), Some(tracker)) = (members.get(home), trackers.get_mut(home)) else { return Err(stopped()) };
        let progress = tracker.expect(wallet, &chain);
        let batches = chain.chunks(plan.chain.max(1)).map(<[Request]>::to_vec).collect();
        let not_final_max = plan.not_final_max.max(plan.chain);
        workers.push(Worker { wallet, handle: handle.clone(), batches, progress, not_final_max });
    }
    let mut tasks: JoinSet<Result<Part, String>> = JoinSet::new();
    for ((handle, _), tracker) in members.iter().zip(trackers) {
        if tracker.open > 0 {
            let events = handle.subscribe(EVENTS_MAX).await.ok_or_else(stopped)?;
            tasks.spawn(tracker.run(events));
        }
    }
    let (first, _) = members.first().ok_or_else(stopped)?;
    let ((last, until), mut counting) = (watch::channel(None), JoinSet::new());
    counting.spawn(count(first.subscribe(EVENTS_MAX).await.ok_or_else(stopped)?, until));
    for worker in workers {
        tasks.spawn(worker.run());
    }
    let (mut sent, mut told, mut height) = (BTreeMap::new(), BTreeMap::new(), 0);
    while let Some(part) = tasks.join_next().await {
        match part.map_err(|e| e.to_string())?? {
            Part::Sent { wallet, batches } => {
                sent.insert(wallet, batches);
            }
            Part::Told { wallets, height: reached } => {
                told.extend(wallets);
                height = height.max(reached);
            }
        }
    }
    last.send_replace(Some(height));
    let traffic = counting.join_next().await.ok_or_else(stopped)?.map_err(|e| e.to_string())??;
    Course::of(&sent, &told, traffic).ok_or_else(|| "no request was sent".to_owned())
}

/// What a task has seen.
enum Part {
    /// A wallet: when it handed over how many requests.
    Sent { wallet: usize, batches: Vec<Batch> },
    /// A replica: what it told of its wallets' requests, and the height at which the last of them was final.
    Told { wallets: BTreeMap<usize, Told>, height: u64 },
}

/// When how many requests were handed over.
type Batch = (Instant, usize);

/// How far a wallet is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    certified: usize,
    executed: usize,
}

struct Worker {
    wallet: usize,
    handle: Handle,
    batches: Vec<Vec<Request>>,
    progress: watch::Receiver<Progress>,
    not_final_max: usize,
}

impl Worker {
    async fn run(mut self) -> Result<Part, String> {
        let (wallet, mut sent, mut next) = (self.wallet, Vec::with_capacity(self.batches.len()), 0);
        for batch in std::mem::take(&mut self.batches) {
            let (count, limit) = (batch.len(), self.not_final_max);
            let ready = |now: &Progress| now.certified >= next && next + count <= now.executed + limit;
            let ended = self.progress.wait_for(ready).await.is_err();
            if ended {
                break; // its tracker says why
            }
            let at = Instant::now();
            let answers = loop {
                match self.handle.spend(batch.clone()).await {
                    Err(IssueError::Backlog(_) | IssueError::Rate { .. }) => sleep(POLL).await,
                    outcome => break outcome.map_err(|e| e.to_string())?,
                }
            };
            if let Some(why) = answers.iter().find_map(|answer| answer.as_ref().err()) {
                return Err(format!("a request of wallet {wallet} was refused: {why}"));
            }
            sent.push((at, count));
            next += count;
        }
        Ok(Part::Sent { wallet, batches: sent })
    }
}

/// What is known of a wallet's requests, by their numbers.
#[derive(Debug)]
struct Told {
    progress: watch::Sender<Progress>,
    certified: Vec<Option<Instant>>,
    executed: Vec<Option<Instant>>,
}

#[derive(Default)]
struct Tracker {
    /// Of each request the wallet and the number.
    places: HashMap<Id, (usize, usize)>,
    wallets: BTreeMap<usize, Told>,
    /// Requests that are not final.
    open: usize,
    /// Where the last of those was final that are.
    height: u64,
}

impl Tracker {
    /// Looks out for a wallet's requests, and tells how far they are.
    fn expect(&mut self, wallet: usize, chain: &[Request]) -> watch::Receiver<Progress> {
        let (progress, receiver) = watch::channel(Progress::default());
        self.places.extend(chain.iter().enumerate().map(|(number, request)| (request.id(), (wallet, number))));
        self.wallets.insert(wallet, Told { progress, certified: vec![None; chain.len()], executed: vec![None; chain.len()] });
        self.open += chain.len();
        receiver
    }

    async fn run(mut self, mut events: mpsc::Receiver<Event>) -> Result<Part, String> {
        let (all, mut last) = (self.open, Instant::now());
        while self.open > 0 {
            tokio::select! {
                () = sleep_until(last + PATIENCE) => {
                    let seconds = PATIENCE.as_secs();
                    return Err(format!("{} of {all} requests are final, and none became so for {seconds} s", all - self.open));
                }
                event = events.recv() => match event {
                    None => return Err("a replica stopped, or its events were not taken fast enough".to_owned()),
                    Some(Event::Milestone { .. }) => {}
                    Some(Event::Spends(spends)) => {
                        let now = Instant::now();
                        for spend in spends.iter() {
                            if self.heard(spend, now)? {
                                last = now;
                            }
                        }
                    }
                },
            }
        }
        Ok(Part::Told { wallets: self.wallets, height: self.height })
    }

    /// Notes what happened to a request; gives whether it is one of those looked out for.
    fn heard(&mut self, spend: &SpendEvent, now: Instant) -> Result<bool, String> {
        let Some((wallet, number)) = self.places.get(&spend.id).copied() else { return Ok(false) };
        let Some(told) = self.wallets.get_mut(&wallet) else { return Ok(false) };
        let executed = match spend.status {
            SpendStatus::Pending => return Ok(false),
            SpendStatus::Certified => false,
            SpendStatus::Final { height } => {
                self.height = self.height.max(height);
                true
            }
            bad @ (SpendStatus::Refused | SpendStatus::Locked | SpendStatus::Lapsed) => {
                return Err(format!("request {number} of wallet {wallet} is {}", bad.name()));
            }
        };
        // a milestone may be faster than the votes
        let certified = first_time(told.certified.get_mut(number), now);
        let executed = executed && first_time(told.executed.get_mut(number), now);
        told.progress.send_modify(|progress| {
            progress.certified += usize::from(certified);
            progress.executed += usize::from(executed);
        });
        self.open -= usize::from(executed);
        Ok(true)
    }
}

/// Counts what milestones confirm, up to the height that `until` will say.
async fn count(mut events: mpsc::Receiver<Event>, mut until: watch::Receiver<Option<u64>>) -> Result<Traffic, String> {
    let (mut traffic, mut reached) = (Traffic::default(), 0);
    loop {
        let ended = until.borrow_and_update().is_some_and(|last| reached >= last);
        if ended {
            return Ok(traffic);
        }
        tokio::select! {
            changed = until.changed() => changed.map_err(|_| "the bench has ended".to_owned())?,
            event = events.recv() => match event {
                None => return Err("a replica stopped, or its events were not taken fast enough".to_owned()),
                Some(Event::Milestone { height, confirmed, .. }) => {
                    reached = height;
                    traffic.counted(&confirmed);
                }
                Some(Event::Spends(_)) => {}
            },
        }
    }
}

impl Traffic {
    fn counted(&mut self, confirmed: &[Confirmed]) {
        self.milestones += 1;
        self.messages += confirmed.len() as u64;
        let room = LOOKED_AT_MAX.saturating_sub(self.some.len());
        self.some.extend(confirmed.iter().take(room).map(|message| message.id));
    }
}

/// Notes the time if none is noted yet; gives whether it was noted.
fn first_time(place: Option<&mut Option<Instant>>, now: Instant) -> bool {
    match place {
        Some(place) if place.is_none() => {
            *place = Some(now);
            true
        }
        _ => false,
    }
}

impl Course {
    /// Brings together what wallets and replicas have seen; `None` if nothing was sent.
    fn of(sent: &BTreeMap<usize, Vec<Batch>>, told: &BTreeMap<usize, Told>, traffic: Traffic) -> Option<Self> {
        let started = sent.values().filter_map(|batches| batches.first()).map(|(at, _)| *at).min()?;
        let certified = told.values().flat_map(|t| &t.certified).flatten().max().copied()?;
        let executed = told.values().flat_map(|t| &t.executed).flatten().max().copied()?;
        let (mut certified_ms, mut final_ms) = (Vec::new(), Vec::new());
        for (wallet, batches) in sent {
            let told = told.get(wallet)?;
            let (warm_up, mut number) = (usize::from(batches.len() > 1), 0);
            for (index, (at, count)) in batches.iter().enumerate() {
                let numbers = number..number + count;
                number = numbers.end;
                if index >= warm_up {
                    certified_ms.extend(since(*at, told.certified.get(numbers.clone())));
                    final_ms.extend(since(*at, told.executed.get(numbers)));
                }
            }
        }
        let seconds = |until: Instant| until.saturating_duration_since(started).as_secs_f64();
        Some(Self { certified_seconds: seconds(certified), final_seconds: seconds(executed), certified_ms, final_ms, traffic })
    }
}

/// Milliseconds from one time to others.
fn since(from: Instant, times: Option<&[Option<Instant>]>) -> Vec<f64> {
    times.into_iter().flatten().flatten().map(|time| time.saturating_duration_since(from).as_secs_f64() * 1e3).collect()
}

/// What is in some messages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    /// Messages that were looked at.
    pub(super) messages: u64,
    /// Bytes of their encoding.
    pub(super) bytes: u64,
    /// Votes in them.
    pub(super) votes: u64,
    /// Those that have votes.
    pub(super) voting: u64,
    /// Requests in them.
    pub(super) requests: u64,
}

/// Looks at messages that a replica has.
pub(super) async fn weigh(replica: &Handle, messages: &[Id]) -> Weight {
    let mut weight = Weight::default();
    for id in messages {
        let Some(record) = replica.message(*id).await else { continue };
        let message = record.message;
        weight.messages += 1;
        weight.bytes += message.bytes().len() as u64;
        weight.votes += message.votes.len() as u64;
        weight.voting += u64::from(!message.votes.is_empty());
        if let Body::Requests(requests) = &message.body {
            weight.requests += requests.len() as u64;
        }
    }
    weight
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::committee::found;
    use super::super::spenders::{chains, keys};
    use super::*;
    use std::sync::Arc;

    fn chain(requests: u32) -> Vec<Request> {
        let (genesis, _) = found(1).unwrap();
        chains(&genesis, &keys(1), requests).unwrap().remove(0)
    }

    fn event(request: &Request, status: SpendStatus) -> SpendEvent {
        SpendEvent { id: request.id(), request: Arc::new(request.clone()), status }
    }

    #[tokio::test]
    async fn what_is_told_twice_counts_once_and_final_is_certified_as_well() {
        let (chain, mut tracker, now) = (chain(3), Tracker::default(), Instant::now());
        let progress = tracker.expect(7, &chain);
        let later = now + Duration::from_millis(5);
        assert_eq!(tracker.heard(&event(&chain[0], SpendStatus::Pending), now), Ok(false));
        for at in [now, later] {
            assert_eq!(tracker.heard(&event(&chain[0], SpendStatus::Certified), at), Ok(true));
        }
        assert_eq!(tracker.heard(&event(&chain[1], SpendStatus::Final { height: 4 }), later), Ok(true));
        let now_at = *progress.borrow();
        assert_eq!((now_at.certified, now_at.executed, tracker.open, tracker.height), (2, 1, 2, 4));
        let told = &tracker.wallets[&7];
        assert_eq!(told.certified, [Some(now), Some(later), None]);
        assert_eq!(told.executed, [None, Some(later), None]);
        let refused = tracker.heard(&event(&chain[2], SpendStatus::Locked), later).unwrap_err();
        assert!(refused.contains("wallet 7") && refused.contains("locked"), "{refused}");
    }

    #[tokio::test]
    async fn latencies_are_of_all_but_the_first_batch() {
        let (chain, mut tracker, start) = (chain(3), Tracker::default(), Instant::now());
        drop(tracker.expect(0, &chain));
        let at = |ms: u64| start + Duration::from_millis(ms);
        for (request, certified) in chain.iter().zip([10, 30, 40]) {
            tracker.heard(&event(request, SpendStatus::Certified), at(certified)).unwrap();
            tracker.heard(&event(request, SpendStatus::Final { height: 1 }), at(certified + 50)).unwrap();
        }
        let sent = BTreeMap::from([(0, vec![(at(0), 1), (at(20), 2)])]);
        let course = Course::of(&sent, &tracker.wallets, Traffic::default()).unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(near(course.certified_seconds, 0.04) && near(course.final_seconds, 0.09), "{course:?}");
        assert!(course.certified_ms.len() == 2 && near(course.certified_ms[0], 10.0) && near(course.certified_ms[1], 20.0), "{course:?}");
        assert!(course.final_ms.len() == 2 && near(course.final_ms[1], 70.0), "{course:?}");
        assert!(Course::of(&BTreeMap::new(), &tracker.wallets, Traffic::default()).is_none());
    }

    #[tokio::test]
    async fn traffic_is_counted_up_to_the_last_final_request_whichever_is_known_first() {
        let milestone = |height: u64| {
            let issuer = keys(1)[0].public_key();
            let confirmed = [1, 2].map(|n| Confirmed { id: Id([n; 32]), issuer, sequence: height, readings: 0 });
            Event::Milestone { height, digest: Id([3; 32]), time_ms: 0, confirmed: Arc::from(confirmed) }
        };
        for early in [true, false] {
            let ((sender, events), (last, until)) = (mpsc::channel(8), watch::channel(early.then_some(3)));
            let counting = tokio::spawn(count(events, until));
            for height in 2..=3 {
                sender.send(milestone(height)).await.unwrap();
            }
            last.send_replace(Some(3));
            let traffic = counting.await.unwrap().unwrap();
            assert_eq!((traffic.milestones, traffic.messages, traffic.some.len()), (2, 4, 4));
        }
    }
}
