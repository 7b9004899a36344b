//! The journal: what each step since the snapshot was, durable before anything of it leaves.
//!
//! ```text
//! journal   magic "wattlfj" | version 1 | instance 16 | number of the first step u64 | check 8 | record…
//! record    body bytes u32 | body | check 8
//! body      0 | to u64 | floor µs u64 | now µs u64                  a step: readings below offset `to`
//!           1 | now µs u64 | series u32                            a step: a tick
//!           2 | now µs u64 | series u32 | count | stage u32 …       a step: windows are closed
//!           3 | pieces u32                                         so many pieces of the last step have left
//! check     the first 8 bytes of SHA-256 of domain, instance, place in the file, and body or header
//! ```
//! A record is written after those before it, and synced with them. So what is bad, and all after it, was never durable:
//! nothing of it has left, and it is cut off.

use super::error::FogError;
use protocol::codec::{Reader, put_varint};
use protocol::{DecodeError, Id};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const FILE: &str = "journal";
const NEW_FILE: &str = "journal.new";
/// "wattlfj" and the version of the layout.
const MAGIC: &[u8; 8] = b"wattlfj\x01";
const CHECK_BYTES: usize = 8;
const HEADER_BYTES: usize = 8 + 16 + 8 + CHECK_BYTES;
/// Bytes of a record's body: all stages of the largest configuration.
const BODY_BYTES_MAX: usize = 64 << 10;

const _: () = assert!(16 + 4 * edge::fog::PIPELINES_MAX * edge::fog::STAGES_MAX < BODY_BYTES_MAX);

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Takes the readings of the intake below offset `to`. Each arrived not before `floor_us` and not after `now_us`,
    /// microseconds since 1970.
    Read { to: u64, floor_us: u64, now_us: u64 },
    /// Lets time go by until `now_us`, for so many devices × data types.
    Tick { now_us: u64, series_max: u32 },
    /// Closes windows of these stages, of so many devices × data types.
    Close { now_us: u64, series_max: u32, stages: Vec<u32> },
}

/// What stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// The next step.
    Step(Act),
    /// So many pieces of the last step have left.
    Left(u32),
}

/// The file, open for the next record.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    instance: [u8; 16],
    /// Durable bytes.
    bytes: u64,
}

/// What was found in a journal.
#[derive(Debug)]
pub(super) struct Found {
    /// Whose it is.
    pub(super) instance: [u8; 16],
    /// The number of its first step.
    pub(super) first_step: u64,
    /// Its whole records.
    pub(super) records: Vec<Record>,
    /// Their bytes, with the header.
    bytes: u64,
    /// Bytes of the file.
    file_bytes: u64,
}

impl Journal {
    /// An empty journal in the place of the one before, durable on return.
    ///
    /// # Errors
    /// [`FogError::Io`]; the one before may still be there, or be gone: nothing may be written to it.
    pub(super) fn create(dir: &Path, instance: [u8; 16], first_step: u64) -> Result<Self, FogError> {
        let (new, path) = (dir.join(NEW_FILE), dir.join(FILE));
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&instance);
        header.extend_from_slice(&first_step.to_be_bytes());
        let sum = check(&instance, 0, &header);
        header.extend_from_slice(&sum);
        let write = || -> io::Result<File> {
            // first, for want of a descriptor must not be found out when the one before is gone
            let folder = File::open(dir)?;
            let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&new)?;
            file.write_all(&header)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            folder.sync_all()?;
            Ok(file)
        };
        let file = write().map_err(FogError::io("write", &path))?;
        Ok(Self { file, path, instance, bytes: HEADER_BYTES as u64 })
    }

    /// What the journal in `dir` holds, if there is one. Changes nothing.
    ///
    /// # Errors
    /// [`FogError::Io`] if it cannot be read, [`FogError::Damaged`] if its header is not what was written.
    pub(super) fn read(dir: &Path) -> Result<Option<Found>, FogError> {
        let path = dir.join(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => found(&bytes).map(Some).map_err(|why| FogError::Damaged { file: path, why: why.to_string() }),
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
            Err(why) => Err(FogError::io("read", &path)(why)),
        }
    }

    /// Opens the journal in `dir` after what was found in it; the rest is cut off.
    ///
    /// # Errors
    /// [`FogError::Io`].
    pub(super) fn resume(dir: &Path, found: &Found) -> Result<Self, FogError> {
        let path = dir.join(FILE);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(FogError::io("open", &path))?;
        if found.file_bytes > found.bytes {
            let torn_bytes = found.file_bytes - found.bytes;
            tracing::warn!(file = %path.display(), at = found.bytes, torn_bytes, "a torn tail is cut off");
            file.set_len(found.bytes).and_then(|()| file.sync_all()).map_err(FogError::io("cut the torn tail of", &path))?;
        }
        Ok(Self { file, path, instance: found.instance, bytes: found.bytes })
    }

    /// Appends to `out` a record that is to be written after it.
    pub(super) fn put(&self, out: &mut Vec<u8>, record: &Record) {
        let body = body(record);
        let at = self.bytes.saturating_add(out.len() as u64);
        out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&body);
        out.extend_from_slice(&check(&self.instance, at, &body));
    }

    /// Writes records made by [`Journal::put`]. They are durable on return.
    ///
    /// # Errors
    /// [`FogError::Io`]; the same records can be written again.
    pub(super) fn write(&mut self, records: &[u8]) -> Result<(), FogError> {
        let written = self.file.write_all_at(records, self.bytes).and_then(|()| self.file.sync_data());
        written.map_err(FogError::io("write", &self.path))?;
        self.bytes = self.bytes.saturating_add(records.len() as u64);
        Ok(())
    }

    /// Its durable bytes.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn check(instance: &[u8; 16], at: u64, bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = Id::hash(&[b"wattle/fog/journal/v1", instance, &at.to_be_bytes(), bytes]);
    hash.as_bytes().first_chunk::<CHECK_BYTES>().copied().unwrap_or_default()
}

fn body(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    match record {
        Record::Step(Act::Read { to, floor_us, now_us }) => {
            out.push(0);
            for number in [to, floor_us, now_us] {
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
        Record::Step(Act::Tick { now_us, series_max }) => {
            out.push(1);
            out.extend_from_slice(&now_us.to_be_bytes());
            out.extend_from_slice(&series_max.to_be_bytes());
        }
        Record::Step(Act::Close { now_us, series_max, stages }) => {
            out.push(2);
            out.extend_from_slice(&now_us.to_be_bytes());
            out.extend_from_slice(&series_max.to_be_bytes());
            put_varint(&mut out, stages.len() as u64);
            stages.iter().for_each(|stage| out.extend_from_slice(&stage.to_be_bytes()));
        }
        Record::Left(pieces) => {
            out.push(3);
            out.extend_from_slice(&pieces.to_be_bytes());
        }
    }
    out
}

fn record(body: &[u8]) -> Result<Record, DecodeError> {
    let mut reader = Reader::new(body);
    let record = match reader.byte("a record")? {
        0 => Record::Step(Act::Read { to: reader.u64("an offset")?, floor_us: reader.u64("a time")?, now_us: reader.u64("a time")? }),
        1 => Record::Step(Act::Tick { now_us: reader.u64("a time")?, series_max: whole(&mut reader)? }),
        2 => {
            let (now_us, series_max) = (reader.u64("a time")?, whole(&mut reader)?);
            let count = reader.length(BODY_BYTES_MAX / 4, 4, "stages")?;
            let stages = (0..count).map(|_| whole(&mut reader)).collect::<Result<_, _>>()?;
            Record::Step(Act::Close { now_us, series_max, stages })
        }
        3 => Record::Left(whole(&mut reader)?),
        tag => return Err(DecodeError::UnknownTag { what: "a record", tag }),
    };
    reader.finish()?;
    Ok(record)
}

fn whole(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    Ok(u32::from_be_bytes(reader.array("a number")?))
}

fn found(bytes: &[u8]) -> Result<Found, DecodeError> {
    let mut reader = Reader::new(bytes);
    let head = reader.take(HEADER_BYTES - CHECK_BYTES, "a header")?;
    let sum = reader.array::<CHECK_BYTES>("a header")?;
    let mut header = Reader::new(head);
    let magic = header.array::<8>("a magic number")?;
    let (instance, first_step) = (header.array::<16>("an instance")?, header.u64("a step")?);
    if magic != *MAGIC || sum != check(&instance, 0, head) {
        return Err(DecodeError::Invalid("its header"));
    }
    let (mut records, mut whole_bytes) = (Vec::new(), HEADER_BYTES);
    while let Some((record, bytes)) = next(&mut reader, &instance, whole_bytes as u64) {
        records.push(record);
        whole_bytes = whole_bytes.saturating_add(bytes);
    }
    Ok(Found { instance, first_step, records, bytes: whole_bytes as u64, file_bytes: bytes.len() as u64 })
}

/// The next record and its bytes; `None` at the end, or where what follows was never durable.
fn next(reader: &mut Reader<'_>, instance: &[u8; 16], at: u64) -> Option<(Record, usize)> {
    let before = reader.remaining();
    let length = usize::try_from(whole(reader).ok()?).ok().filter(|length| *length <= BODY_BYTES_MAX)?;
    let body = reader.take(length, "a record").ok()?;
    let sum = reader.array::<CHECK_BYTES>("a record").ok()?;
    let record = record(body).ok().filter(|_| sum == check(instance, at, body))?;
    Some((record, before.saturating_sub(reader.remaining())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        vec![
            Record::Step(Act::Read { to: 9, floor_us: 1, now_us: 2 }),
            Record::Left(1),
            Record::Step(Act::Tick { now_us: 3, series_max: 256 }),
            Record::Step(Act::Close { now_us: 4, series_max: 256, stages: vec![0, 7] }),
        ]
    }

    #[test]
    fn what_was_written_is_read_and_a_torn_tail_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Journal::read(dir.path()).unwrap().is_none());
        let mut journal = Journal::create(dir.path(), [5; 16], 3).unwrap();
        for record in records() {
            let mut bytes = Vec::new();
            journal.put(&mut bytes, &record);
            journal.write(&bytes).unwrap();
        }
        let whole = std::fs::read(dir.path().join(FILE)).unwrap();
        assert_eq!(whole.len() as u64, journal.bytes());
        for cut in HEADER_BYTES..=whole.len() {
            std::fs::write(dir.path().join(FILE), &whole[..cut]).unwrap();
            let found = Journal::read(dir.path()).unwrap().unwrap();
            assert_eq!((found.instance, found.first_step), ([5; 16], 3));
            assert_eq!(found.records, records()[..found.records.len()], "cut at {cut}");
            assert_eq!(found.records.len() == 4, cut == whole.len());
            // what is written after the cut is read with what was before it
            let kept = found.records.len();
            let mut journal = Journal::resume(dir.path(), &found).unwrap();
            let mut more = Vec::new();
            journal.put(&mut more, &Record::Left(8));
            journal.put(&mut more, &Record::Left(9));
            journal.write(&more).unwrap();
            let again = Journal::read(dir.path()).unwrap().unwrap();
            assert_eq!(again.records[kept..], [Record::Left(8), Record::Left(9)]);
        }
        assert!(matches!(found(&whole[..HEADER_BYTES - 1]), Err(DecodeError::UnexpectedEnd(_))));
    }

    #[test]
    fn a_changed_byte_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path(), [5; 16], 3).unwrap();
        let mut bytes = Vec::new();
        records().iter().for_each(|record| journal.put(&mut bytes, record));
        journal.write(&bytes).unwrap();
        let whole = std::fs::read(dir.path().join(FILE)).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            match found(&bad) {
                Err(_) => assert!(at < HEADER_BYTES),
                Ok(found) => assert!(at >= HEADER_BYTES && found.records.len() < 4 && found.records == records()[..found.records.len()]),
            }
        }
    }
}
