//! The corpora, replayed without libFuzzer: seeds reach what they are meant for, and what a fuzzer once found stays
//! fixed.
//!
//! A file is named after what it holds; `refused-…` must be refused, `found-…` broke something once, every other must
//! be accepted. `seed.py` makes all but the `found-…`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use wattle_fuzz::TARGETS;

/// Changed copies of each file that are tried.
const COPIES: u64 = 100;
/// Bytes of a committed file.
const FILE_BYTES_MAX: usize = 4096;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// A folder's files by name, in the order of their names.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Runs a target; a failure says which input it was.
fn run(target: fn(&[u8]) -> bool, name: &str, data: &[u8]) -> bool {
    std::panic::catch_unwind(|| target(data)).unwrap_or_else(|_| {
        let hex: String = data.iter().map(|b| format!("{b:02x}")).collect();
        panic!("{name} fails on {hex}")
    })
}

/// A small generator (xorshift64*): the same copies each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

/// A copy with a few bytes set, flipped, removed or doubled. The first byte chooses what a target does and stays.
fn changed(data: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = data.to_vec();
    for _ in 0..=chance.below(3) {
        if bytes.len() < 2 {
            break;
        }
        let at = 1 + chance.below(bytes.len() - 1);
        match chance.below(4) {
            0 => bytes[at] = chance.below(256) as u8,
            1 => bytes[at] ^= 1 << chance.below(8),
            2 => {
                bytes.remove(at);
            }
            _ => bytes.insert(at, bytes[at]),
        }
    }
    bytes
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let folders: BTreeSet<String> =
        fs::read_dir(corpus()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_string()).collect();
    assert_eq!(folders, targets);
    for (name, _) in TARGETS {
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets").join(format!("{name}.rs"));
        assert!(binary.is_file(), "{} is missing", binary.display());
        let files = files(&corpus().join(name));
        assert!(files.len() >= 4, "{name} has {} seeds", files.len());
        assert!(files.iter().all(|(_, data)| data.len() <= FILE_BYTES_MAX), "a file of {name} has over {FILE_BYTES_MAX} bytes");
    }
}

#[test]
fn every_file_does_what_its_name_says() {
    for (name, target) in TARGETS {
        for (file, data) in files(&corpus().join(name)) {
            let accepted = run(target, &format!("{name}/{file}"), &data);
            if !file.starts_with("found-") {
                assert_eq!(accepted, !file.starts_with("refused-"), "{name}/{file}; run fuzz/seed.py if a format changed");
            }
        }
    }
}

#[test]
fn changed_copies_of_the_files_hold_too() {
    for (name, target) in TARGETS {
        for (seed, (file, data)) in (1u64..).zip(files(&corpus().join(name))) {
            let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            for _ in 0..COPIES {
                run(target, &format!("a copy of {name}/{file}"), &changed(&data, &mut chance));
            }
        }
    }
}
