//! From a PUBLISH to its answer; the same for the embedded and for an external broker.
//!
//! # Rules
//! - An [`Outcome`] is acknowledged, a [`Refusal`] is not. What is acknowledged is durable, was durable before,
//!   or can never become a reading (and is told on `root/fog/<site>/rejected`).
//! - Devices publish on `root/device/x` of this site; every other topic is refused here. What they ask of other devices
//!   (`root/device/<site>/<ID>/request`) goes to the desk for requests, what they report of commands that were paid for
//!   (`…/report`) to the desk for reports, if the site has one.
//! - A QoS 1 or 2 publish has an origin: the hash of client, packet id, topic and bytes. With DUP set it is a
//!   redelivery if its origin was stored lately.
//! - What a device's registration asks of its readings is checked first ([`crate::identity`]).
//! - With a parser of its own ([`Ingress::with_parser`]) it keeps what arrived as it is, for somebody who processes it
//!   later: then nothing is handed to subscribers here but rejections.
//! - Arrivals have strictly ascending times, so that two equal values without a time of their own stay two
//!   readings.
//!
//! ```text
//! PUBLISH ─▶ topic, size ─▶ decode, judge ─▶ log.append ─▶ Stored | Duplicate ─▶ acknowledge
//!               │              └─▶ Rejected ────────────────────────────▶ acknowledge, rejected
//!               └─▶ Refusal ◀──────── full, overloaded, disk ┘ ─────────▶ do not acknowledge
//! ```

mod outcome;
mod passed;

pub use outcome::{Arrival, IngressCounters, Outcome, Publish, Refusal, Rejection};
pub use passed::PassedOn;

use crate::identity::{Believed, Identities};
use crate::log::{AppendError, Appended, Entry, SiteLog};
use crate::requests::{NotAsked, REPORT_PAYLOAD_BYTES_MAX, REQUEST_PAYLOAD_BYTES_MAX, ReportDesk, RequestDesk};
use edge::payload::{self, Malformed, PAYLOAD_BYTES_MAX, Told};
use protocol::{DeviceName, DeviceTopic, Id, Name, PublicKey, Reading, Topic};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// How old a reading may be that shows where its device is, and how far ahead, in microseconds.
const ARRIVAL_SPAN_US: u64 = 600 * 1_000_000;
/// Bytes of the reason that a rejection tells.
const REASON_BYTES_MAX: usize = 512;
/// Bytes of a topic that a refusal quotes.
const QUOTE_BYTES_MAX: usize = 256;
/// Time between two warnings that publishes are refused.
const WARN_INTERVAL_US: u64 = 10_000_000;

/// Reads what a payload tells that nobody signed: topic, payload, and when it arrived in microseconds since 1970. It must not
/// block.
pub type Parser = Arc<dyn Fn(&DeviceTopic, &[u8], u64) -> Result<Vec<Reading>, Malformed> + Send + Sync>;

/// Takes the publishes of a site's devices.
pub struct Ingress {
    site: Name,
    log: SiteLog,
    identities: Option<Identities>,
    parser: Option<Parser>,
    requests: Option<Arc<dyn RequestDesk>>,
    reports: Option<Arc<dyn ReportDesk>>,
    /// The sites whose devices may come here.
    visitors: Vec<Name>,
    /// Who is told when one has come, or has come back.
    arrivals: Option<mpsc::Sender<Arrival>>,
    now_us: fn() -> u64,
    last_arrival_us: AtomicU64,
    accepted: AtomicU64,
    duplicates: AtomicU64,
    rejected: AtomicU64,
    refused: AtomicU64,
    readings: AtomicU64,
    /// When the operator was last told that publishes are refused.
    warned_us: AtomicU64,
}

impl fmt::Debug for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingress").field("site", &self.site).field("log", &self.log).finish_non_exhaustive()
    }
}

impl Ingress {
    /// An ingress for the devices of `site`, whose readings go to `log`.
    #[must_use]
    pub fn new(site: Name, log: SiteLog) -> Self {
        Self::with_clock(site, log, system_time_us)
    }

    /// As [`Ingress::new`], with a clock that tells microseconds since 1970.
    #[must_use]
    pub fn with_clock(site: Name, log: SiteLog, now_us: fn() -> u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            site,
            log,
            identities: None,
            parser: None,
            requests: None,
            reports: None,
            visitors: Vec::new(),
            arrivals: None,
            now_us,
            last_arrival_us: zero(),
            accepted: zero(),
            duplicates: zero(),
            rejected: zero(),
            refused: zero(),
            readings: zero(),
            warned_us: zero(),
        }
    }

    /// The same, which believes devices by their registration. Without, nothing signed is taken.
    #[must_use]
    pub fn with_identities(self, identities: Identities) -> Self {
        Self { identities: Some(identities), ..self }
    }

    /// The same, for a log of what is to be processed later: payloads that nobody signed are read by `parser`, and what is
    /// stored is not handed to subscribers.
    #[must_use]
    pub fn with_parser(self, parser: Parser) -> Self {
        Self { parser: Some(parser), ..self }
    }

    /// The same, which hands what devices ask of each other to `desk`. Without, requests are refused.
    #[must_use]
    pub fn with_requests(self, desk: Arc<dyn RequestDesk>) -> Self {
        Self { requests: Some(desk), ..self }
    }

    /// The same, which hands what devices report of commands that were paid for to `desk`. Without, reports are refused.
    #[must_use]
    pub fn with_reports(self, desk: Arc<dyn ReportDesk>) -> Self {
        Self { reports: Some(desk), ..self }
    }

    /// The same, for devices that roam: those of the sites `visitors` are taken too, if they sign. `arrivals` is told of those
    /// that publish here and are elsewhere as far as is known; a full channel is not waited for, they publish again.
    #[must_use]
    pub fn with_visitors(self, visitors: Vec<Name>, arrivals: mpsc::Sender<Arrival>) -> Self {
        Self { visitors, arrivals: Some(arrivals), ..self }
    }

    /// What the broker publishes after this outcome of a publish: topics and payloads.
    #[must_use]
    pub fn copies(&self, outcome: &Outcome) -> Vec<(String, Vec<u8>)> {
        match outcome {
            Outcome::Stored { .. } if self.parser.is_some() => Vec::new(),
            outcome => outcome.republish(&self.site),
        }
    }

    /// What devices are believed by, if they are asked for anything.
    #[must_use]
    pub const fn identities(&self) -> Option<&Identities> {
        self.identities.as_ref()
    }

    /// The site whose devices publish here.
    #[must_use]
    pub fn site(&self) -> &Name {
        &self.site
    }

    /// Takes a publish; returns once it is durable.
    ///
    /// # Errors
    /// [`Refusal`]: the publish must not be acknowledged.
    pub async fn accept(&self, publish: Publish<'_>) -> Result<Outcome, Refusal> {
        let outcome = self.outcome(publish).await;
        let count = |counter: &AtomicU64, by: usize| counter.fetch_add(by as u64, Ordering::Relaxed);
        match &outcome {
            Ok(Outcome::Stored { readings, .. }) => {
                count(&self.accepted, 1);
                count(&self.readings, readings.len());
            }
            Ok(Outcome::Requested | Outcome::Reported) => {
                count(&self.accepted, 1);
            }
            Ok(Outcome::Duplicate) => {
                count(&self.duplicates, 1);
            }
            Ok(Outcome::Rejected(_)) => {
                count(&self.rejected, 1);
            }
            Err(refusal) => {
                count(&self.refused, 1);
                if let Refusal::Store(why) = refusal {
                    self.warn(why);
                }
            }
        }
        outcome
    }

    /// Tells the operator that devices are kept waiting, now and then.
    fn warn(&self, why: &AppendError) {
        let now_us = (self.now_us)();
        let last_us = self.warned_us.load(Ordering::Relaxed);
        let due = now_us.saturating_sub(last_us) >= WARN_INTERVAL_US;
        if due && self.warned_us.compare_exchange(last_us, now_us, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(site = %self.site, "publishes are refused: {why}");
        }
    }

    async fn outcome(&self, publish: Publish<'_>) -> Result<Outcome, Refusal> {
        if publish.topic.ends_with("/request")
            && let Ok(Topic::Request(from)) = publish.topic.parse::<Topic>()
        {
            return self.request(from, &publish).await;
        }
        if publish.topic.ends_with("/report")
            && let Ok(Topic::Report(from)) = publish.topic.parse::<Topic>()
        {
            return self.report(from, &publish).await;
        }
        let topic = self.topic(publish.topic)?;
        let bytes = publish.payload.len();
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(Refusal::TooLarge { bytes, limit_bytes: PAYLOAD_BYTES_MAX });
        }
        let told = self.told(&topic, publish.payload).map_err(|why| why.to_string());
        let (readings, number) = match told.and_then(|told| self.believed(&topic, told, publish.dup)) {
            Ok(Believed::Plain(readings)) => (readings, None),
            Ok(Believed::Signed(reading, number)) => (vec![*reading], Some(number)),
            Ok(Believed::Again) => return Ok(Outcome::Duplicate),
            Ok(Believed::UnderWay) => return Err(AppendError::Overloaded.into()),
            Ok(Believed::Elsewhere { key, time_us }) => {
                self.arrived(&topic, key, time_us);
                return Err(AppendError::Overloaded.into());
            }
            Err(why) => {
                let reason = shortened(&why, REASON_BYTES_MAX);
                return Ok(Outcome::Rejected(Rejection { topic: publish.topic.to_owned(), reason, bytes }));
            }
        };
        let entry = Entry { origin: origin(&publish), dup: publish.dup, readings };
        let appended = self.log.append(entry).await?;
        if let Some(number) = number {
            number.keep();
        }
        Ok(match appended {
            Appended::Stored { first_offset, fresh } => Outcome::Stored { first_offset, readings: fresh },
            Appended::Duplicate => Outcome::Duplicate,
        })
    }

    /// What a payload tells. Whether it is signed does not depend on the parser.
    fn told(&self, topic: &DeviceTopic, payload: &[u8]) -> Result<Told, Malformed> {
        let arrival_us = self.arrival_us();
        let Some(parser) = &self.parser else { return payload::read(topic, payload, arrival_us) };
        match payload::signed(payload, arrival_us) {
            Some(signed) => signed.map(Told::Signed),
            None => parser(topic, payload, arrival_us).map(Told::Readings),
        }
    }

    /// Hands a request to its desk.
    async fn request(&self, from: DeviceName, publish: &Publish<'_>) -> Result<Outcome, Refusal> {
        let refuse = |why: &str| Refusal::Topic(format!("the topic {:?} is refused: {why}", shortened(publish.topic, QUOTE_BYTES_MAX)));
        let bytes = publish.payload.len();
        let Some(desk) = &self.requests else {
            return Err(refuse("this site takes no requests of devices"));
        };
        if from.site != self.site {
            return Err(refuse(&format!("this is the site {0}, publish to root/device/{0}/…", self.site)));
        }
        if bytes > REQUEST_PAYLOAD_BYTES_MAX {
            return Err(Refusal::TooLarge { bytes, limit_bytes: REQUEST_PAYLOAD_BYTES_MAX });
        }
        match desk.ask(from, publish.payload, self.arrival_us()).await {
            Ok(()) => Ok(Outcome::Requested),
            Err(NotAsked::Refused(why)) => {
                let reason = shortened(&why, REASON_BYTES_MAX);
                Ok(Outcome::Rejected(Rejection { topic: publish.topic.to_owned(), reason, bytes }))
            }
            Err(NotAsked::Later) => Err(AppendError::Overloaded.into()),
        }
    }

    /// Hands a report to its desk.
    async fn report(&self, from: DeviceName, publish: &Publish<'_>) -> Result<Outcome, Refusal> {
        let refuse = |why: &str| Refusal::Topic(format!("the topic {:?} is refused: {why}", shortened(publish.topic, QUOTE_BYTES_MAX)));
        let bytes = publish.payload.len();
        let Some(desk) = &self.reports else {
            return Err(refuse("this site offers no services: [services] in its node's configuration says so"));
        };
        if from.site != self.site {
            return Err(refuse(&format!("this is the site {0}, publish to root/device/{0}/…", self.site)));
        }
        if bytes > REPORT_PAYLOAD_BYTES_MAX {
            return Err(Refusal::TooLarge { bytes, limit_bytes: REPORT_PAYLOAD_BYTES_MAX });
        }
        match desk.report(from, publish.payload).await {
            Ok(()) => Ok(Outcome::Reported),
            Err(NotAsked::Refused(why)) => {
                let reason = shortened(&why, REASON_BYTES_MAX);
                Ok(Outcome::Rejected(Rejection { topic: publish.topic.to_owned(), reason, bytes }))
            }
            Err(NotAsked::Later) => Err(AppendError::Overloaded.into()),
        }
    }

    /// Whether what a publish tells is to be believed; else why not, in words.
    fn believed(&self, topic: &DeviceTopic, told: Told, dup: bool) -> Result<Believed<'_>, String> {
        match (&self.identities, told) {
            (Some(identities), told) => identities.judge(topic, told, dup, topic.site != self.site).map_err(|why| why.to_string()),
            (None, Told::Readings(readings)) => Ok(Believed::Plain(readings)),
            (None, Told::Signed(_)) => Err(Malformed::Signed.to_string()),
        }
    }

    /// Tells that a device has come, if the reading is new: an old one may be somebody else's repetition.
    fn arrived(&self, topic: &DeviceTopic, key: PublicKey, time_us: u64) {
        if time_us.abs_diff((self.now_us)()) <= ARRIVAL_SPAN_US
            && let Some(arrivals) = &self.arrivals
        {
            let _ = arrivals.try_send(Arrival { device: DeviceName::of(topic), key });
        }
    }

    /// The device topic in `text`, if it is one of this site, or of a site whose devices may come here.
    fn topic(&self, text: &str) -> Result<DeviceTopic, Refusal> {
        let refuse = |why: String| Refusal::Topic(format!("the topic {:?} is refused: {why}", shortened(text, QUOTE_BYTES_MAX)));
        match text.parse::<Topic>() {
            Ok(Topic::Device(topic)) if topic.site == self.site || self.visitors.contains(&topic.site) => Ok(topic),
            Ok(Topic::Device(_)) => Err(refuse(format!("this is the site {0}, publish to root/device/{0}/…", self.site))),
            Ok(_) => Err(refuse("only the site's own services publish there; devices publish to root/device/…".into())),
            Err(why) => Err(refuse(why.to_string())),
        }
    }

    /// The time of an arrival: that of the clock, or the last arrival's plus one.
    fn arrival_us(&self) -> u64 {
        let now_us = (self.now_us)();
        let next = |last_us: u64| now_us.max(last_us.saturating_add(1));
        next(self.last_arrival_us.update(Ordering::Relaxed, Ordering::Relaxed, next))
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> IngressCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IngressCounters {
            accepted: read(&self.accepted),
            duplicates: read(&self.duplicates),
            rejected: read(&self.rejected),
            refused: read(&self.refused),
            readings: read(&self.readings),
        }
    }
}

/// The fingerprint of a publish that its client may send again; none at QoS 0.
fn origin(publish: &Publish<'_>) -> Option<[u8; 16]> {
    let packet_id = publish.packet_id.filter(|_| publish.qos > 0)?;
    let length = |bytes: &[u8]| (bytes.len() as u64).to_be_bytes();
    let hash = Id::hash(&[
        b"wattle/origin/v1",
        &length(publish.client.as_bytes()),
        publish.client.as_bytes(),
        &packet_id.to_be_bytes(),
        &length(publish.topic.as_bytes()),
        publish.topic.as_bytes(),
        publish.payload,
    ]);
    hash.as_bytes().first_chunk::<16>().copied()
}

fn shortened(text: &str, bytes_max: usize) -> String {
    let mut text = text.to_owned();
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[allow(clippy::disallowed_methods, reason = "the clock that arrival times are read from")]
fn system_time_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
