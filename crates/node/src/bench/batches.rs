//! Readings for the benches, and the bodies of the messages that anchor them.

use protocol::{Batch, Body, DeviceTopic, Direction, Encode as _, Id, Name, NameError, Reading, Value, merkle};

/// Devices of a site, which take turns.
const DEVICES: u64 = 20;
/// After so many readings the values come again.
const VALUES: u64 = 4_096;
/// The time of a site's first reading, in microseconds since 1970.
const FIRST_US: u64 = 1_470_009_600_000_000;

/// What a site's devices say.
pub(crate) struct Readings {
    site: Name,
    devices: Vec<Name>,
    data_type: Name,
}

impl Readings {
    /// Those of site number `site`.
    ///
    /// # Errors
    /// [`NameError`] never happens: the names are good ones.
    pub(crate) fn of_site(site: usize) -> Result<Self, NameError> {
        let devices = (0..DEVICES).map(|d| Name::new(&format!("m{d}"))).collect::<Result<_, _>>()?;
        Ok(Self { site: Name::new(&format!("z{site}"))?, devices, data_type: Name::new("power")? })
    }

    /// Reading number `n`, so many microseconds after the first.
    pub(crate) fn reading(&self, n: u64, after_us: u64) -> Reading {
        let device = usize::try_from(n % DEVICES).ok().and_then(|d| self.devices.get(d)).unwrap_or(&self.site);
        let topic =
            DeviceTopic { site: self.site.clone(), device: device.clone(), direction: Direction::Sense, data_type: self.data_type.clone() };
        let value = Value::Number(f64::from(u32::try_from(n % VALUES).unwrap_or_default()));
        Reading { topic, time_us: FIRST_US + after_us, sequence: None, unit: Some("W".to_owned()), value, signed: None }
    }

    /// The batch of readings `first` to `first + count`, a millisecond apart.
    pub(crate) fn batch(&self, first: u64, count: u64) -> Batch {
        let readings = (first..first + count).map(|n| self.reading(n, n * 1_000)).collect();
        Batch { secret: secret(first), first_offset: first, readings }
    }
}

/// A secret for the batch that begins at `offset`. Good for measuring only: anybody can guess it.
pub(super) fn secret(offset: u64) -> [u8; 32] {
    Id::hash(&[b"wattle/bench", &offset.to_be_bytes()]).0
}

/// The body that anchors a batch, and the payload it names: what a site does between its log and the ledger.
pub(crate) fn seal(batch: &Batch) -> (Body, Vec<u8>) {
    let payload = batch.encode();
    let body = Body::Readings {
        root: merkle::root(&batch.leaves()),
        count: u32::try_from(batch.readings.len()).unwrap_or(u32::MAX),
        bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        span_us: batch.span_us(),
        blob: Batch::blob_digest(&payload),
        shares: Vec::new(),
    };
    (body, payload)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use protocol::Decode as _;

    #[test]
    fn a_sealed_batch_is_one_that_a_replica_takes() {
        let batch = Readings::of_site(1).unwrap().batch(40, 3);
        let (body, payload) = seal(&batch);
        assert_eq!(Batch::decode(&payload).unwrap(), batch);
        assert_eq!(Body::decode(&body.encode()).unwrap(), body);
        let Body::Readings { count, bytes, blob, .. } = body else { panic!("another body") };
        assert_eq!((count, bytes as usize, blob), (3, payload.len(), Batch::blob_digest(&payload)));
    }

    #[test]
    fn no_reading_comes_twice() {
        let readings = Readings::of_site(0).unwrap();
        let ids: std::collections::BTreeSet<Id> = (0..10_000).map(|n| readings.reading(n, n * 1_000).id()).collect();
        assert_eq!(ids.len(), 10_000);
        assert_ne!(readings.batch(0, 1).secret, readings.batch(1, 1).secret);
    }
}
