//! The site's log: every accepted reading, durable before it is acknowledged, kept until it is confirmed.
//!
//! It is the memory between MQTT and the ledger (M15): what a publisher was told is kept, is here; what the
//! ledger confirmed may go. A reading's **offset** is its place in the site's order, from 0 without gap.
//!
//! # Rules
//! 1. **Acknowledged means kept.** [`SiteLog::append`] returns after the `fdatasync` of its group. A group that
//!    could not be written is cut off the file, none of it is acknowledged, and the next append tries again.
//! 2. **Groups form by themselves.** One thread owns the files. It takes the first publish at once, then what
//!    queued up meanwhile: one frame, one write, one `fdatasync`, then every answer.
//! 3. **Once.** Reading ids and the origins of publishes are remembered for the newest `window` publishes. The
//!    memory is rebuilt from the segments on opening; segments that only it needs are kept, two at most. A
//!    duplicate is answered after the group that holds its original is durable.
//! 4. **Only a torn tail is cut.** A frame is written after its predecessor is durable. So a bad frame with
//!    anything after it was acknowledged once: that is damage and is reported, never repaired in silence.
//! 5. **The watermark is never ahead.** What [`SiteLog::forget`] was told is saved now and then, before segments
//!    are deleted and on closing; after a crash it may be older, never newer.
//! 6. Memory is bounded: the queue, the window, the newest frames kept for reading, a sparse index.
//!
//! # Files
//! ```text
//! <first offset, 20 digits>.log    segment:   magic "wattlog" | version 1 | first offset u64 | crc32 | frame…
//! forgotten                        watermark: magic "wattlwm" | version 1 | offset u64 | crc32      (by rename)
//! lock                             held while the log is open
//!
//! frame    body bytes u32 | readings u32 | first offset u64 | crc32 of the body | crc32 of these 20 bytes | body
//! body     publish…
//! publish  origin: 0, or 1 and 16 bytes | count LEB128 | count × (length LEB128 | reading in canonical form)
//! ```
//! Integers are big-endian.
//!
//! # Parts
//! ```text
//! append ─▶ queue ─▶ writer (window, frame) ─▶ segment files ─┐
//!                        └─▶ state: newest frames, index ─────┴─▶ read     forget ─▶ state, watermark, files
//! ```

mod check;
mod error;
mod frame;
mod read;
mod recovery;
mod segment;
mod site_log;
mod state;
mod watermark;
mod window;
mod writer;

pub use check::{Damage, LogReport};
pub use error::{AppendError, LogError};
pub use frame::{PUBLISH_BYTES_MAX, PUBLISH_READINGS_MAX};
pub use read::READ_BYTES_MAX;
pub use site_log::{Appended, Entry, LogConfig, SiteLog};
pub use state::LogStats;
