//! The frame: one group of publishes as it lies on disk. The layout is in the head of [`super`].

use protocol::codec::{DecodeError, Reader, put_bytes, put_varint};
use protocol::limits::READING_BYTES_MAX;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of the readings of one publish, in canonical form.
pub const PUBLISH_BYTES_MAX: usize = 1 << 20;
/// Readings of one publish.
pub const PUBLISH_READINGS_MAX: usize = 1024;
/// A group takes no further publish once it has so many bytes.
pub(super) const GROUP_BYTES_MAX: usize = 1 << 20;
/// Bytes of a frame's header.
pub(super) const HEADER_BYTES: usize = 24;
/// Bytes of a frame's body.
pub(super) const BODY_BYTES_MAX: usize = GROUP_BYTES_MAX + PUBLISH_BYTES_MAX;
/// The smallest body: a publish without origin and one empty reading.
const BODY_BYTES_MIN: usize = 3;
/// Bytes read at a time when the next frame is looked for.
const SCAN_BYTES: usize = 64 * 1024;

const _: () = assert!(READING_BYTES_MAX + 64 <= PUBLISH_BYTES_MAX);
const _: () = assert!(SCAN_BYTES > HEADER_BYTES);

/// Sixteen bytes that name a reading or the origin of a publish.
pub(super) type Key = [u8; 16];

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) body_bytes: u32,
    pub(super) readings: u32,
    pub(super) first_offset: u64,
    pub(super) body_crc: u32,
}

impl FrameHeader {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&self.body_bytes.to_be_bytes());
        out.extend_from_slice(&self.readings.to_be_bytes());
        out.extend_from_slice(&self.first_offset.to_be_bytes());
        out.extend_from_slice(&self.body_crc.to_be_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// The header in `bytes`; `None` unless its checksum and its bounds hold.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (covered, crc) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(covered) != u32::from_be_bytes(*crc) {
            return None;
        }
        let mut reader = Reader::new(covered);
        let header = Self {
            body_bytes: u32::from_be_bytes(reader.array("a body's length").ok()?),
            readings: u32::from_be_bytes(reader.array("a count of readings").ok()?),
            first_offset: reader.u64("an offset").ok()?,
            body_crc: u32::from_be_bytes(reader.array("a checksum").ok()?),
        };
        let within = (BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&(header.body_bytes as usize)) && header.readings > 0;
        within.then_some(header)
    }
}

/// A whole frame, header included.
#[derive(Debug)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    pub(super) first_offset: u64,
    pub(super) readings: u32,
}

impl Frame {
    /// The offset after its last reading.
    pub(super) fn end(&self) -> u64 {
        self.first_offset + u64::from(self.readings)
    }

    /// What lies on disk.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it takes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>()
    }

    /// Its publishes.
    pub(super) fn publishes(&self) -> Publishes<'_> {
        Publishes { reader: Reader::new(self.bytes.get(HEADER_BYTES..).unwrap_or_default()) }
    }

    /// Counts the publishes, and the readings against the header.
    fn check(&self) -> Result<u64, String> {
        let (mut publishes, mut readings) = (0, 0);
        for publish in self.publishes() {
            let publish = publish.map_err(|e| e.to_string())?;
            publishes += 1;
            readings += publish.readings.len();
        }
        if readings != self.readings as usize {
            return Err(format!("its header counts {} readings, its body {readings}", self.readings));
        }
        Ok(publishes)
    }
}

/// A publish as it was stored.
pub(super) struct StoredPublish<'a> {
    pub(super) origin: Option<Key>,
    /// The readings in canonical form, at least one.
    pub(super) readings: Vec<&'a [u8]>,
}

/// The publishes of a body, in order.
pub(super) struct Publishes<'a> {
    reader: Reader<'a>,
}

impl<'a> Publishes<'a> {
    fn publish(&mut self) -> Result<StoredPublish<'a>, DecodeError> {
        let origin = if self.reader.flag("an origin")? { Some(self.reader.array("an origin")?) } else { None };
        let count = self.reader.length(PUBLISH_READINGS_MAX, 1, "the readings of a publish")?;
        if count == 0 {
            return Err(DecodeError::Invalid("a publish without readings"));
        }
        let readings = (0..count).map(|_| self.reader.bytes(READING_BYTES_MAX, "a reading")).collect::<Result<_, _>>()?;
        Ok(StoredPublish { origin, readings })
    }
}

impl<'a> Iterator for Publishes<'a> {
    type Item = Result<StoredPublish<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.remaining() == 0 {
            return None;
        }
        let publish = self.publish();
        if publish.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(publish)
    }
}

/// A frame under construction.
pub(super) struct FrameBuilder {
    bytes: Vec<u8>,
    first_offset: u64,
    readings: u32,
}

impl FrameBuilder {
    /// An empty frame whose first reading will have `first_offset`.
    pub(super) fn new(first_offset: u64, body_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body_bytes);
        bytes.resize(HEADER_BYTES, 0);
        Self { bytes, first_offset, readings: 0 }
    }

    /// The offset that the next reading will have.
    pub(super) fn next_offset(&self) -> u64 {
        self.first_offset + u64::from(self.readings)
    }

    /// Its bytes so far, header included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a publish.
    pub(super) fn push<'r>(&mut self, origin: Option<&Key>, readings: impl ExactSizeIterator<Item = &'r [u8]>) {
        match origin {
            Some(origin) => {
                self.bytes.push(1);
                self.bytes.extend_from_slice(origin);
            }
            None => self.bytes.push(0),
        }
        put_varint(&mut self.bytes, readings.len() as u64);
        for reading in readings {
            put_bytes(&mut self.bytes, reading);
            self.readings += 1;
        }
    }

    /// The frame, or `None` if nothing was added.
    pub(super) fn finish(mut self) -> Option<Frame> {
        if self.readings == 0 {
            return None;
        }
        let (head, body) = self.bytes.split_at_mut_checked(HEADER_BYTES)?;
        let header = FrameHeader {
            body_bytes: u32::try_from(body.len()).ok()?,
            readings: self.readings,
            first_offset: self.first_offset,
            body_crc: crc32fast::hash(body),
        };
        head.copy_from_slice(&header.encode());
        Some(Frame { bytes: self.bytes, first_offset: self.first_offset, readings: self.readings })
    }
}

/// What a segment holds at one place.
pub(super) enum Step {
    /// A whole frame, how many publishes it holds, and where it begins.
    Frame { frame: Frame, publishes: u64, at: u64 },
    /// The end of what was to be read.
    End,
    /// Something else.
    Bad(Bad),
}

/// A place that holds no whole frame.
pub(super) struct Bad {
    pub(super) at: u64,
    pub(super) why: String,
    pub(super) kind: BadKind,
}

/// How a frame is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadKind {
    /// The file ends inside it.
    Cut,
    /// Its header's checksum or bounds fail.
    Header,
    /// Its header is whole; its body's checksum or content fails. `end`: where the next frame would begin, and
    /// the offset of its first reading.
    Body { end: u64, next_offset: u64 },
    /// It is whole but begins at another offset than the one before it ends; `first_offset` is what it says.
    Offset { first_offset: u64 },
}

/// Reads the frames of a segment one after another.
pub(super) struct Frames<'f> {
    file: &'f File,
    at: u64,
    end: u64,
    next_offset: u64,
}

impl<'f> Frames<'f> {
    /// Frames of `file` from byte `at`, where the reading `next_offset` begins, up to byte `end`.
    pub(super) fn new(file: &'f File, at: u64, end: u64, next_offset: u64) -> Self {
        Self { file, at, end, next_offset }
    }

    /// Where the next frame begins, and the offset of its first reading.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.at, self.next_offset)
    }

    /// Goes on at another place.
    pub(super) fn resume(&mut self, at: u64, next_offset: u64) {
        (self.at, self.next_offset) = (at, next_offset);
    }

    /// The next frame. A bad one is not passed: the same step comes again until [`Frames::resume`].
    pub(super) fn step(&mut self) -> io::Result<Step> {
        let at = self.at;
        let rest = self.end.saturating_sub(at);
        if rest == 0 {
            return Ok(Step::End);
        }
        let bad = |kind, why: String| Ok(Step::Bad(Bad { at, why, kind }));
        if rest < HEADER_BYTES as u64 {
            return bad(BadKind::Cut, "the file ends inside a frame's header".into());
        }
        let mut head = [0; HEADER_BYTES];
        self.file.read_exact_at(&mut head, at)?;
        let Some(header) = FrameHeader::decode(&head) else {
            return bad(BadKind::Header, "the checksum of a frame's header is wrong".into());
        };
        if header.first_offset != self.next_offset {
            let why = format!("a frame begins with reading {}, expected was {}", header.first_offset, self.next_offset);
            return bad(BadKind::Offset { first_offset: header.first_offset }, why);
        }
        if rest - (HEADER_BYTES as u64) < u64::from(header.body_bytes) {
            return bad(BadKind::Cut, "the file ends inside a frame".into());
        }
        let mut bytes = vec![0; HEADER_BYTES + header.body_bytes as usize];
        self.file.read_exact_at(&mut bytes, at)?;
        let end = at + bytes.len() as u64;
        let next_offset = header.first_offset + u64::from(header.readings);
        let frame = Frame { bytes, first_offset: header.first_offset, readings: header.readings };
        if crc32fast::hash(frame.bytes.get(HEADER_BYTES..).unwrap_or_default()) != header.body_crc {
            return bad(BadKind::Body { end, next_offset }, "the checksum of a frame's body is wrong".into());
        }
        match frame.check() {
            Ok(publishes) => {
                self.resume(end, next_offset);
                Ok(Step::Frame { frame, publishes, at })
            }
            Err(why) => bad(BadKind::Body { end, next_offset }, format!("a frame's body is not well formed: {why}")),
        }
    }
}

/// The first place in `from..to` at which a frame's header stands that may follow reading `offset_min`, and
/// the offset it says.
pub(super) fn find_header(file: &File, from: u64, to: u64, offset_min: u64) -> io::Result<Option<(u64, u64)>> {
    let mut buffer = vec![0; SCAN_BYTES];
    let mut at = from;
    while at + HEADER_BYTES as u64 <= to {
        let take = usize::try_from(to - at).unwrap_or(SCAN_BYTES).min(SCAN_BYTES);
        let chunk = buffer.get_mut(..take).unwrap_or_default();
        file.read_exact_at(chunk, at)?;
        for (step, window) in (0u64..).zip(chunk.windows(HEADER_BYTES)) {
            let header = window.first_chunk::<HEADER_BYTES>().and_then(FrameHeader::decode);
            // A frame has no more readings than bytes.
            if let Some(header) = header.filter(|h| (offset_min..=offset_min.saturating_add(to)).contains(&h.first_offset)) {
                return Ok(Some((at + step, header.first_offset)));
            }
        }
        at += (take - HEADER_BYTES + 1) as u64;
    }
    Ok(None)
}
