//! `/api/v1/events`: server-sent events, as they happen.
//!
//! ```text
//! replica ──pump──▶ milestones, spends ─┐
//!                                       ├─▶ one stream a listener ─▶ event: milestone | spend | confirmed | lagged
//! site ─────────────────▶ confirmations ┘
//! ```
//! A listener that does not keep up misses events and is told so; it never holds anybody up. Everything in an event
//! can also be asked for.

use super::AppState;
use crate::site::Confirmation;
use crate::spends::height_of;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::future::Either;
use futures::{Stream, StreamExt as _, stream};
use protocol::Id;
use replica::SpendEvent;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

/// Milestones that a listener may be behind.
const BEHIND_MAX: usize = 256;
/// Requests of wallets that a listener may be behind: those of a few milestones.
const SPENDS_BEHIND_MAX: usize = 4096;
/// Events of the replica that may wait for the pump.
const EVENTS_MAX: usize = 1024;

/// What listeners are told of a milestone.
#[derive(Clone, Debug)]
struct MilestoneEvent {
    height: u64,
    digest: Id,
    time_ms: u64,
    messages: usize,
    readings: u64,
}

/// Hands what the replica tells to listeners.
pub(super) struct Told {
    milestones: broadcast::Sender<Arc<MilestoneEvent>>,
    spends: broadcast::Sender<SpendEvent>,
}

impl Told {
    pub(super) fn new() -> Self {
        Self { milestones: broadcast::channel(BEHIND_MAX).0, spends: broadcast::channel(SPENDS_BEHIND_MAX).0 }
    }
}

/// Takes events from the replica, until that stops.
pub(super) async fn pump(state: AppState) {
    while let Some(mut events) = state.ledger.subscribe(EVENTS_MAX).await {
        while let Some(event) = events.recv().await {
            match event {
                replica::Event::Milestone { height, digest, time_ms, confirmed } => {
                    let readings = confirmed.iter().map(|c| u64::from(c.readings)).sum();
                    let event = MilestoneEvent { height, digest, time_ms, messages: confirmed.len(), readings };
                    let _ = state.told().milestones.send(Arc::new(event)); // nobody may listen
                }
                replica::Event::Spends(spends) => {
                    let listeners = &state.told().spends;
                    if listeners.receiver_count() > 0 {
                        spends.iter().for_each(|spend| drop(listeners.send(spend.clone())));
                    }
                }
            }
        }
    }
}

/// `GET /api/v1/events`.
pub(super) async fn events(State(state): State<AppState>) -> impl IntoResponse {
    let milestones = events_of(state.told().milestones.subscribe(), milestone_event);
    let spends = events_of(state.told().spends.subscribe(), spend_event);
    let confirmed = match &state.site {
        Some(site) => Either::Left(events_of(site.subscribe(), confirmed_event)),
        None => Either::Right(stream::pending()),
    };
    let mut stop = state.stop.clone();
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let events = stream::select(stream::select(milestones, spends), confirmed).map(Ok::<Event, Infallible>).take_until(Box::pin(stopped));
    Sse::new(events).keep_alive(KeepAlive::default())
}

fn events_of<T: Clone + Send + 'static>(source: broadcast::Receiver<T>, show: fn(&T) -> Event) -> impl Stream<Item = Event> + Send {
    BroadcastStream::new(source).map(move |item| match item {
        Ok(item) => show(&item),
        Err(BroadcastStreamRecvError::Lagged(missed)) => Event::default().event("lagged").data(json!({ "missed": missed }).to_string()),
    })
}

fn milestone_event(m: &Arc<MilestoneEvent>) -> Event {
    let data = json!({
        "height": m.height,
        "digest": m.digest.to_string(),
        "time_ms": m.time_ms,
        "messages": m.messages,
        "readings": m.readings,
    });
    Event::default().event("milestone").data(data.to_string())
}

fn spend_event(spend: &SpendEvent) -> Event {
    Event::default().event("spend").data(spend_json(spend).to_string())
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

fn confirmed_event(c: &Arc<Confirmation>) -> Event {
    let readings =
        c.readings.iter().map(|(id, topic, time_us)| json!({ "id": id.to_string(), "topic": topic.to_string(), "time_us": time_us }));
    let data = json!({ "height": c.height, "count": c.count, "readings": readings.collect::<Vec<_>>() });
    Event::default().event("confirmed").data(data.to_string())
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
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

    fn numbers(n: &u32) -> Event {
        Event::default().event("number").data(n.to_string())
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_and_goes_on() {
        let (sender, receiver) = broadcast::channel(2);
        let mut events = Box::pin(events_of(receiver, numbers));
        (0..5u32).for_each(|n| drop(sender.send(n)));
        drop(sender);
        let mut seen = Vec::new();
        while let Some(event) = events.next().await {
            seen.push(format!("{event:?}"));
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(seen.iter().take(1).all(|e| e.contains("lagged") && e.contains("missed")), "{seen:?}");
        assert!(seen.iter().skip(1).all(|e| e.contains("number")), "{seen:?}");
    }
}
