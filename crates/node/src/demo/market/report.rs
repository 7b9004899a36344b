//! What the market found out, for people and for programs.

use super::town::Town;
use crate::cli::amount;
use crate::cli::output::{table, thousands};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// A try to cheat.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Refused {
    /// What was tried.
    pub(super) what: String,
    /// What it met.
    pub(super) reason: String,
    /// Whether it had no effect.
    pub(super) held: bool,
}

/// A wallet at the end.
#[derive(Clone, Debug, Serialize)]
pub(super) struct WalletLine {
    /// Whose.
    pub(super) name: String,
    /// Its key.
    pub(super) wallet: String,
    /// The account, in DCoin.
    pub(super) account: u64,
    /// The purse, in sub-units.
    pub(super) purse: u64,
    /// Requests that were executed.
    pub(super) spends: u64,
}

/// What the market found out.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    /// Which scenario.
    pub(super) demo: String,
    /// Validators.
    pub(super) nodes: usize,
    /// Votes that certify a request.
    pub(super) needed: usize,
    /// Readings handed to the brokers.
    pub(super) readings_published: u64,
    /// Readings that they acknowledged.
    pub(super) readings_acknowledged: u64,
    /// Espressos that the machine brewed.
    pub(super) espressos: usize,
    /// From posting a request until it was seen certified, in milliseconds, each.
    pub(super) certified_ms: Vec<f64>,
    /// The same until it was seen final.
    pub(super) final_ms: Vec<f64>,
    /// What node 3 tried.
    pub(super) refused: Vec<Refused>,
    /// The wallets at the end.
    pub(super) wallets: Vec<WalletLine>,
    /// The milestone after which the coins were added up.
    pub(super) height: u64,
    /// Sub-units that were minted.
    pub(super) minted: u64,
    /// Sub-units that circulate.
    pub(super) circulating: u64,
    /// Whether all coins add up, on every node.
    pub(super) conserved: bool,
    /// From the start to the end.
    pub(super) elapsed_ms: u64,
    /// Where everything is.
    pub(super) directory: PathBuf,
    /// The nodes' HTTP interfaces.
    pub(super) http: Vec<String>,
    /// What did not hold; empty if all is well.
    pub(super) problems: Vec<String>,
}

/// The middle one; 0 of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl Report {
    /// A report of a town whose sites published so many readings, of which so many were acknowledged.
    pub(super) fn new(town: &Town, (published, acknowledged): (u64, u64)) -> Self {
        let genesis = &town.network.genesis;
        let nodes = genesis.committee.size();
        let mut report = Self {
            demo: "market".to_owned(),
            nodes,
            needed: protocol::certificate::needed(nodes, genesis.wallet_parameters.threshold_percent),
            readings_published: published,
            readings_acknowledged: acknowledged,
            http: town.people.iter().map(|person| person.node.base().to_owned()).collect(),
            ..Self::default()
        };
        if published != acknowledged {
            report.problems.push(format!("only {acknowledged} of {published} readings were acknowledged"));
        }
        report
    }

    /// The report as lines.
    pub(super) fn text(&self) -> String {
        let rows = self.wallets.iter().map(|w| vec![w.name.clone(), thousands(w.account), amount::coins(w.purse), w.spends.to_string()]);
        let mut text = table(&["wallet", "account, DCoin", "purse", "spends"], rows.collect());
        // writing to a String cannot fail
        let _ = writeln!(
            text,
            "\nreadings   published {}, acknowledged {}",
            thousands(self.readings_published),
            thousands(self.readings_acknowledged)
        );
        let _ = writeln!(text, "votes      {} of {} certify a request", self.needed, self.nodes);
        let _ = writeln!(text, "espressos  {}, each for a certificate that the machine checked itself", self.espressos);
        let (certified, last) = (median(&self.certified_ms), median(&self.final_ms));
        let _ = writeln!(text, "time       p50 {certified:.0} ms to certified, {last:.0} ms to final, as seen by polling over HTTP");
        for refused in &self.refused {
            let _ = writeln!(text, "{}    {}: {}", if refused.held { "refused" } else { "PASSED " }, refused.what, refused.reason);
        }
        let add_up = if self.conserved { "add up" } else { "DO NOT ADD UP" };
        let _ = write!(
            text,
            "coins      {add_up} on every one of {} nodes at milestone {}: {} minted, {} circulate",
            self.nodes,
            thousands(self.height),
            amount::coins(self.minted),
            amount::coins(self.circulating)
        );
        for problem in &self.problems {
            let _ = write!(text, "\nproblem    {problem}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_tried_and_what_failed() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON && median(&[]).abs() < f64::EPSILON);
        let refused = vec![Refused { what: "overspend".into(), reason: "no".into(), held: true }];
        let text = Report { refused, problems: vec!["bad".into()], ..Report::default() }.text();
        for part in ["refused    overspend: no", "DO NOT ADD UP", "problem    bad"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
