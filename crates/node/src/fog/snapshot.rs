//! The snapshot: everything the processor remembers at an offset of the intake, in one file.
//!
//! ```text
//! snapshot   magic "wattlfs" | version 1 | instance 16 | step u64 | next u64 | commands u64 | now µs u64
//!            | text of the configuration | state of the pipelines | numbers of keys… | SHA-256 of all before
//! number     key 32 | greatest u64 | bits u64             (integers big-endian, lengths and counts LEB128)
//! ```
//! It is written beside the old one, synced, and then takes its name: there is always a whole one.

use super::error::FogError;
use edge::fog::{CONFIGURATION_BYTES_MAX, SNAPSHOT_BYTES_MAX};
use mqtt::replay::KEYS_MAX;
use protocol::codec::{Reader, put_bytes, put_varint};
use protocol::{DecodeError, Id, PublicKey};
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

const FILE: &str = "snapshot";
const NEW_FILE: &str = "snapshot.new";
/// "wattlfs" and the version of the layout.
const MAGIC: &[u8; 8] = b"wattlfs\x01";
/// Bytes of the hash at the end.
const HASH_BYTES: usize = 32;

/// What the processor remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Tells this processor's results from those of every other.
    pub(super) instance: [u8; 16],
    /// How many steps were made before.
    pub(super) step: u64,
    /// The offset of the intake to go on from.
    pub(super) next: u64,
    /// How many commands were given before.
    pub(super) commands: u64,
    /// The latest time that was reckoned with, in microseconds since 1970.
    pub(super) now_us: u64,
    /// The configuration.
    pub(super) text: String,
    /// What the pipelines remember.
    pub(super) state: Vec<u8>,
    /// Numbers of readings that devices signed: key, greatest, and which of those before it.
    pub(super) taken: Vec<(PublicKey, u64, u64)>,
}

impl Snapshot {
    /// The snapshot in `dir`, if there is one.
    ///
    /// # Errors
    /// [`FogError::Io`] if it cannot be read, [`FogError::Damaged`] if it is not what was written.
    pub(super) fn load(dir: &Path) -> Result<Option<Self>, FogError> {
        let path = dir.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(FogError::io("read", &path)(why)),
        };
        Self::decode(&bytes).map(Some).map_err(|why| FogError::Damaged { file: path, why: why.to_string() })
    }

    /// Writes it in the place of the one before. It is durable on return.
    ///
    /// # Errors
    /// [`FogError::Io`]; the one before may still be there.
    pub(super) fn save(&self, dir: &Path) -> Result<(), FogError> {
        let (new, path) = (dir.join(NEW_FILE), dir.join(FILE));
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&self.encode())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(FogError::io("write", &path))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.state.len() + self.text.len() + 48 * self.taken.len() + 256);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.instance);
        for number in [self.step, self.next, self.commands, self.now_us] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        put_bytes(&mut out, self.text.as_bytes());
        put_bytes(&mut out, &self.state);
        put_varint(&mut out, self.taken.len() as u64);
        for (key, greatest, bits) in &self.taken {
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(&greatest.to_be_bytes());
            out.extend_from_slice(&bits.to_be_bytes());
        }
        let hash = Id::hash(&[&out]);
        out.extend_from_slice(hash.as_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let body = bytes.len().checked_sub(HASH_BYTES).ok_or(DecodeError::UnexpectedEnd("a snapshot"))?;
        let (body, hash) = bytes.split_at_checked(body).ok_or(DecodeError::UnexpectedEnd("a snapshot"))?;
        if Id::hash(&[body]).as_bytes().as_slice() != hash {
            return Err(DecodeError::Invalid("its checksum"));
        }
        let mut reader = Reader::new(body);
        if reader.array::<8>("a magic number")? != *MAGIC {
            return Err(DecodeError::Invalid("its version"));
        }
        let instance = reader.array("an instance")?;
        let (step, next, commands, now_us) =
            (reader.u64("a step")?, reader.u64("an offset")?, reader.u64("a number")?, reader.u64("a time")?);
        let text = reader.text(CONFIGURATION_BYTES_MAX, "a configuration")?.to_owned();
        let state = reader.bytes(SNAPSHOT_BYTES_MAX, "a state")?.to_vec();
        let count = reader.length(KEYS_MAX, 48, "numbers of keys")?;
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            taken.push((PublicKey(reader.array("a key")?), reader.u64("a number")?, reader.u64("numbers")?));
        }
        reader.finish()?;
        Ok(Self { instance, step, next, commands, now_us, text, state, taken })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let taken = vec![(PublicKey([7; 32]), 9, 0b101)];
        Snapshot { instance: [3; 16], step: 4, next: 5, commands: 6, now_us: 7, text: "# nothing".into(), state: vec![1, 2, 3], taken }
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Snapshot::load(dir.path()).unwrap(), None);
        snapshot().save(dir.path()).unwrap();
        assert_eq!(Snapshot::load(dir.path()).unwrap(), Some(snapshot()));
        let other = Snapshot { step: 9, ..snapshot() };
        other.save(dir.path()).unwrap();
        assert_eq!(Snapshot::load(dir.path()).unwrap(), Some(other));
    }

    #[test]
    fn every_damage_is_seen() {
        let whole = snapshot().encode();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            assert!(Snapshot::decode(&bad).is_err(), "byte {at}");
            assert!(Snapshot::decode(&whole[..at]).is_err(), "cut at {at}");
        }
    }
}
