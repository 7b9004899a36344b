//! Takes what the site's devices ask of others, and puts it on the ledger.
//!
//! ```text
//! PUBLISH …/request ─▶ read ─▶ allowed? ─▶ in time? ─▶ believed? ─▶ number new? ─▶ issuer ─▶ durable ─▶ "accepted", PUBACK
//!                        └────────┴───────────┴────────────┴───────────┴── no ─▶ "refused", rejected
//! ```
//! Rules: REQ-4 to REQ-7 of `docs/spec/requests.md`.

use super::AHEAD_US_MAX;
use super::counters::{Counters, count};
use super::issuing::Jobs;
use super::notices::Notices;
use super::payload::{self, Asked, Notice};
use super::policy::Policy;
use crate::devices::Devices;
use async_trait::async_trait;
use mqtt::{NotAsked, Registered, RequestDesk};
use protocol::exchange::Record;
use protocol::{DeviceName, DeviceRequest, DeviceSignature, Id, NetworkId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Numbers that are remembered of devices here. Beyond, requests wait until some are too old.
const RECENT_MAX: usize = 65_536;

/// How far a request with a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Recent {
    fingerprint: Id,
    /// Whether it is on the ledger; otherwise somebody is putting it there.
    issued: bool,
    at_us: u64,
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Issue,
    Repeated,
    Used,
    Later,
}

/// Takes requests.
pub(super) struct Desk {
    parts: DeskParts,
    recent: Mutex<HashMap<Id, Recent>>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("network", &self.parts.network).finish_non_exhaustive()
    }
}

/// What a desk is made of.
pub(super) struct DeskParts {
    pub(super) network: NetworkId,
    pub(super) policy: Policy,
    pub(super) devices: Arc<Devices>,
    pub(super) require_registration: bool,
    pub(super) max_age_us: u64,
    pub(super) jobs: Jobs,
    pub(super) notices: Notices,
    pub(super) counters: Arc<Counters>,
}

impl Desk {
    /// A desk that remembers what was issued before the start: slots, fingerprints, milliseconds since 1970.
    pub(super) fn new(parts: DeskParts, issued: Vec<(Id, Id, u64)>) -> Self {
        let recent = issued.into_iter().take(RECENT_MAX);
        let recent =
            recent.map(|(slot, fingerprint, at_ms)| (slot, Recent { fingerprint, issued: true, at_us: at_ms.saturating_mul(1_000) }));
        let recent = Mutex::new(recent.collect());
        Self { parts, recent }
    }

    fn recent(&self) -> MutexGuard<'_, HashMap<Id, Recent>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request, if its device may ask for it and is believed.
    fn judge(&self, asked: Asked, arrival_us: u64) -> Result<DeviceRequest, String> {
        let Asked { request, timed, signature } = asked;
        let (from, to) = (&request.from, &request.to);
        if !self.parts.policy.allows(from, to) {
            return Err(format!("no rule of the site {} allows {from} to ask for {to}", from.site));
        }
        if timed && request.time_us > arrival_us.saturating_add(AHEAD_US_MAX) {
            return Err("its time lies ahead: the device's clock is wrong".to_owned());
        }
        if timed && request.time_us.saturating_add(self.parts.max_age_us) < arrival_us {
            return Err("it is too old, or the device's clock is wrong".to_owned());
        }
        match (self.parts.devices.device(&from.device), signature) {
            (Registered::Revoked, _) => Err("the device was revoked".to_owned()),
            (Registered::Unknown, _) if self.parts.require_registration => Err("the device is not registered".to_owned()),
            (Registered::Unknown | Registered::Unsigned, None) => Ok(request),
            (Registered::Unknown | Registered::Unsigned, Some(_)) => {
                Err("the request is signed and the device has no registered key".to_owned())
            }
            (Registered::Signs(_), None) => Err("the device is registered with a key, and the request is not signed".to_owned()),
            (Registered::Signs(key), Some(signature)) => {
                let request = request.with_signature(DeviceSignature { key, signature });
                match request.is_authentic(&self.parts.network) {
                    true => Ok(request),
                    false => Err("the signature is not that of the device's registered key for this network and content".to_owned()),
                }
            }
        }
    }

    /// Takes the number of a request, if it is to be had.
    fn step(&self, slot: Id, fingerprint: Id, now_us: u64) -> Step {
        let mut recent = self.recent();
        if let Some(known) = recent.get(&slot) {
            return match (known.fingerprint == fingerprint, known.issued) {
                (true, true) => Step::Repeated,
                (true, false) => Step::Later,
                (false, _) => Step::Used,
            };
        }
        if recent.len() >= RECENT_MAX {
            let span_us = self.parts.max_age_us.saturating_add(AHEAD_US_MAX);
            recent.retain(|_, r| r.at_us.saturating_add(span_us) >= now_us);
        }
        if recent.len() >= RECENT_MAX {
            return Step::Later;
        }
        recent.insert(slot, Recent { fingerprint, issued: false, at_us: now_us });
        Step::Issue
    }

    fn refuse(&self, device: DeviceName, notice: Notice, why: String) -> NotAsked {
        count(&self.parts.counters.refused);
        self.parts.notices.tell(device, Notice { state: "refused", reason: Some(why.clone()), ..notice });
        NotAsked::Refused(why)
    }
}

/// Gives a number back whose request was not issued, whatever the reason.
struct Place<'a> {
    desk: &'a Desk,
    slot: Id,
    issued: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut recent = self.desk.recent();
        if !self.issued {
            recent.remove(&self.slot);
        } else if let Some(entry) = recent.get_mut(&self.slot) {
            entry.issued = true;
        }
    }
}

#[async_trait]
impl RequestDesk for Desk {
    async fn ask(&self, from: DeviceName, payload: &[u8], arrival_us: u64) -> Result<(), NotAsked> {
        let number = payload::number(payload);
        let judged = payload::read(from.clone(), payload, arrival_us).and_then(|asked| self.judge(asked, arrival_us));
        let request = match judged {
            Ok(request) => request,
            Err(why) => return Err(self.refuse(from, Notice { number, ..Notice::default() }, why)),
        };
        let (slot, fingerprint) = (request.slot(), Id::hash(&[payload]));
        match self.step(slot, fingerprint, arrival_us) {
            Step::Issue => {}
            // by the book, after an answer that was lost; under its first id, which is told again when it is confirmed
            Step::Repeated => return Ok(()),
            Step::Later => return Err(NotAsked::Later),
            Step::Used => {
                let why = format!("the device's number {} was used before: a replay, or a device that counts anew", request.number);
                let notice = Notice { number, to: Some(request.to.to_string()), request: Some(request.id()), ..Notice::default() };
                return Err(self.refuse(from, notice, why));
            }
        }
        let mut place = Place { desk: self, slot, issued: false };
        self.parts.jobs.issue(Record::Request(Box::new(request)), Some(fingerprint)).await.ok_or(NotAsked::Later)?;
        place.issued = true;
        Ok(())
    }
}
