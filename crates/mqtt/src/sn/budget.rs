//! How many bytes of messages all clients together may keep waiting (SN-61).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all clients share.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max })
    }

    /// Bytes that are taken.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// What one client has taken of it. Dropping it gives everything back.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    held: usize,
}

impl Share {
    pub(super) fn of(budget: Arc<Budget>) -> Self {
        Self { budget, held: 0 }
    }

    /// Takes so many bytes, if there are as many.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let taken = self.budget.take(bytes);
        if taken {
            self.held += bytes;
        }
        taken
    }

    /// Gives so many bytes back.
    pub(super) fn give(&mut self, bytes: usize) {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(10);
        let mut one = Share::of(budget.clone());
        let mut two = Share::of(budget.clone());
        assert!(one.take(6) && two.take(4) && !two.take(1));
        one.give(2);
        assert!(two.take(2));
        assert_eq!(budget.used(), 10);
        drop(one);
        assert_eq!(budget.used(), 6);
        two.give(100);
        assert_eq!(budget.used(), 0);
    }
}
