//! What no honest client sends, down at the bytes and over real sockets: the embedded broker refuses it by the book, counts
//! it, and serves others meanwhile.
//!
//! | file | what is sent |
//! |---|---|
//! | `packets` | malformed packets of every type, by a client that is let in |
//! | `connecting` | what is no CONNECT, or a bad one |
//! | `topics` | `$`, wildcards, NUL, 64 KiB, broken UTF-8 |
//! | `slow` | half-open and slow connections, storms of them |
//! | `clocks` | replays of signed readings; times, certificates and tokens that are off by years |
//!
//! In each an honest client publishes from the first byte to the last, and is acknowledged every time ([`site::Honest`]).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]
#![allow(clippy::result_large_err, reason = "the error of the client library is what it is")]

mod clocks;
mod connecting;
mod packets;
#[allow(dead_code, reason = "others use the rest")]
#[path = "../secured/mod.rs"]
mod secured;
mod site;
mod slow;
mod topics;
#[allow(dead_code, reason = "others use the rest")]
#[path = "../waiting/mod.rs"]
mod waiting;
mod wire;
