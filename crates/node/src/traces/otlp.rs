//! Spans over HTTP, as OTLP has them. The only file that names OpenTelemetry.
//!
//! The variables are those of OpenTelemetry: `OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) says where the
//! collector is; without one nothing is traced. Headers and timeouts are read from the environment too.

use super::BATCHES_PER_S_MAX;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
use protocol::{Id, Reading};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Batches whose times are remembered until they are confirmed.
const WAITING_MAX: usize = 256;
/// A device's own time is believed if it lies at most so long before its publish was durable.
const PUBLISHED_BEFORE_MAX: Duration = Duration::from_secs(60);
/// How long the last spans may take to leave.
const END_TIMEOUT: Duration = Duration::from_secs(3);
/// Time between two batches of which a reading is traced.
const PAUSE: Duration = Duration::from_millis(1_000 / BATCHES_PER_S_MAX as u64);

/// Traces readings. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Traces(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    site: String,
    scope: InstrumentationScope,
    sink: Box<dyn SpanProcessor>,
    sampled: Mutex<Sampled>,
}

/// The batches that are traced and on their way.
#[derive(Debug, Default)]
struct Sampled {
    last: Option<Instant>,
    waiting: VecDeque<Issued>,
}

/// When a batch was cut, offered to the ledger, and durable there.
#[derive(Clone, Copy, Debug)]
struct Issued {
    first: u64,
    cut: Instant,
    offered: Instant,
    durable: Instant,
}

impl Traces {
    /// Begins if the environment names a collector.
    pub(crate) fn start(site: &str) -> Self {
        let named = |variable: &str| std::env::var(variable).is_ok_and(|value| !value.is_empty());
        if !named(OTEL_EXPORTER_OTLP_ENDPOINT) && !named(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) {
            return Self(None);
        }
        match SpanExporter::builder().with_http().build() {
            Ok(exporter) => {
                let mut sink = BatchSpanProcessor::builder(exporter).build();
                sink.set_resource(&Resource::builder().with_service_name("wattle").build());
                tracing::info!("the way of some readings is told to the collector that the environment names");
                Self::to(site, Box::new(sink))
            }
            Err(why) => {
                tracing::warn!("nothing is traced, the collector that the environment names cannot be used: {why}");
                Self(None)
            }
        }
    }

    fn to(site: &str, sink: Box<dyn SpanProcessor>) -> Self {
        let scope = InstrumentationScope::builder("wattle").with_version(env!("CARGO_PKG_VERSION")).build();
        Self(Some(Arc::new(Inner { site: site.to_owned(), scope, sink, sampled: Mutex::default() })))
    }

    /// The batch that begins at `first` is durable in the ledger's hands now.
    pub(crate) fn issued(&self, first: u64, cut: Instant, offered: Instant) {
        let Some(inner) = &self.0 else { return };
        let durable = Instant::now();
        let mut sampled = inner.sampled();
        let known = sampled.waiting.iter().position(|issued| issued.first == first);
        if let Some(known) = known {
            sampled.waiting.remove(known); // its message was void, and it is anchored again
        } else if sampled.last.is_some_and(|last| durable.saturating_duration_since(last) < PAUSE) {
            return;
        }
        sampled.last = Some(durable);
        if sampled.waiting.len() >= WAITING_MAX {
            sampled.waiting.pop_front();
        }
        sampled.waiting.push_back(Issued { first, cut, offered, durable });
    }

    /// Whether a reading of the batch that begins at `first` is traced.
    pub(crate) fn wants(&self, first: u64) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.sampled().waiting.iter().any(|issued| issued.first == first))
    }

    /// A batch (first offset, count, message) was confirmed: tells the way of its first reading. `at`: when that was accepted,
    /// if it is known, and when it was confirmed.
    pub(crate) fn confirmed(&self, batch: (u64, u32, Option<Id>), height: u64, at: (Option<Instant>, Instant), reading: &Reading) {
        let Some(inner) = &self.0 else { return };
        let ((first, count, message), (accepted, confirmed)) = (batch, at);
        let issued = {
            let mut sampled = inner.sampled();
            let place = sampled.waiting.iter().position(|issued| issued.first == first);
            place.and_then(|place| sampled.waiting.remove(place))
        };
        let Some(Issued { cut, offered, durable, .. }) = issued else { return };
        let (clock, id) = (Clock::now(), reading.id());
        let accepted = accepted.unwrap_or(cut).min(cut);
        let logged = clock.at(accepted);
        let published = UNIX_EPOCH.checked_add(Duration::from_micros(reading.time_us)).unwrap_or(logged);
        let believed = logged.duration_since(published).is_ok_and(|before| before <= PUBLISHED_BEFORE_MAX);
        let published = if believed { published } else { logged };
        let message = message.map(|id| KeyValue::new("wattle.message", id.to_string()));
        let whole = vec![
            KeyValue::new("wattle.reading", id.to_string()),
            KeyValue::new("wattle.topic", reading.topic.to_string()),
            KeyValue::new("wattle.site", inner.site.clone()),
        ];
        let batch = vec![KeyValue::new("wattle.batch.readings", i64::from(count))];
        let milestone = vec![KeyValue::new("wattle.milestone.height", i64::try_from(height).unwrap_or(i64::MAX))];
        inner.tell(id, Place::Root, "reading", (published, clock.at(confirmed)), whole);
        inner.tell(id, Place::Child(1), "log", (published, logged), Vec::new());
        inner.tell(id, Place::Child(2), "batch", (logged, clock.at(offered)), batch);
        inner.tell(id, Place::Child(3), "message", (clock.at(offered), clock.at(durable)), message.into_iter().collect());
        inner.tell(id, Place::Child(4), "milestone", (clock.at(durable), clock.at(confirmed)), milestone);
    }

    /// The receipt of a reading was made, which somebody `asked` for then.
    pub(crate) fn receipt(&self, reading: Id, asked: Instant) {
        let Some(inner) = &self.0 else { return };
        let clock = Clock::now();
        let start = clock.at(asked);
        // one of many, perhaps: the time tells them apart
        let micros = start.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        inner.tell(reading, Place::Child(micros), "receipt", (start, clock.system), Vec::new());
    }

    /// Sends what waits, and ends. Blocks.
    pub(crate) fn end(&self) {
        if let Some(inner) = &self.0
            && let Err(why) = inner.sink.shutdown_with_timeout(END_TIMEOUT)
        {
            tracing::debug!("the last spans: {why}");
        }
    }
}

/// Where a span stands in its trace.
#[derive(Clone, Copy)]
enum Place {
    Root,
    Child(u64),
}

impl Inner {
    fn sampled(&self) -> MutexGuard<'_, Sampled> {
        self.sampled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, reading: Id, place: Place, name: &'static str, (start, end): (SystemTime, SystemTime), attributes: Vec<KeyValue>) {
        let trace = TraceId::from_bytes(reading.0.first_chunk().copied().unwrap_or_default());
        let root = u64::from_be_bytes(reading.0.last_chunk().copied().unwrap_or_default());
        let (id, parent) = match place {
            Place::Root => (root, SpanId::INVALID),
            Place::Child(number) => (root.wrapping_add(number), SpanId::from_bytes(root.to_be_bytes())),
        };
        let id = SpanId::from_bytes(id.to_be_bytes());
        self.sink.on_end(SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: start,
            end_time: end.max(start),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

/// The system's time, and the moment at which it was read.
struct Clock {
    system: SystemTime,
    instant: Instant,
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "spans have the system's time")]
    fn now() -> Self {
        Self { system: SystemTime::now(), instant: Instant::now() }
    }

    /// The system's time at a moment before.
    fn at(&self, moment: Instant) -> SystemTime {
        self.system.checked_sub(self.instant.saturating_duration_since(moment)).unwrap_or(self.system)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use opentelemetry::Context;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::Span;
    use protocol::Value;

    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Kept {
        fn on_start(&self, _span: &mut Span, _cx: &Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().unwrap().push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    fn reading(time_us: u64) -> Reading {
        Reading {
            topic: "z1/m1/sense/power".parse().unwrap(),
            time_us,
            sequence: None,
            unit: None,
            value: Value::Bytes(vec![1]),
            signed: None,
        }
    }

    #[test]
    fn a_reading_s_way_is_one_trace_named_by_its_id() {
        let kept = Kept::default();
        let traces = Traces::to("z1", Box::new(kept.clone()));
        let (reading, cut) = (reading(1), Instant::now());
        traces.issued(7, cut, cut);
        assert!(traces.wants(7) && !traces.wants(8));
        traces.confirmed((7, 3, Some(Id([5; 32]))), 9, (None, Instant::now()), &reading);
        assert!(!traces.wants(7));
        traces.receipt(reading.id(), Instant::now());
        let spans = kept.0.lock().unwrap();
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, ["reading", "log", "batch", "message", "milestone", "receipt"]);
        let root = spans.first().unwrap();
        assert_eq!(root.span_context.trace_id().to_bytes(), *reading.id().0.first_chunk::<16>().unwrap());
        assert_eq!(root.parent_span_id, SpanId::INVALID);
        for span in spans.iter().skip(1) {
            assert_eq!(span.span_context.trace_id(), root.span_context.trace_id());
            assert_eq!(span.parent_span_id, root.span_context.span_id());
            assert!(span.span_context.is_sampled() && span.start_time <= span.end_time && span.start_time >= root.start_time, "{span:?}");
        }
        let mut ids: Vec<_> = spans.iter().map(|span| span.span_context.span_id().to_bytes()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), spans.len());
    }

    #[test]
    fn few_are_traced_and_few_are_remembered() {
        let traces = Traces::to("z1", Box::new(Kept::default()));
        let now = Instant::now();
        (0..1_000).for_each(|first| traces.issued(first, now, now));
        let waiting = traces.0.as_ref().unwrap().sampled().waiting.len();
        assert!((1..=WAITING_MAX).contains(&waiting) && waiting < 1_000, "{waiting}");
        traces.issued(0, now, now); // again: the same place, whatever the pace
        assert_eq!(traces.0.as_ref().unwrap().sampled().waiting.len(), waiting);
        let off = Traces(None);
        off.issued(0, now, now);
        assert!(!off.wants(0));
    }
}
