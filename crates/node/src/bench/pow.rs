//! `wattle bench pow`: how many hashes and how much time the proof of work takes at each difficulty.
//!
//! Beside each difficulty stands what the Wallance paper measured with the same function, SHA-256 that begins with so
//! many zero nibbles, on a Raspberry Pi 3 B+ (its Table III). The hashes should agree, the times tell of the machine.
//!
//! Messages and requests of wallets have the same function. Of a request the time is that of all its wallet does: encoding it, the
//! search, and the signature.

use super::command::Common;
use super::figures::{Figures, fields, repeat};
use super::machine::usage;
use crate::cli::{Exit, Failure};
use protocol::limits::WINDOW_MS_MAX;
use protocol::{Draft, Id, NetworkId, Operation, SecretKey, pow};
use serde_json::json;
use std::time::{Duration, Instant};

/// Hashes after which a search is given up: four nibbles take more only once in e^256 searches.
const ATTEMPTS_MAX: u64 = 1 << 24;
/// By difficulty: hashes and microseconds, on average, in the paper.
const PAPER: [(f64, f64); 4] = [(1.0, 46.0), (15.96, 740.0), (256.02, 12_000.0), (4_104.01, 190_000.0)];

/// `wattle bench pow`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Highest difficulty, in leading zero nibbles
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(0..=4))]
    difficulty: u8,
    /// Searches at each difficulty
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    searches: u32,
    #[command(flatten)]
    common: Common,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if a search finds nothing, which is a bug.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let parameters = json!({ "difficulty": arguments.difficulty, "searches": arguments.searches, "threads": 1 });
    repeat("pow", parameters, &arguments.common, "hashes_per_second", || once(arguments))
}

fn once(arguments: &Arguments) -> Result<Figures, Failure> {
    let mut figures = Figures::new();
    let (mut hashes, mut elapsed) = (0u64, Duration::ZERO);
    for difficulty in 0..=arguments.difficulty {
        let searched = search(difficulty, arguments.searches)?;
        hashes += searched.hashes;
        elapsed += searched.elapsed;
        let requests = sign(difficulty, arguments.searches)?;
        let searches = f64::from(arguments.searches);
        let paper = PAPER.get(usize::from(difficulty));
        let figure = json!({
            "hashes_mean": searched.hashes as f64 / searches,
            "hashes_min": searched.least,
            "hashes_max": searched.most,
            "time_mean_us": searched.elapsed.as_secs_f64() * 1e6 / searches,
            "request_hashes_mean": requests.hashes as f64 / searches,
            "request_hashes_max": requests.most,
            "request_time_mean_us": requests.elapsed.as_secs_f64() * 1e6 / searches,
            "paper_hashes_mean": paper.map(|p| p.0),
            "paper_time_mean_us": paper.map(|p| p.1),
        });
        figures.insert(format!("difficulty_{difficulty}"), figure);
    }
    let used = usage(std::process::id());
    figures.extend(fields(json!({
        "hashes_per_second": hashes as f64 / elapsed.as_secs_f64(),
        "cpu_seconds": used.cpu_seconds,
        "rss_bytes": used.rss_bytes,
    })));
    Ok(figures)
}

/// Many searches at one difficulty.
struct Searched {
    hashes: u64,
    least: u64,
    most: u64,
    elapsed: Duration,
}

fn search(difficulty: u8, searches: u32) -> Result<Searched, Failure> {
    let prefix = |n: u32| Id::hash(&[b"wattle/bench/pow", &[difficulty], &n.to_be_bytes()]);
    let prefixes: Vec<Id> = (0..searches).map(prefix).collect();
    let mut nonces = Vec::with_capacity(prefixes.len());
    let start = Instant::now();
    for prefix in &prefixes {
        nonces.push(pow::solve(prefix, difficulty, 0, ATTEMPTS_MAX));
    }
    let elapsed = start.elapsed();
    let good =
        |(prefix, nonce): (&Id, Option<u64>)| nonce.filter(|nonce| pow::leading_zero_nibbles(&pow::hash(prefix, *nonce)) >= difficulty);
    Searched::of(prefixes.iter().zip(nonces).map(good), elapsed)
}

/// Requests of a wallet instead, from draft to signed.
fn sign(difficulty: u8, requests: u32) -> Result<Searched, Failure> {
    let (network, key) = (NetworkId([7; 32]), SecretKey::from_seed(&[1; 32]));
    let to = SecretKey::from_seed(&[2; 32]).public_key();
    let draft = |n: u32| Draft {
        state: Id::hash(&[b"wattle/bench/pow/request", &[difficulty], &n.to_be_bytes()]),
        number: u64::from(n),
        epoch: 0,
        operation: Operation::Transfer { to },
        price: 1,
        from_ms: 0,
        until_ms: WINDOW_MS_MAX,
    };
    let drafts: Vec<Draft> = (0..requests).map(draft).collect();
    let mut signed = Vec::with_capacity(drafts.len());
    let start = Instant::now();
    for draft in drafts {
        signed.push(draft.sign(&network, &key, difficulty, ATTEMPTS_MAX).ok().flatten());
    }
    let elapsed = start.elapsed();
    let nonces = signed.into_iter().map(|request| request.filter(|r| r.work() >= difficulty).map(|r| r.nonce));
    Searched::of(nonces, elapsed)
}

impl Searched {
    /// What searches found that took so long together.
    fn of(nonces: impl Iterator<Item = Option<u64>>, elapsed: Duration) -> Result<Self, Failure> {
        let mut searched = Self { hashes: 0, least: u64::MAX, most: 0, elapsed };
        for nonce in nonces {
            let nonce = nonce.ok_or_else(|| Failure::new(Exit::Fault, "a search found no nonce", "bench pow", "report this"))?;
            // nonces are tried from 0 up
            let hashes = nonce + 1;
            searched.hashes += hashes;
            searched.least = searched.least.min(hashes);
            searched.most = searched.most.max(hashes);
        }
        Ok(searched)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_as_many_as_the_difficulty_asks_for() {
        let none = search(0, 50).unwrap();
        assert_eq!((none.hashes, none.least, none.most), (50, 1, 1));
        let one = search(1, 400).unwrap();
        // 16 on average; the mean of 400 searches is within 12 and 20 except once in some 10^6 choices of prefixes
        assert!((12 * 400..20 * 400).contains(&one.hashes), "{} hashes", one.hashes);
        assert!(one.least >= 1 && one.most > 16);
        let requests = sign(1, 400).unwrap();
        assert!((12 * 400..20 * 400).contains(&requests.hashes), "{} hashes", requests.hashes);
    }
}
