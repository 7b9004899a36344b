//! What the demo found out, for people and for programs.

use crate::cli::output::thousands;
use crate::cli::wire::Latency;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What the demo found out.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Which scenario.
    pub(crate) demo: String,
    /// Validators.
    pub(crate) nodes: usize,
    /// Readings handed to the broker.
    pub(crate) readings_published: u64,
    /// Readings the broker acknowledged.
    pub(crate) readings_acknowledged: u64,
    /// Readings that the site put into messages.
    pub(crate) readings_anchored: u64,
    /// Readings that milestones confirmed.
    pub(crate) readings_confirmed: u64,
    /// Whether every published reading was confirmed exactly once, on every node.
    pub(crate) exactly_once: bool,
    /// From publish accepted to confirmed.
    pub(crate) latency_ms: Option<Latency>,
    /// Receipts fetched.
    pub(crate) receipts_sampled: usize,
    /// Receipts that proved the very reading that was published.
    pub(crate) receipts_verified: usize,
    /// What one of them proves, in words.
    pub(crate) proof: String,
    /// Why the same receipt with one bit flipped is refused.
    pub(crate) flipped_bit_refused: Option<String>,
    /// From the first publish to the last confirmation.
    pub(crate) elapsed_ms: u64,
    /// Where everything is.
    pub(crate) directory: PathBuf,
    /// Where devices publish.
    pub(crate) broker: String,
    /// The nodes' HTTP interfaces.
    pub(crate) http: Vec<String>,
    /// What did not hold; empty if all is well.
    pub(crate) problems: Vec<String>,
}

impl Report {
    /// The report as lines.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let latency = self.latency_ms.map_or_else(|| "not measured".to_owned(), |l| format!("p50 {:.1} ms, p99 {:.1} ms", l.p50, l.p99));
        // writing to a String cannot fail
        let _ = writeln!(
            text,
            "readings   published {}, acknowledged {}",
            thousands(self.readings_published),
            thousands(self.readings_acknowledged)
        );
        let _ =
            writeln!(text, "ledger     anchored {}, confirmed {}", thousands(self.readings_anchored), thousands(self.readings_confirmed));
        let once = if self.exactly_once { "yes, on every one of" } else { "NO, on" };
        let _ = writeln!(text, "once each  {once} {} nodes", self.nodes);
        let _ = writeln!(text, "latency    {latency} from publish to confirmed");
        let _ = writeln!(text, "receipts   {} of {} verified offline", self.receipts_verified, self.receipts_sampled);
        if !self.proof.is_empty() {
            let _ = writeln!(text, "one says   {}", self.proof);
        }
        let flipped = self.flipped_bit_refused.as_deref().map_or_else(|| "NOT refused".to_owned(), |why| format!("refused: {why}"));
        let _ = write!(text, "one bit flipped in it: {flipped}");
        for problem in &self.problems {
            let _ = write!(text, "\nproblem    {problem}");
        }
        text
    }
}
