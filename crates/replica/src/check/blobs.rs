//! The engine's files as bytes: every checksum in them, without opening them.
//!
//! ```text
//! file:     header [4096] | content
//! metadata: version u64 | … | CRC-32C of what precedes         two copies, "left" and "right" in hexadecimal
//! pages:    ( data [4096] | len1 u16 | crc1 | len2 u16 | crc2 )…  the longer of the two slots is in force
//! values:   items that carry a checksum each, read through their table
//! ```
//! From the documentation of the engine's storage at the pinned version.

use commonware_cryptography::Crc32;
use std::path::Path;

const HEADER_BYTES: usize = 4096;
/// A page as the replica configures it, and the checksums behind it.
const PAGE_BYTES: usize = 4096;
const SLOT_BYTES: usize = 6;
const PHYSICAL_BYTES: usize = PAGE_BYTES + 2 * SLOT_BYTES;

/// How a file of the engine is laid out, by its partition and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Metadata,
    Pages,
    Values,
}

impl Layout {
    /// The layout of a file `partition/name`.
    pub(super) fn of(file: &Path) -> Self {
        let name = file.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
        let partition = file.parent().map(|p| p.to_string_lossy()).unwrap_or_default();
        if name == "6c656674" || name == "7269676874" {
            Self::Metadata
        } else if partition.ends_with("-value") {
            Self::Values
        } else {
            Self::Pages
        }
    }
}

/// Where and how `bytes`, a whole file, does not fit its layout.
pub(super) fn faults(layout: Layout, bytes: &[u8]) -> Vec<String> {
    let Some((_, content)) = bytes.split_at_checked(HEADER_BYTES) else {
        return if bytes.is_empty() { Vec::new() } else { vec!["its header is cut short".to_owned()] };
    };
    match layout {
        Layout::Values => Vec::new(),
        Layout::Metadata if content.is_empty() || sealed(content) => Vec::new(),
        Layout::Metadata => vec!["its checksum does not match".to_owned()],
        Layout::Pages => {
            let pages = content.chunks(PHYSICAL_BYTES).enumerate();
            let bad = pages.filter(|(_, page)| !page_holds(page));
            bad.map(|(i, _)| format!("the page at byte {} does not match its checksum", HEADER_BYTES + i * PHYSICAL_BYTES)).collect()
        }
    }
}

/// Whether the last four bytes are the checksum of the rest.
fn sealed(content: &[u8]) -> bool {
    content.split_last_chunk::<4>().is_some_and(|(rest, crc)| rest.len() >= 8 && Crc32::checksum(rest) == u32::from_be_bytes(*crc))
}

fn page_holds(page: &[u8]) -> bool {
    let Some((data, slots)) = page.split_at_checked(PAGE_BYTES) else { return false };
    let ([first, second], []) = slots.as_chunks::<SLOT_BYTES>() else { return false };
    let slot = |[l0, l1, c @ ..]: [u8; SLOT_BYTES]| (usize::from(u16::from_be_bytes([l0, l1])), u32::from_be_bytes(c));
    let (len, crc) = slot(*first).max(slot(*second));
    len > 0 && data.get(..len).is_some_and(|covered| Crc32::checksum(covered) == crc)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn page(len: u16) -> Vec<u8> {
        let mut page = vec![7; PAGE_BYTES];
        let crc = Crc32::checksum(&page[..usize::from(len)]);
        page.extend(len.to_be_bytes());
        page.extend(crc.to_be_bytes());
        page.extend([0; SLOT_BYTES]);
        page
    }

    #[test]
    fn each_covered_byte_of_a_page_is_guarded() {
        let mut file = vec![0; HEADER_BYTES];
        file.extend(page(4096));
        file.extend(page(100));
        assert!(faults(Layout::Pages, &file).is_empty());
        for at in [0, 4095, 4097, 4100, PHYSICAL_BYTES, PHYSICAL_BYTES + 99] {
            let mut damaged = file.clone();
            damaged[HEADER_BYTES + at] ^= 1;
            assert_eq!(faults(Layout::Pages, &damaged).len(), 1, "byte {at}");
        }
        file.pop();
        assert_eq!(faults(Layout::Pages, &file).len(), 1, "a torn page");
    }

    #[test]
    fn metadata_end_with_their_checksum() {
        let mut file = vec![0; HEADER_BYTES];
        assert!(faults(Layout::Metadata, &file).is_empty(), "an empty copy was never written");
        file.extend(1u64.to_be_bytes());
        let crc = Crc32::checksum(&file[HEADER_BYTES..]);
        file.extend(crc.to_be_bytes());
        assert!(faults(Layout::Metadata, &file).is_empty());
        file[HEADER_BYTES] ^= 4;
        assert_eq!(faults(Layout::Metadata, &file).len(), 1);
    }

    #[test]
    fn files_are_told_apart_by_their_names() {
        assert_eq!(Layout::of(Path::new("node-cuts-metadata/6c656674")), Layout::Metadata);
        assert_eq!(Layout::of(Path::new("node-cuts-value/0000000000000000")), Layout::Values);
        assert_eq!(Layout::of(Path::new("node-cuts-key/0000000000000000")), Layout::Pages);
        assert_eq!(Layout::of(Path::new("node-consensus-0/0000000000000004")), Layout::Pages);
    }
}
