//! The spool: publishes that must reach another process, kept on the disk until it has them.
//!
//! Purpose: the links between the brokers of a hierarchy ([`crate::tiers`]) lose nothing while the other end, or this
//! process, is away. It serves whoever hands publishes to another process and waits for the word that they arrived.
//!
//! # Rules
//! - A spool is one file with any number of **queues**, each first in, first out. A record has a position in its queue;
//!   positions ascend from 1 and are never used again.
//! - A [`Change`] appends to several queues and writes several **notes** (small values by key) at once: after a crash all of
//!   it is there or nothing. So a note can say how far a source was read, or what was seen before.
//! - [`Spool::submit`] queues a change; the order of the calls is the order in the file. [`Durable::wait`] returns after the
//!   sync of its group: one thread writes, and takes all that waits into one commit.
//! - Bounded: beyond [`SpoolConfig::limit_bytes`] of records, or when the disk is nearly full, a change is refused with a
//!   typed error and leaves no trace. What is refused must not be acknowledged.
//! - [`Spool::forget`] drops what arrived. After a crash some of it may be there again: the receiver must know what it
//!   has seen.
//! - `redb` is named only here. It keeps checksums and commits atomically, so a torn tail is no more than a commit that
//!   did not happen.
//!
//! ```text
//! submit ─▶ [ changes, bounded ] ─▶ one thread ─▶ commit ─▶ Durable::wait
//!                                                    └────▶ Spool::commits ─▶ read from a position ─▶ … ─▶ forget
//! ```

mod error;
mod handle;
mod record;
mod store;
mod writer;

pub use error::SpoolError;
pub use handle::{Change, Durable, Spool, SpoolConfig, SpoolStats};
pub use record::Record;
