//! `/api/v1/events`: server-sent events, as they happen.
//!
//! ```text
//! replica, site, alarms ──pump──▶ ring ──▶ one stream a listener ─▶ event: milestone | spend | confirmed | alarm | gap
//! newest messages ──looked at ten times a second, some of them────▶ event: message | reading
//! ```
//! A listener that does not keep up, or comes back too late, misses events and is told so (`gap`); it never holds anybody up.
//! Everything in an event can also be asked for.

use super::AppState;
use super::messages::body_name;
use super::problem::Problem;
use super::ring::{Kind, Resumed, Ring, Told};
use crate::site::Confirmation;
use crate::spends::height_of;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{StreamExt as _, stream};
use protocol::Id;
use replica::SpendEvent;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

/// Events of the replica that may wait for the pump.
const EVENTS_MAX: usize = 1024;
/// Ids of messages that a milestone's event names.
const IDS_MAX: usize = 256;
/// How often samples are taken,
const SAMPLE_EVERY: Duration = Duration::from_millis(100);
/// and how many of each kind: 200 a second.
const SAMPLES_AT_ONCE: usize = 20;
/// Messages that are looked at for them.
const LOOKED_AT: usize = 256;
/// Readings that wait to be sampled.
const READINGS_MAX: usize = 1_000;
/// When a listener should come back whose connection broke.
const RETRY: Duration = Duration::from_secs(2);
/// How often it is looked whether a listener's token still counts.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Takes events from the replica, the site and the newest messages, until the replica stops.
pub(super) async fn pump(state: AppState) {
    let mut confirmed = state.site.as_ref().map(|site| site.subscribe());
    let mut samples = Samples::default();
    let mut tick = tokio::time::interval(SAMPLE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some(mut events) = state.ledger.subscribe(EVENTS_MAX).await {
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => tell(state.ring(), event),
                    None => break,
                },
                confirmation = next(&mut confirmed) => match confirmation {
                    Ok(confirmation) => {
                        state.ring().tell(Kind::Confirmed, || confirmed_json(&confirmation));
                        samples.readings(&state, &confirmation);
                    }
                    Err(RecvError::Lagged(_)) => {} // readings are also listed
                    Err(RecvError::Closed) => confirmed = None,
                },
                _ = tick.tick() => samples.take(&state).await,
            }
        }
    }
}

/// The next confirmation; never if there is no site.
async fn next(source: &mut Option<tokio::sync::broadcast::Receiver<Arc<Confirmation>>>) -> Result<Arc<Confirmation>, RecvError> {
    match source {
        Some(source) => source.recv().await,
        None => std::future::pending().await,
    }
}

fn tell(ring: &Ring, event: replica::Event) {
    match event {
        replica::Event::Milestone { height, digest, time_ms, confirmed } => ring.tell(Kind::Milestone, || {
            let readings: u64 = confirmed.iter().map(|c| u64::from(c.readings)).sum();
            let ids: Vec<String> = confirmed.iter().take(IDS_MAX).map(|c| c.id.to_string()).collect();
            let messages = confirmed.len();
            json!({ "height": height, "digest": digest.to_string(), "time_ms": time_ms, "messages": messages, "readings": readings, "ids": ids })
        }),
        replica::Event::Spends(spends) => spends.iter().for_each(|spend| ring.tell(Kind::Spend, || spend_json(spend))),
    }
}

/// Some messages and readings that stand for all.
#[derive(Default)]
struct Samples {
    /// The place of the newest message that was seen.
    seen: Option<u64>,
    readings: VecDeque<Value>,
    /// Readings since the last samples were taken.
    counted: usize,
}

impl Samples {
    fn readings(&mut self, state: &AppState, confirmation: &Confirmation) {
        if !state.ring().wants_samples() {
            return;
        }
        self.counted = self.counted.saturating_add(usize::try_from(confirmation.count).unwrap_or(usize::MAX));
        for (id, topic, time_us) in &confirmation.readings {
            if self.readings.len() >= READINGS_MAX {
                break;
            }
            let reading = json!({ "id": id.to_string(), "topic": topic.to_string(), "time_us": time_us, "height": confirmation.height });
            self.readings.push_back(reading);
        }
    }

    async fn take(&mut self, state: &AppState) {
        if !state.ring().wants_samples() {
            *self = Self::default();
            return;
        }
        let counted = std::mem::take(&mut self.counted);
        send(state.ring(), Kind::Reading, std::mem::take(&mut self.readings).into(), counted);
        let newest = state.ledger.messages(None, LOOKED_AT).await;
        let Some((top, _)) = newest.first() else { return };
        let Some(seen) = self.seen.replace(*top) else { return };
        let new: Vec<Value> =
            newest.iter().take_while(|(place, _)| *place > seen).map(|(_, record)| message_json(&record.message)).collect();
        let count = usize::try_from(top.saturating_sub(seen)).unwrap_or(usize::MAX);
        send(state.ring(), Kind::Message, new.into_iter().rev().collect(), count);
    }
}

/// Sends some of what happened, spread evenly; `sampled` says for how many each stands.
fn send(ring: &Ring, kind: Kind, all: Vec<Value>, count: usize) {
    let (every, shown) = (all.len().div_ceil(SAMPLES_AT_ONCE).max(1), all.len().clamp(1, SAMPLES_AT_ONCE));
    let sampled = count.max(all.len()).div_ceil(shown);
    for mut value in all.into_iter().step_by(every) {
        if let Value::Object(fields) = &mut value {
            fields.insert("sampled".to_owned(), sampled.into());
        }
        ring.sample(kind, &value);
    }
}

fn message_json(message: &protocol::Message) -> Value {
    json!({
        "id": message.id().to_string(),
        "issuer": message.issuer.to_string(),
        "parents": message.parents.iter().map(Id::to_string).collect::<Vec<_>>(),
        "kind": body_name(&message.body),
        "votes": message.votes.len(),
        "issued_at_ms": message.issued_at_ms,
    })
}

/// What may stand after the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    kinds: Option<String>,
}

/// The kinds that a listener wants.
fn kinds_in(text: Option<&str>) -> Result<Vec<Kind>, Problem> {
    let Some(text) = text else { return Ok(Kind::USUAL.to_vec()) };
    let kind = |word: &str| {
        let known = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
        known.ok_or_else(|| {
            Problem::bad_request(format!("{word:?} is no kind of event: milestone, spend, confirmed, alarm, message, reading"))
        })
    };
    text.split(',').map(kind).collect()
}

/// Counts a listener that wants samples, until it goes.
struct Sampler(AppState);

impl Sampler {
    fn new(state: &AppState) -> Self {
        state.ring().samplers().fetch_add(1, Ordering::Relaxed);
        Self(state.clone())
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.0.ring().samplers().fetch_sub(1, Ordering::Relaxed);
    }
}

/// `GET /api/v1/events?kinds=milestone,spend,…`. `Last-Event-ID` says where to go on.
pub(super) async fn events(
    State(state): State<AppState>,
    headers: HeaderMap,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Query(wanted) = query.map_err(|e| Problem::bad_request(format!("the query cannot be read: {e}")))?;
    let kinds = kinds_in(wanted.kinds.as_deref())?;
    let place = state.listeners().clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::unwell("as many listen as may: try again later, or raise [http] listeners"))?;
    let last_id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let Resumed { gap, missed, live } = state.ring().subscribe(last_id);
    let sampler = kinds.iter().any(|kind| kind.sampled()).then(|| Sampler::new(&state));
    let hello = Event::default().comment("wattle").retry(RETRY);
    // one by one, as the listener takes them: all that is kept would be much for thousands of listeners at once
    let (again, of) = (state.clone(), kinds.clone());
    let missed = missed.into_iter().filter(move |told| of.contains(&told.kind)).map(move |told| shown(again.ring(), &told));
    let begin = std::iter::once(hello).chain(gap.map(gap_event)).chain(missed);
    let teller = state.clone();
    let live = BroadcastStream::new(live).filter_map(move |item| {
        let _held = (&place, &sampler);
        std::future::ready(match item {
            Ok(told) => kinds.contains(&told.kind).then(|| shown(teller.ring(), &told)),
            Err(BroadcastStreamRecvError::Lagged(missed)) => Some(gap_event(missed)),
        })
    });
    let ended = ended(state, headers);
    let events = stream::iter(begin).chain(live).map(Ok::<Event, Infallible>).take_until(Box::pin(ended));
    Ok(([(header::CACHE_CONTROL, "no-store")], Sse::new(events).keep_alive(KeepAlive::default())))
}

/// Resolves when the node stops, or when the token that the listener showed counts no more.
async fn ended(state: AppState, headers: HeaderMap) {
    let mut stop = state.stop.clone();
    loop {
        tokio::select! {
            () = told(&mut stop) => return,
            () = tokio::time::sleep(LOOK_AGAIN) => {
                if !state.gate().still_admits(&headers) {
                    return;
                }
            }
        }
    }
}

/// Resolves when asked to stop, or when nobody is left to ask.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn shown(ring: &Ring, told: &Told) -> Event {
    Event::default().id(ring.id(told.number)).event(told.kind.as_str()).data(&told.data)
}

/// Events were missed: so many, or an unknown number if 0.
fn gap_event(missed: u64) -> Event {
    let missed = Some(missed).filter(|missed| *missed > 0);
    Event::default().event("gap").data(json!({ "missed": missed }).to_string())
}

fn spend_json(spend: &SpendEvent) -> Value {
    let mut data = json!({
        "id": spend.id.to_string(),
        "wallet": spend.request.wallet.to_string(),
        "number": spend.request.number,
        "price": spend.request.price,
        "status": spend.status.name(),
    });
    if let (Some(height), Value::Object(fields)) = (height_of(spend.status), &mut data) {
        fields.insert("height".into(), height.into());
    }
    data
}

fn confirmed_json(c: &Confirmation) -> Value {
    let readings =
        c.readings.iter().map(|(id, topic, time_us)| json!({ "id": id.to_string(), "topic": topic.to_string(), "time_us": time_us }));
    json!({ "height": c.height, "count": c.count, "readings": readings.collect::<Vec<_>>() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use protocol::{Operation, PublicKey, Request, Signature};
    use replica::SpendStatus;

    #[test]
    fn a_spend_has_a_height_when_it_is_final() {
        let request = Request {
            wallet: PublicKey([2; 32]),
            state: Id([0; 32]),
            number: 5,
            epoch: 1,
            operation: Operation::Redeem,
            price: 1_000_000,
            from_ms: 0,
            until_ms: 0,
            nonce: 0,
            signature: Signature([0; 64]),
        };
        let spend = SpendEvent { id: request.id(), request: Arc::new(request), status: SpendStatus::Certified };
        let data = spend_json(&spend);
        assert_eq!((&data["status"], &data["number"], data.get("height")), (&json!("certified"), &json!(5), None));
        let spend = SpendEvent { status: SpendStatus::Final { height: 9 }, ..spend };
        assert_eq!((&spend_json(&spend)["status"], &spend_json(&spend)["height"]), (&json!("final"), &json!(9)));
    }

    #[test]
    fn kinds_are_checked() {
        assert_eq!(kinds_in(None).unwrap(), Kind::USUAL);
        assert_eq!(kinds_in(Some("message,milestone")).unwrap(), [Kind::Message, Kind::Milestone]);
        for bad in ["", "gap", "milestone,", "Milestone"] {
            assert_eq!(kinds_in(Some(bad)).unwrap_err().status(), 400, "{bad}");
        }
    }

    #[test]
    fn samples_say_for_how_many_they_stand() {
        let ring = Ring::new(1);
        let mut listener = ring.subscribe(None).live;
        send(&ring, Kind::Message, (0..256).map(|n| json!({ "n": n })).collect(), 1_000);
        let mut seen = Vec::new();
        while let Ok(told) = listener.try_recv() {
            seen.push(serde_json::from_str::<Value>(&told.data).unwrap());
        }
        assert!(seen.len() <= SAMPLES_AT_ONCE && seen.len() > SAMPLES_AT_ONCE / 2, "{}", seen.len());
        assert_eq!(seen[0], json!({ "n": 0, "sampled": 50 }));
        send(&ring, Kind::Message, vec![json!({})], 1);
        assert_eq!(listener.try_recv().unwrap().data, json!({ "sampled": 1 }).to_string());
    }
}
