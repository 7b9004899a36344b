//! How far long work is: on stderr, and only where somebody watches.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How often a line moves whose work has no end that is known.
const TICK: Duration = Duration::from_millis(200);

/// A bar of `total` steps in the form of `template`.
pub(crate) fn bar(total: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(total);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A bar of bytes; `what` says what is done with them.
pub(crate) fn bytes(total: u64, what: &'static str) -> ProgressBar {
    bar(total, "{msg} {bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left").with_message(what)
}

/// A line that moves until it is dropped.
pub(crate) fn busy(what: &'static str) -> Busy {
    let line = ProgressBar::new_spinner().with_message(what);
    line.enable_steady_tick(TICK);
    Busy(line)
}

/// Takes its line away when it is dropped.
pub(crate) struct Busy(ProgressBar);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
