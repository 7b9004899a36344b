//! The form of a backup: files and directories in a POSIX tar archive (ustar), nothing else.
//!
//! ```text
//! 0    name 100      124  size 12, octal      257  "ustar\0" "00"
//! 100  mode 8        136  mtime 12, octal     345  prefix 155: what stands before the name, and a slash
//! 108  uid, gid 16   148  checksum 8          then the file, filled up to 512 bytes
//!                    156  type: 0 file, 5 directory                    the end: two blocks of zeros
//! ```
//! # Rules
//! - What is read is not trusted: a name that is absolute, or goes up, a link, a device and a wrong checksum are refused.
//! - A file of 8 GiB or more has its size in binary, as GNU tar and others write and read it.

use std::io::{self, Read, Write};

/// Bytes of a block.
const BLOCK: usize = 512;
/// Bytes of a name, and of what stands before it.
const NAME_MAX: usize = 100;
const PREFIX_MAX: usize = 155;
/// Sizes from here on are written in binary.
const OCTAL_SIZE_END: u64 = 1 << 33;
/// What ends an archive: two blocks of zeros.
const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// One file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path in the archive, with `/` between names and none at its end.
    pub(super) name: String,
    /// Whether it is a directory.
    pub(super) directory: bool,
    /// The rights of owner, group and others.
    pub(super) mode: u32,
    /// When it was changed, in seconds since 1970.
    pub(super) changed_s: u64,
    /// Bytes of a file; 0 of a directory.
    pub(super) size: u64,
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// Begins an entry; a file's bytes follow, then [`pad`].
pub(super) fn begin(out: &mut impl Write, entry: &Entry) -> io::Result<()> {
    let mut block = [0u8; BLOCK];
    let slash = if entry.directory { "/" } else { "" };
    let full = format!("{}{slash}", entry.name);
    let (prefix, name) = split(&full).ok_or_else(|| invalid(format!("the path {full} is too long for an archive")))?;
    put(&mut block, 0, name.as_bytes());
    put(&mut block, 100, format!("{:07o}", entry.mode & 0o7777).as_bytes());
    put(&mut block, 108, b"0000000\x000000000\x00");
    match entry.size < OCTAL_SIZE_END {
        true => put(&mut block, 124, format!("{:011o}", entry.size).as_bytes()),
        false => {
            put(&mut block, 124, &[0x80, 0, 0, 0]);
            put(&mut block, 128, &entry.size.to_be_bytes());
        }
    }
    put(&mut block, 136, format!("{:011o}", entry.changed_s.min(OCTAL_SIZE_END - 1)).as_bytes());
    put(&mut block, 156, if entry.directory { b"5" } else { b"0" });
    put(&mut block, 257, b"ustar\x0000");
    put(&mut block, 345, prefix.as_bytes());
    let sum = checksum(&block);
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    out.write_all(&block)
}

/// Fills up what follows a file of `size` bytes.
pub(super) fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    let zeros = [0u8; BLOCK];
    out.write_all(zeros.get(..padding(size)).unwrap_or_default())
}

/// Ends the archive.
pub(super) fn end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&END)
}

/// The next entry; none at the end. A file's bytes follow, then [`skip_padding`].
pub(super) fn next(from: &mut impl Read) -> io::Result<Option<Entry>> {
    let mut block = [0u8; BLOCK];
    from.read_exact(&mut block)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if octal(field(&block, 148, 8)) != Some(u64::from(checksum(&block))) {
        return Err(invalid("the checksum of an entry is wrong: this is no backup, or it is damaged"));
    }
    let (prefix, name) = (text(field(&block, 345, PREFIX_MAX))?, text(field(&block, 0, NAME_MAX))?);
    let full = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
    let directory = match field(&block, 156, 1) {
        [b'0' | 0] => false,
        [b'5'] => true,
        _ => return Err(invalid(format!("{full} is neither a file nor a directory"))),
    };
    let name = full.strip_suffix('/').unwrap_or(&full).to_owned();
    if !is_safe(&name) {
        return Err(invalid(format!("{name:?} is no path below the archive")));
    }
    let number = |at, bytes| octal(field(&block, at, bytes)).ok_or_else(|| invalid(format!("{name}: a number cannot be read")));
    let size = match field(&block, 124, 12) {
        [0x80, 0, 0, 0, size @ ..] => size.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)),
        _ => number(124, 12)?,
    };
    if directory && size != 0 {
        return Err(invalid(format!("{name}: a directory with bytes")));
    }
    let mode = u32::try_from(number(100, 8)? & 0o777).unwrap_or(0o600);
    Ok(Some(Entry { directory, mode, changed_s: number(136, 12)?, size, name }))
}

/// Passes over what fills up a file of `size` bytes.
pub(super) fn skip_padding(from: &mut impl Read, size: u64) -> io::Result<()> {
    let mut rest = [0u8; BLOCK];
    from.read_exact(rest.get_mut(..padding(size)).unwrap_or_default())
}

/// Whether a path stays below where it is put.
fn is_safe(name: &str) -> bool {
    !name.is_empty() && !name.contains('\0') && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// What fills a file's last block up.
fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    if over == 0 { 0 } else { BLOCK - over }
}

/// A path in two, so that each fits.
fn split(full: &str) -> Option<(&str, &str)> {
    if full.len() <= NAME_MAX {
        return Some(("", full));
    }
    // the slash at the end of a directory is part of its name
    let inner = full.strip_suffix('/').unwrap_or(full);
    let at = inner.match_indices('/').map(|(at, _)| at).find(|at| full.len() - at - 1 <= NAME_MAX)?;
    let (prefix, name) = full.split_at_checked(at)?;
    (prefix.len() <= PREFIX_MAX).then(|| (prefix, name.strip_prefix('/').unwrap_or(name)))
}

/// The sum of a header's bytes, with blanks where the sum itself stands.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let counts = |at: usize, byte: u8| u32::from(if (148..156).contains(&at) { b' ' } else { byte });
    block.iter().enumerate().map(|(at, byte)| counts(at, *byte)).sum()
}

fn put(block: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    if let Some(field) = block.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

fn field(block: &[u8; BLOCK], at: usize, bytes: usize) -> &[u8] {
    block.get(at..at + bytes).unwrap_or_default()
}

fn text(field: &[u8]) -> io::Result<String> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let bytes = field.get(..end).unwrap_or_default().to_vec();
    String::from_utf8(bytes).map_err(|_| invalid("a name is not UTF-8"))
}

/// Octal digits between blanks and zeros.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn file(name: &str, size: u64) -> Entry {
        Entry { name: name.into(), directory: false, mode: 0o640, changed_s: 1_700_000_000, size }
    }

    #[test]
    fn what_is_written_is_read() {
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
        let directory = Entry { directory: true, mode: 0o755, ..file("data/ledger", 0) };
        let entries = [file("config/wattle.toml", 700), directory, file(&long, 0), file("data/x", 512)];
        let mut bytes = Vec::new();
        for entry in &entries {
            begin(&mut bytes, entry).unwrap();
            bytes.extend(vec![7; usize::try_from(entry.size).unwrap()]);
            pad(&mut bytes, entry.size).unwrap();
        }
        end(&mut bytes).unwrap();
        assert_eq!(bytes.len() % BLOCK, 0);
        let mut from = bytes.as_slice();
        for entry in &entries {
            assert_eq!(next(&mut from).unwrap().as_ref(), Some(entry));
            from = &from[usize::try_from(entry.size).unwrap()..];
            skip_padding(&mut from, entry.size).unwrap();
        }
        assert_eq!(next(&mut from).unwrap(), None);
    }

    #[test]
    fn large_files_keep_their_size() {
        for size in [OCTAL_SIZE_END - 1, OCTAL_SIZE_END, u64::MAX] {
            let mut bytes = Vec::new();
            begin(&mut bytes, &file("x", size)).unwrap();
            assert_eq!(next(&mut bytes.as_slice()).unwrap().unwrap().size, size);
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for name in ["/etc/passwd", "../up", "a/../../b", "a//b", "", "."] {
            let mut bytes = Vec::new();
            begin(&mut bytes, &file(name, 0)).unwrap();
            assert!(next(&mut bytes.as_slice()).is_err(), "{name}");
        }
        let mut bytes = Vec::new();
        begin(&mut bytes, &file("link", 0)).unwrap();
        let mut block: [u8; BLOCK] = bytes.as_slice().try_into().unwrap();
        block[156] = b'2';
        assert!(next(&mut block.as_slice()).unwrap_err().to_string().contains("checksum"));
        let sum = checksum(&block);
        put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
        assert!(next(&mut block.as_slice()).unwrap_err().to_string().contains("neither a file"));
        assert!(begin(&mut Vec::new(), &file(&"x".repeat(300), 0)).is_err());
        assert!(next(&mut [1u8; 100].as_slice()).is_err(), "cut short");
    }
}
