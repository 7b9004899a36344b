//! How many devices, and how many hubs, a host can serve: the utilisation law over what its parts were measured to take.
//!
//! ```text
//! N devices, a reading each T ─▶ λ = N/T readings/s ─▶ m = min(λ, 1/batch delay) messages/s ─▶ each part: what it is asked for
//! ```
//! # Rules
//! 1. A part is asked for `reading·λ + message·m + device·N` of what it has: of seconds in a second, of bytes, of files. That over
//!    what it has is its utilisation.
//! 2. A part whose figures were measured is not filled beyond the margin: queues grow without bound as utilisation comes near 1, and
//!    a measurement has errors. A limit that is known exactly, such as that of open files, is used to the last.
//! 3. The answer is the greatest N at which no part is asked for more than that. The part that forbids N + 1 is the one that limits.
//! 4. A site issues at once when idle and once each batch delay when busy, so m is the most messages that it issues.
//! 5. A node admits the messages of every hub of its subnet. So the hubs for each node are how often the messages of one, with as many
//!    devices as the answer says, fit into the margin of the part that admits.
//! 6. A probe is a run of some seconds that asks for the same readings a second, with fewer devices that tell more often if need be.
//!
//! Parts do not slow each other down in this model, although they share processors: the part "processor" stands for that. It says
//! nothing of latency; the probe measures it.

use std::time::Duration;
use thiserror::Error;

/// Most devices that an answer names.
pub const DEVICES_MAX: u64 = 1_000_000_000;
/// Most hubs that an answer names.
pub const HUBS_MAX: u64 = 1_000_000;
/// Readings that each device of a probe tells at least.
pub const PROBE_READINGS_MIN: u32 = 2;
/// Shortest time between two readings of a device of a probe.
pub const PROBE_INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Something that a host has so much of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// What a reading takes.
    pub per_reading: f64,
    /// What a message takes.
    pub per_message: f64,
    /// What a connected device takes.
    pub per_device: f64,
    /// What there is, in the same unit; for what takes time, seconds in a second.
    pub capacity: f64,
    /// Whether it is known exactly and may be used to the last.
    pub exact: bool,
}

/// A host: its parts, and what decides how many messages become of readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// The parts.
    pub parts: Vec<Part>,
    /// Least time between two messages of one site.
    pub batch_delay: Duration,
    /// Seconds in which a node admits one message, whoever issued it.
    pub admission_s: f64,
}

/// Why there is no answer.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum CapacityError {
    /// No time between readings.
    #[error("a period of {0:?}: it must be above 0")]
    Period(Duration),
    /// A margin that keeps nothing, or everything.
    #[error("a margin of {0}: it must be above 0 and at most 1")]
    Margin(f64),
    /// A host of which nothing is known.
    #[error("a host without parts")]
    NoParts,
    /// A part whose figures make no sense.
    #[error("the part {0}: what it has must be a finite number above 0, what is asked of it finite and not negative")]
    Part(&'static str),
    /// An admission that takes no time, or for ever.
    #[error("an admission of {0} s: it must be a finite number above 0")]
    Admission(f64),
}

/// What a host can serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Time from one reading of a device to its next.
    pub period: Duration,
    /// Devices, each connected.
    pub devices: u64,
    /// Readings a second of all of them.
    pub readings_per_second: f64,
    /// Messages a second that become of them, at most.
    pub messages_per_second: f64,
    /// The part that forbids one more; nothing if [`DEVICES_MAX`] does.
    pub limited_by: Option<&'static str>,
    /// Each part's utilisation, in the host's order.
    pub utilisation: Vec<(&'static str, f64)>,
    /// Hubs of so many devices whose messages one node admits; 0 without devices.
    pub hubs_per_node: u64,
}

/// A run that tries an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Devices.
    pub devices: u32,
    /// Time from one reading of a device to its next, whole milliseconds.
    pub interval: Duration,
    /// Readings that each tells.
    pub readings: u32,
}

impl Part {
    fn check(&self) -> Result<(), CapacityError> {
        let asked = [self.per_reading, self.per_message, self.per_device];
        let sound = self.capacity.is_finite() && self.capacity > 0.0 && asked.iter().all(|x| x.is_finite() && *x >= 0.0);
        if sound { Ok(()) } else { Err(CapacityError::Part(self.name)) }
    }

    /// What is asked of it over what it has.
    #[must_use]
    pub fn utilisation(&self, devices: u64, readings_per_second: f64, messages_per_second: f64) -> f64 {
        let asked = self.per_reading * readings_per_second + self.per_message * messages_per_second + self.per_device * devices as f64;
        asked / self.capacity
    }

    /// How far it may be filled.
    const fn bound(&self, margin: f64) -> f64 {
        if self.exact { 1.0 } else { margin }
    }
}

impl Host {
    fn check(&self, margin: f64) -> Result<(), CapacityError> {
        if !(margin > 0.0 && margin <= 1.0) {
            return Err(CapacityError::Margin(margin));
        }
        if self.parts.is_empty() {
            return Err(CapacityError::NoParts);
        }
        if !(self.admission_s.is_finite() && self.admission_s > 0.0) {
            return Err(CapacityError::Admission(self.admission_s));
        }
        self.parts.iter().try_for_each(Part::check)
    }

    /// Messages a second that become of so many readings, at most.
    #[must_use]
    pub fn messages_per_second(&self, readings_per_second: f64) -> f64 {
        let delay_s = self.batch_delay.as_secs_f64();
        if delay_s > 0.0 { readings_per_second.min(1.0 / delay_s) } else { readings_per_second }
    }

    /// The part that is fullest, measured by how far it may be filled, and how full that is.
    fn fullest(&self, devices: u64, period: Duration, margin: f64) -> Option<(&'static str, f64)> {
        let readings = devices as f64 / period.as_secs_f64();
        let messages = self.messages_per_second(readings);
        let filled = self.parts.iter().map(|part| (part.name, part.utilisation(devices, readings, messages) / part.bound(margin)));
        filled.max_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    /// Whether no part is asked for more than it may give.
    fn fits(&self, devices: u64, period: Duration, margin: f64) -> bool {
        self.fullest(devices, period, margin).is_some_and(|(_, filled)| filled <= 1.0)
    }

    /// How many devices of this period it serves, if measured parts are filled up to `margin` of what they have.
    ///
    /// # Errors
    /// [`CapacityError`] if the question or the host's figures make no sense.
    pub fn answer(&self, period: Duration, margin: f64) -> Result<Answer, CapacityError> {
        self.check(margin)?;
        if period.is_zero() {
            return Err(CapacityError::Period(period));
        }
        // `fits` holds at 0, and once it does not hold it never does again
        let (mut least, mut most) = (0, DEVICES_MAX);
        while least < most {
            let middle = least + (most - least).div_ceil(2);
            if self.fits(middle, period, margin) { least = middle } else { most = middle - 1 }
        }
        let devices = least;
        let next = self.fullest(devices + 1, period, margin).filter(|_| devices < DEVICES_MAX);
        let readings = devices as f64 / period.as_secs_f64();
        let messages = self.messages_per_second(readings);
        let utilisation = self.parts.iter().map(|part| (part.name, part.utilisation(devices, readings, messages))).collect();
        Ok(Answer {
            period,
            devices,
            readings_per_second: readings,
            messages_per_second: messages,
            limited_by: next.map(|(name, _)| name),
            utilisation,
            hubs_per_node: self.hubs(messages, margin),
        })
    }

    /// Hubs of so many messages a second each, within the margin of what a node admits.
    fn hubs(&self, messages_per_second: f64, margin: f64) -> u64 {
        if messages_per_second > 0.0 { whole(margin / (self.admission_s * messages_per_second)).min(HUBS_MAX) } else { 0 }
    }
}

impl Answer {
    /// A run of about `span` with `devices_max` devices at most that asks for as many readings a second as the answer, or fewer.
    /// Nothing if the answer has no devices, or none may be used, or `span` is too short.
    #[must_use]
    pub fn probe(&self, span: Duration, devices_max: u32) -> Option<Probe> {
        let longest = span / PROBE_READINGS_MIN;
        if self.devices == 0 || devices_max == 0 || longest < PROBE_INTERVAL_MIN {
            return None;
        }
        let rate = self.readings_per_second;
        let useful = whole(rate * longest.as_secs_f64()).max(1);
        let devices = u32::try_from(self.devices.min(useful)).unwrap_or(u32::MAX).min(devices_max);
        let interval = Duration::try_from_secs_f64(f64::from(devices) / rate).unwrap_or(longest).min(longest).max(PROBE_INTERVAL_MIN);
        // rounded up to whole milliseconds, so that the rate is not above the answer's
        let ms = u64::try_from(interval.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let interval = Duration::from_millis(ms);
        let readings = u32::try_from(span.as_millis() / interval.as_millis().max(1)).unwrap_or(u32::MAX).max(1);
        Some(Probe { devices, interval, readings })
    }
}

impl Probe {
    /// Readings a second that it asks for.
    #[must_use]
    pub fn readings_per_second(&self) -> f64 {
        f64::from(self.devices) / self.interval.as_secs_f64()
    }

    /// Readings in all.
    #[must_use]
    pub fn readings_in_all(&self) -> u64 {
        u64::from(self.devices) * u64::from(self.readings)
    }
}

/// A number without what is behind its point.
fn whole(number: f64) -> u64 {
    Duration::try_from_secs_f64(number).map_or(if number > 0.0 { u64::MAX } else { 0 }, |seconds| seconds.as_secs())
}
