//! The way of single readings, told to a collector: OpenTelemetry, in a build with the feature `otel`. Otherwise all this is nothing.
//!
//! ```text
//! reading ├──────────────────────────────────────────────┤
//! log     ├──────┤ published until durable
//! batch          ├──────┤ until it was cut and made
//! message               ├────────┤ until its message was durable here
//! milestone                      ├───────────────────────┤ until it was confirmed
//! receipt                                                      ├──┤ when somebody asks
//! ```
//! # Rules
//! - The trace of a reading has the first half of its id as its own: nothing is carried along the way, and whoever knows one finds
//!   the other.
//! - One reading of a batch at most, and not more than [`BATCHES_PER_S_MAX`] batches a second; the rest costs a lock and a comparison.
//! - Spans are made when the reading is confirmed, from times noted on the way. A collector that is away costs spans, nothing else.

#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod otlp;

#[cfg(not(feature = "otel"))]
pub(crate) use off::Traces;
#[cfg(feature = "otel")]
pub(crate) use otlp::Traces;

/// Batches of which a reading is traced, in a second.
#[cfg(any(feature = "otel", doc))]
pub(crate) const BATCHES_PER_S_MAX: u32 = 10;
