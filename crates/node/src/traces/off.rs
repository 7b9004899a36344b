//! Without the feature `otel` nothing is traced.

use protocol::{Id, Reading};
use std::time::Instant;

/// Traces nothing.
#[derive(Clone, Debug)]
pub(crate) struct Traces;

impl Traces {
    /// Nothing to start.
    pub(crate) const fn start(_site: &str) -> Self {
        Self
    }

    /// Forgets that a batch was issued.
    pub(crate) const fn issued(&self, _first: u64, _cut: Instant, _offered: Instant) {}

    /// No batch is traced.
    pub(crate) const fn wants(&self, _first: u64) -> bool {
        false
    }

    /// Forgets that a batch was confirmed.
    pub(crate) const fn confirmed(
        &self,
        _batch: (u64, u32, Option<Id>),
        _height: u64,
        _at: (Option<Instant>, Instant),
        _reading: &Reading,
    ) {
    }

    /// Forgets that a receipt was made.
    pub(crate) const fn receipt(&self, _reading: Id, _asked: Instant) {}

    /// Nothing to end.
    pub(crate) const fn end(&self) {}
}
