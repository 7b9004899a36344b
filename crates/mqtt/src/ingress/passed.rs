//! What another part of the site has read already, and passes on: only who published it is still to be judged.

use super::{Ingress, Outcome, REASON_BYTES_MAX, Refusal, Rejection, shortened};
use crate::identity::Believed;
use crate::log::{AppendError, Appended, Entry};
use edge::payload::{Malformed, Told};
use protocol::{DeviceTopic, Topic};
use std::sync::atomic::Ordering;

/// A reading, or a few of one device, on their way between the parts of a site.
#[derive(Clone, Debug, PartialEq)]
pub struct PassedOn {
    /// The device and what it measures.
    pub topic: DeviceTopic,
    /// What it told.
    pub told: Told,
    /// The fingerprint of the publish ([`crate::roles::Arrived::fingerprint`]), if its publisher may send it again.
    pub origin: Option<[u8; 16]>,
    /// Whether it may have been passed on before.
    pub dup: bool,
}

impl Ingress {
    /// Takes what is passed on; returns once it is durable. What this log had lately is a duplicate; whether the ledger has it
    /// from longer ago, the caller has asked.
    ///
    /// # Errors
    /// [`Refusal`]: it must not be acknowledged.
    pub async fn take(&self, passed: PassedOn) -> Result<Outcome, Refusal> {
        let outcome = self.judge_and_keep(passed).await;
        let (counter, readings) = match &outcome {
            Ok(Outcome::Stored { readings, .. }) => (&self.accepted, readings.len()),
            Ok(Outcome::Requested | Outcome::Reported) => (&self.accepted, 0), // what is passed on is neither
            Ok(Outcome::Duplicate) => (&self.duplicates, 0),
            Ok(Outcome::Rejected(_)) => (&self.rejected, 0),
            Err(_) => (&self.refused, 0),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.readings.fetch_add(readings as u64, Ordering::Relaxed);
        if let Err(Refusal::Store(why)) = &outcome {
            self.warn(why);
        }
        outcome
    }

    async fn judge_and_keep(&self, passed: PassedOn) -> Result<Outcome, Refusal> {
        let PassedOn { topic, told, origin, dup } = passed;
        let bytes = match &told {
            Told::Readings(readings) => readings.len(),
            Told::Signed(_) => 1,
        };
        let (readings, number) = match self.believed_of(&topic, told) {
            Ok(Believed::Plain(readings)) => (readings, None),
            Ok(Believed::Signed(reading, number)) => (vec![*reading], Some(number)),
            Ok(Believed::Again | Believed::UnderWay) => return Ok(Outcome::Duplicate), // never said of what is passed on
            Ok(Believed::Elsewhere { .. }) => return Err(AppendError::Overloaded.into()), // its key is closed here for now
            Err(why) => {
                let (topic, reason) = (Topic::Fog(topic).to_string(), shortened(&why, REASON_BYTES_MAX));
                return Ok(Outcome::Rejected(Rejection { topic, reason, bytes }));
            }
        };
        let appended = self.log.append(Entry { origin, dup, readings }).await?;
        if let Some(number) = number {
            number.keep();
        }
        Ok(match appended {
            Appended::Stored { first_offset, fresh } => Outcome::Stored { first_offset, readings: fresh },
            Appended::Duplicate => Outcome::Duplicate,
        })
    }

    fn believed_of(&self, topic: &DeviceTopic, told: Told) -> Result<Believed<'_>, String> {
        // canonical bytes beside a publish can say anything of a signature, and nobody would have checked it
        if let Told::Readings(readings) = &told
            && readings.iter().any(|reading| reading.signed.is_some())
        {
            return Err("a signature is believed in its device's envelope only".to_owned());
        }
        match (&self.identities, told) {
            (Some(identities), told) => identities.believe(topic, told).map_err(|why| why.to_string()),
            (None, Told::Readings(readings)) => Ok(Believed::Plain(readings)),
            (None, Told::Signed(_)) => Err(Malformed::Signed.to_string()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::log::{LogConfig, SiteLog};
    use protocol::{DeviceSignature, PublicKey, Reading, Signature, Value};

    /// ROLE-9: what is passed on as plain must not bear a signature that nobody has checked.
    #[tokio::test]
    async fn a_signature_is_believed_in_its_envelope_only() {
        let dir = tempfile::tempdir().unwrap();
        let log = SiteLog::open(dir.path(), LogConfig { min_free_bytes: 0, ..LogConfig::default() }).unwrap();
        let ingress = Ingress::new("z1".parse().unwrap(), log);
        let topic: DeviceTopic = "z1/d/sense/t".parse().unwrap();
        let by = DeviceSignature { key: PublicKey([1; 32]), signature: Signature([2; 64]) };
        let plain = Reading { topic: topic.clone(), time_us: 1, sequence: Some(1), unit: None, value: Value::Number(1.0), signed: None };
        let signed = Reading { signed: Some(by), ..plain.clone() };
        let passed = |reading: Reading| PassedOn { topic: topic.clone(), told: Told::Readings(vec![reading]), origin: None, dup: false };
        assert!(matches!(ingress.take(passed(signed)).await, Ok(Outcome::Rejected(_))));
        assert!(matches!(ingress.take(passed(plain)).await, Ok(Outcome::Stored { .. })));
    }
}
