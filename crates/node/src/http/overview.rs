//! `/api/v1/overview`: how the node is at a glance: rates of the last seconds, and alarms with what to do.

use super::AppState;
use super::problem::Problem;
use super::ring::Kind;
use super::status::ledger_status;
use crate::clock::now_us;
use crate::site::SiteStats;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks that rates are of: ten seconds.
const LOOKS: usize = 11;
/// How long messages may wait for a milestone before that is an alarm.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// From how many percent of its limit on a cache is an alarm.
const CACHE_PERCENT: u64 = 80;

/// What was counted at a time.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    readings: u64,
    confirmed: u64,
}

/// Something that somebody should look after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    kind: &'static str,
    since_ms: u64,
    text: String,
    todo: &'static str,
}

impl Alarm {
    fn json(&self) -> Value {
        json!({ "kind": self.kind, "since_ms": self.since_ms, "text": self.text, "todo": self.todo })
    }
}

/// What is remembered from one look to the next.
#[derive(Default)]
struct Seen {
    looks: VecDeque<Look>,
    alarms: Vec<Alarm>,
    /// The last milestone, and when it was seen first.
    moved: Option<(u64, Instant)>,
    /// Equivocations that were known at the start.
    equivocations: Option<u64>,
}

/// Looks now and then.
#[derive(Default)]
pub(super) struct Watch(Mutex<Seen>);

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Readings in, and confirmed, a second.
    fn rates(&self) -> (f64, f64) {
        let seen = self.lock();
        let (Some(first), Some(last)) = (seen.looks.front(), seen.looks.back()) else { return (0.0, 0.0) };
        let seconds = last.at.duration_since(first.at).as_secs_f64();
        let rate = |from: u64, to: u64| if seconds > 0.0 { to.saturating_sub(from) as f64 / seconds } else { 0.0 };
        (rate(first.readings, last.readings), rate(first.confirmed, last.confirmed))
    }
}

/// Looks until it is aborted.
pub(super) async fn watch(state: AppState) {
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Ok(ledger) = ledger_status(&state).await else { continue };
        let site = state.site.as_ref().map(|site| site.stats());
        let trouble = state.roles.as_ref().and_then(|parts| parts.trouble());
        let now = Instant::now();
        let changed = {
            let mut seen = state.watch().lock();
            let (readings, confirmed) =
                site.as_ref().map_or((ledger.readings, ledger.readings), |site| (site.ingress.readings, site.confirmed));
            seen.looks.push_back(Look { at: now, readings, confirmed });
            while seen.looks.len() > LOOKS {
                seen.looks.pop_front();
            }
            let at = seen.moved.filter(|(height, _)| *height == ledger.height).map_or(now, |(_, at)| at);
            seen.moved = Some((ledger.height, at));
            let known = *seen.equivocations.get_or_insert(ledger.equivocations);
            let facts = Facts {
                cut_off: ledger.cut_off,
                silent: ledger.unconfirmed > 0 && now.duration_since(at) > SILENT_MAX,
                equivocations: ledger.equivocations.saturating_sub(known),
                cache_limit_bytes: state.cache_limit_bytes,
                trouble,
            };
            renew(&mut seen.alarms, raised(&facts, site.as_ref()), now_us() / 1_000)
        };
        for (alarm, active) in changed {
            state.ring().tell(Kind::Alarm, || {
                let mut value = alarm.json();
                if let Value::Object(fields) = &mut value {
                    fields.insert("active".to_owned(), active.into());
                }
                value
            });
        }
    }
}

/// What alarms are judged by, beside the site.
struct Facts {
    cut_off: bool,
    silent: bool,
    equivocations: u64,
    cache_limit_bytes: u64,
    trouble: Option<String>,
}

/// What is wrong now: kind, text, what to do.
type Raised = (&'static str, String, &'static str);

fn raised(facts: &Facts, site: Option<&SiteStats>) -> Vec<Raised> {
    let mut all: Vec<Raised> = Vec::new();
    if facts.cut_off {
        let text = "too few of the committee are in touch: nothing is confirmed".to_owned();
        all.push(("cut_off", text, "look whether the other nodes run and their ports can be reached; readings are kept meanwhile"));
    }
    if facts.silent && !facts.cut_off {
        let text = format!("messages wait, and no milestone came for {} s", SILENT_MAX.as_secs());
        all.push(("not_confirming", text, "look at the logs of the committee's nodes, and at their clocks"));
    }
    if facts.equivocations > 0 {
        let text = format!("{} times a node signed two messages of one sequence", facts.equivocations);
        all.push(("equivocation", text, "`wattle messages` shows the evidence; a node that was started from an old copy does this"));
    }
    if let Some(trouble) = &facts.trouble {
        all.push(("part", trouble.clone(), "look at the log of the part that is named"));
    }
    let Some(site) = site else { return all };
    if site.log.pending_bytes.saturating_mul(100) >= facts.cache_limit_bytes.saturating_mul(CACHE_PERCENT) {
        let text = format!("readings that wait take {} of {} bytes", site.log.pending_bytes, facts.cache_limit_bytes);
        all.push((
            "cache_filling",
            text,
            "see why nothing is confirmed, or raise cache.limit_bytes; beyond the limit publishers are slowed",
        ));
    }
    if site.broker.is_some() && !site.connected {
        let text = "the site's broker is away: no reading arrives".to_owned();
        all.push(("broker_away", text, "start the broker, or look at its address and login in [broker]"));
    }
    if let Some(fog) = &site.fog {
        if let Some(why) = &fog.refused {
            all.push(("pipelines_refused", why.to_string(), "mend the file of pipelines; `wattle pipeline check` says where"));
        }
        if let Some(why) = &fog.stalled {
            all.push(("fog_stalled", why.to_string(), "readings wait before the pipelines; look at the log"));
        }
    }
    all
}

/// Exchanges the alarms for those of now; what was raised (true) and what is over (false).
fn renew(alarms: &mut Vec<Alarm>, now: Vec<Raised>, now_ms: u64) -> Vec<(Alarm, bool)> {
    let before = std::mem::take(alarms);
    let mut changed = Vec::new();
    for (kind, text, todo) in now {
        let old = before.iter().find(|alarm| alarm.kind == kind);
        let alarm = Alarm { kind, since_ms: old.map_or(now_ms, |old| old.since_ms), text, todo };
        if old.is_none() {
            changed.push((alarm.clone(), true));
        }
        alarms.push(alarm);
    }
    let over = before.into_iter().filter(|old| !alarms.iter().any(|alarm| alarm.kind == old.kind));
    changed.extend(over.map(|alarm| (alarm, false)));
    changed
}

/// `GET /api/v1/overview`.
pub(super) async fn overview(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    let ledger = ledger_status(&state).await?;
    let site = state.site.as_ref().map(|site| site.stats());
    let (readings, confirmed) = state.watch().rates();
    let latency = site.as_ref().and_then(|site| site.latency);
    let alarms: Vec<Value> = state.watch().lock().alarms.iter().map(Alarm::json).collect();
    Ok(Json(json!({
        "name": state.name,
        "network": state.genesis.network().to_string(),
        "height": ledger.height,
        "epoch": ledger.epoch,
        "committee": ledger.committee.len(),
        "validator": ledger.validator,
        "cut_off": ledger.cut_off,
        "readings_per_s": readings,
        "confirmed_per_s": confirmed,
        "latency_ms": latency.map(|l| json!({ "p50": l.p50_ms, "p99": l.p99_ms })),
        "cache_depth": site.as_ref().map_or(0, |site| site.cache_pending),
        "peers": ledger.peers,
        "tips": ledger.tips,
        "unconfirmed": ledger.unconfirmed,
        "alarms": alarms,
    })))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts { cut_off: false, silent: false, equivocations: 0, cache_limit_bytes: 100, trouble: None }
    }

    #[test]
    fn each_fault_is_one_alarm() {
        let kinds = |facts: &Facts| raised(facts, None).iter().map(|(kind, ..)| *kind).collect::<Vec<_>>();
        assert!(kinds(&facts()).is_empty());
        assert_eq!(kinds(&Facts { cut_off: true, silent: true, ..facts() }), ["cut_off"]);
        assert_eq!(kinds(&Facts { silent: true, equivocations: 2, ..facts() }), ["not_confirming", "equivocation"]);
        assert_eq!(kinds(&Facts { trouble: Some("fog".into()), ..facts() }), ["part"]);
    }

    #[test]
    fn an_alarm_is_told_when_it_begins_and_when_it_ends() {
        let mut alarms = Vec::new();
        let one = || vec![("cut_off", "text".to_owned(), "todo")];
        assert_eq!(renew(&mut alarms, one(), 5).iter().map(|(alarm, on)| (alarm.kind, *on)).collect::<Vec<_>>(), [("cut_off", true)]);
        assert!(renew(&mut alarms, one(), 9).is_empty());
        assert_eq!(alarms[0].since_ms, 5);
        let over = renew(&mut alarms, Vec::new(), 12);
        assert_eq!((over.len(), over[0].1, alarms.len()), (1, false, 0));
    }
}
