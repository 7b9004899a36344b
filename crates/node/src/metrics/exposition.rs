//! The text format 0.0.4 of Prometheus, made from what the registries write (OpenMetrics).
//!
//! The two differ in the lines that describe a counter: there it is named without `_total`, here with it, else Prometheus does not
//! know what its samples are. Units and the end mark do not exist here.

use super::row::{Kind, Row};
use super::table::TABLE;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Ours and the engine's. Families without a sample so far are described too, so that whoever writes queries finds them.
pub(super) fn plain(ours: &str, engine: &str) -> String {
    let mut out = Exposition::default();
    out.take(ours);
    for row in TABLE.iter().filter(|row| !row.of_parts()) {
        out.describe(row);
    }
    out.take(engine);
    out.text
}

/// Text of a registry of our own, in the same format.
pub(super) fn plain_one(ours: &str) -> String {
    let mut out = Exposition::default();
    out.take(ours);
    out.text
}

#[derive(Default)]
struct Exposition {
    text: String,
    described: BTreeSet<String>,
}

impl Exposition {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn take(&mut self, open_metrics: &str) {
        let mut help: Option<(&str, &str)> = None;
        for line in open_metrics.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ').or(Some((rest, "")));
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                let said = help.take().filter(|(of, _)| *of == name).map_or("", |(_, said)| said);
                self.family(name, kind.trim(), said);
            } else if !line.starts_with("# UNIT ") && line.trim() != "# EOF" {
                self.line(line);
            }
        }
    }

    /// The two lines before the samples of a family.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let (name, kind) = match kind {
            "counter" => (format!("{name}_total"), kind),
            "info" => (format!("{name}_info"), "gauge"),
            "unknown" => (name.to_owned(), "untyped"),
            other => (name.to_owned(), other),
        };
        // writing to a string does not fail
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.described.insert(name);
    }

    /// Describes what had no samples.
    fn describe(&mut self, row: &Row) {
        let full = row.full_name();
        if !self.described.contains(&full) {
            let name = if row.kind == Kind::Counter { full.trim_end_matches("_total") } else { &full };
            self.family(name, row.kind.word(), &format!("{}.", row.help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_by_the_name_of_their_samples() {
        let open = "# HELP a_things Things.\n# TYPE a_things counter\na_things_total{x=\"1\"} 2\n# HELP b_seconds B.\n# TYPE b_seconds gauge\n\
            # UNIT b_seconds seconds\nb_seconds 1.5\n# EOF\n";
        let plain = plain_one(open);
        assert_eq!(
            plain,
            "# HELP a_things_total Things.\n# TYPE a_things_total counter\na_things_total{x=\"1\"} 2\n\
             # HELP b_seconds B.\n# TYPE b_seconds gauge\nb_seconds 1.5\n"
        );
        assert_eq!(plain_one("# TYPE c unknown\nc 1\n"), "# HELP c \n# TYPE c untyped\nc 1\n");
    }

    #[test]
    fn what_has_no_samples_is_described_once() {
        let text = plain("# HELP wattle_epoch E.\n# TYPE wattle_epoch gauge\nwattle_epoch 1\n", "# HELP x X\n# TYPE x gauge\nx 1\n# EOF\n");
        assert_eq!(text.matches("# TYPE wattle_epoch gauge\n").count(), 1);
        assert!(text.contains("# TYPE wattle_site_access_refused_total counter\n"), "{text}");
        assert!(!text.contains("wattle_part_") && !text.contains("EOF"), "{text}");
        assert!(text.ends_with("# HELP x X\n# TYPE x gauge\nx 1\n"), "{text}");
    }
}
