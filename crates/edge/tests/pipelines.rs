//! Configurations: the documented one loads, and a bad one is refused with its place (FOG-1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use edge::fog::{CONFIGURATION_BYTES_MAX, Fog, PIPELINES_MAX, STAGES_MAX};
use std::path::Path;

/// The complete example of `docs/spec/fog.md`.
fn documented() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/fog.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("an example that ends");
    example.to_owned()
}

#[test]
fn the_documented_example_loads_and_uses_every_stage() {
    let fog = Fog::load(&documented(), "fog.md").unwrap_or_else(|why| panic!("{why}"));
    let summary = fog.summary();
    let stages: Vec<&str> = summary.iter().flat_map(|pipeline| &pipeline.stages).map(|stage| stage.split(' ').next().unwrap()).collect();
    for kind in ["validate", "normalise", "filter", "window", "enrich", "rule"] {
        assert!(stages.contains(&kind), "no {kind}");
    }
    let formats: Vec<&str> = summary.iter().map(|pipeline| pipeline.format).collect();
    assert!(formats.contains(&"json") && formats.contains(&"cayenne-lpp"), "{formats:?}");
    for (pipeline, line) in summary.iter().zip(["power", "boiler", "lora"]) {
        assert_eq!(pipeline.name, line);
    }
}

#[test]
fn every_key_is_documented() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/fog.md")).unwrap();
    for key in [
        "name",
        "match",
        "constants",
        "parse",
        "format",
        "bad_time",
        "required",
        "time",
        "time_format",
        "sequence",
        "pointer",
        "data_type",
        "unit",
        "type",
        "channel",
        "do",
        "only",
        "min",
        "max",
        "rate_max_per_s",
        "units",
        "unit_required",
        "one_of",
        "bytes_max",
        "condition",
        "assume_unit",
        "scale",
        "offset",
        "ahead_max_s",
        "behind_max_s",
        "round_s",
        "duplicates",
        "deadband",
        "deadband_percent",
        "silence_max_s",
        "every",
        "when",
        "size_s",
        "step_s",
        "lateness_s",
        "emit",
        "keep",
        "expression",
        "inputs",
        "age_max_s",
        "publish",
        "on",
        "off",
        "on_above",
        "off_below",
        "on_below",
        "off_above",
        "until",
        "hold_s",
    ] {
        assert!(page.contains(&format!("`{key}`")) || page.contains(&format!("\n{key} = ")), "{key} is not documented");
    }
}

#[test]
fn an_empty_configuration_lets_everything_pass() {
    assert!(Fog::load("", "p").unwrap().summary().is_empty());
    assert!(Fog::load("# nothing yet\n", "p").unwrap().summary().is_empty());
}

/// The head of a pipeline: three lines, so that what follows begins in line 4.
const HEAD: &str = "[[pipeline]]\nname = \"p\"\nmatch = \"plant/+/sense/x\"\n";

/// What a refused configuration says: line, column and reason.
fn wrong(text: &str) -> (usize, usize, String) {
    let error = Fog::load(text, "site/pipelines.toml").expect_err(text);
    assert!(error.to_string().starts_with(&format!("site/pipelines.toml:{}:{}: ", error.line, error.column)), "{error}");
    assert!(!error.reason.contains('\n') && !error.reason.is_empty(), "{error}");
    (error.line, error.column, error.reason)
}

/// Asserts that `text` is refused at line and column `place`, for a reason that holds `part`.
fn assert_wrong(text: &str, place: (usize, usize), part: &str) {
    let (line, column, reason) = wrong(text);
    assert_eq!((line, column), place, "{text}\n{reason}");
    assert!(reason.contains(part), "{text}\n{reason}");
}

/// Text, line, column and a part of the reason.
type Case = (&'static str, usize, usize, &'static str);

/// Checks texts as they are.
fn check(cases: &[Case]) {
    for (text, line, column, part) in cases {
        assert_wrong(text, (*line, *column), part);
    }
}

/// Checks stages: the text follows `[[pipeline.stage]]`, which is line 4.
fn check_stages(cases: &[Case]) {
    for (text, line, column, part) in cases {
        assert_wrong(&format!("{HEAD}[[pipeline.stage]]\n{text}\n"), (*line, *column), part);
    }
}

#[test]
fn fog_1_files_that_are_no_configuration() {
    check(&[
        ("pipeline = 1\n", 1, 12, "[[pipeline]]"),
        ("[pipeline]\nname = \"p\"\n", 1, 1, "[[pipeline]]"),
        ("other = 1\n", 1, 1, "unknown key `other`"),
        ("[[pipeline]]\nname = \"p\"\n", 1, 1, "`match`"),
        ("[[pipeline]]\nmatch = \"a/b/sense/c\"\n", 1, 1, "`name` is missing"),
        ("[[pipeline]]\nname = \"a/b\"\nmatch = \"a/b/sense/c\"\n", 2, 8, "cannot be a name"),
        ("[[pipeline]]\nname = 1\nmatch = \"a/b/sense/c\"\n", 2, 8, "must be a text"),
        ("[[pipeline]]\nname = \"p\"\nmatch = [\"a/b/sense/c\", \"a/b\"]\n", 3, 25, "four levels"),
        ("[[pipeline]]\nname = \"p\"\nmatch = \"a/b/sense/#\"\n", 3, 9, "# is not for pipelines"),
        ("[[pipeline]]\nname = \"p\"\nmatch = \"a/b/sense/c\"\nstages = []\n", 4, 1, "unknown key `stages`"),
        ("[[pipeline]]\nname = \"p\"\nmatch = \"a/b/sense/c\"\nconstants = { value = 1 }\n", 4, 15, "cannot name a constant"),
        ("[[pipeline]]\nname = \"p\"\nmatch = \"a/b/sense/c\"\nconstants = { a = [] }\n", 4, 19, "must be a number"),
        (
            "[[pipeline]]\nname = \"p\"\nmatch = \"a/b/sense/c\"\n[[pipeline]]\nname = \"p\"\nmatch = \"a/b/sense/c\"\n",
            4,
            1,
            "two pipelines",
        ),
    ]);
    assert_eq!(wrong("# no table\n[[pipeline]\nname = \"p\"\n").0, 2, "the parser's own complaints have a place too");
    assert!(wrong(&" ".repeat(CONFIGURATION_BYTES_MAX + 1)).2.contains("limit"));
    let many = |count: usize| (0..count).map(|n| format!("[[pipeline]]\nname = \"p{n}\"\nmatch = \"a/b/sense/c\"\n")).collect::<String>();
    assert!(Fog::load(&many(PIPELINES_MAX), "p").is_ok());
    assert!(wrong(&many(PIPELINES_MAX + 1)).2.contains("more than"));
    let stages = |count: usize| format!("{HEAD}{}", "[[pipeline.stage]]\ndo = \"validate\"\nmin = 0\n".repeat(count));
    assert!(Fog::load(&stages(STAGES_MAX), "p").is_ok());
    assert!(wrong(&stages(STAGES_MAX + 1)).2.contains("at most"));
}

#[test]
fn fog_1_parsers_that_cannot_be() {
    for (text, line, column, part) in [
        ("[pipeline.parse]\n", 4, 1, "`format` is missing"),
        ("[pipeline.parse]\nformat = \"xml\"\n", 5, 10, "no format"),
        ("[pipeline.parse]\nformat = \"raw\"\nfield = 1\n", 6, 1, "unknown key `field`"),
        ("[pipeline.parse]\nformat = \"json\"\n", 4, 1, "[[pipeline.parse.field]]"),
        ("[pipeline.parse]\nformat = \"json\"\n[[pipeline.parse.field]]\npointer = \"a\"\n", 7, 11, "no JSON pointer"),
        (
            "[pipeline.parse]\nformat = \"json\"\n[[pipeline.parse.field]]\npointer = \"/a\"\n[[pipeline.parse.field]]\npointer = \"/b\"\n",
            8,
            1,
            "one data type",
        ),
        ("[pipeline.parse]\nformat = \"json\"\ntime_format = \"s\"\n[[pipeline.parse.field]]\npointer = \"/a\"\n", 6, 15, "`time_format`"),
        ("[pipeline.parse]\nformat = \"cayenne-lpp\"\n[[pipeline.parse.channel]]\nchannel = 256\n", 7, 11, "from 0 to 255"),
        ("[pipeline.parse]\nformat = \"cayenne-lpp\"\n[[pipeline.parse.channel]]\nchannel = 1\ntype = \"smell\"\n", 8, 8, "temperature"),
        ("[pipeline.parse]\nformat = \"auto\"\nbad_time = \"ignore\"\n", 6, 12, "neither"),
    ] {
        assert_wrong(&format!("{HEAD}{text}"), (line, column), part);
    }
}

#[test]
fn fog_1_stages_that_cannot_be() {
    check_stages(&[
        ("min = 1", 4, 1, "`do` is missing"),
        ("do = \"dance\"", 5, 6, "no stage"),
        ("do = \"validate\"", 4, 1, "checks nothing"),
        ("do = \"validate\"\nmin = 1\nmux = 2", 7, 1, "unknown key `mux`"),
        ("do = \"validate\"\nmin = 3\nmax = 2", 7, 7, "below `min`"),
        ("do = \"validate\"\nmin = nan", 6, 7, "finite number"),
        ("do = \"validate\"\ntype = \"integer\"", 6, 8, "no type"),
        ("do = \"validate\"\nrate_max_per_s = 0", 6, 18, "above 0"),
        ("do = \"validate\"\nonly = \"a/b\"\nmin = 1", 6, 8, "cannot be a data type"),
        ("do = \"normalise\"", 4, 1, "changes nothing"),
        ("do = \"normalise\"\nunit = \"furlong\"", 6, 8, "unknown"),
        ("do = \"normalise\"\nduplicates = 65", 6, 14, "from 1 to 64"),
        ("do = \"normalise\"\ntime = \"reject\"\nround_s = 1", 6, 8, "ahead_max_s"),
        ("do = \"filter\"", 4, 1, "exactly one"),
        ("do = \"filter\"\ndeadband = 1\nevery = 2", 4, 1, "exactly one"),
        ("do = \"filter\"\ndeadband = -1", 6, 12, "0 or wider"),
        ("do = \"filter\"\nevery = 2\nsilence_max_s = 1", 7, 17, "deadbands"),
        ("do = \"window\"\nsize_s = 60", 4, 1, "`emit` is missing"),
        ("do = \"window\"\nemit = \"mean\"", 4, 1, "`size_s` is missing"),
        ("do = \"window\"\nsize_s = 0\nemit = \"mean\"", 6, 10, "above 0"),
        ("do = \"window\"\nsize_s = 60\nstep_s = 61\nemit = \"mean\"", 7, 10, "in none"),
        ("do = \"window\"\nsize_s = 60\nstep_s = 0.5\nemit = \"mean\"", 6, 10, "the limit is 64"),
        ("do = \"window\"\nsize_s = 60\nemit = [\"mean\", \"median\"]", 7, 17, "none of count"),
        ("do = \"window\"\nsize_s = 60\nemit = [\"mean\", \"mean\"]", 7, 17, "twice"),
        ("do = \"enrich\"\ndata_type = \"y\"", 4, 1, "`expression` is missing"),
        ("do = \"enrich\"\ndata_type = \"y\"\nexpression = \"1\"\nage_max_s = 1", 8, 13, "`inputs`"),
        ("do = \"enrich\"\ndata_type = \"y\"\nexpression = \"a\"\ninputs = { a = \"y\" }", 6, 13, "own inputs"),
        ("do = \"enrich\"\ndata_type = \"y\"\nexpression = \"1\"\ninputs = { if = \"x\" }", 8, 12, "cannot name an input"),
        ("do = \"enrich\"\nonly = \"x\"\ndata_type = \"y\"\nexpression = \"a\"\ninputs = { a = \"x\" }", 4, 1, "without `inputs`"),
    ]);
}

#[test]
fn fog_1_rules_and_expressions_that_cannot_be() {
    check_stages(&[
        ("do = \"rule\"\nwhen = \"true\"\npublish = \"+/+/act/f\"\non = 1", 4, 1, "`name` is missing"),
        ("do = \"rule\"\nname = \"r\"\npublish = \"+/+/act/f\"\non = 1", 4, 1, "`on_above`"),
        ("do = \"rule\"\nname = \"r\"\non_above = 1\nwhen = \"true\"\npublish = \"+/+/act/f\"\non = 1", 4, 1, "`on_above`"),
        ("do = \"rule\"\nname = \"r\"\non_above = 1\noff_below = 2\npublish = \"+/+/act/f\"\non = 1", 7, 12, "must not be above"),
        ("do = \"rule\"\nname = \"r\"\non_above = 1\npublish = \"+/+/sense/f\"\non = 1", 8, 11, "no actuator"),
        ("do = \"rule\"\nname = \"r\"\non_above = 1\npublish = \"+/+/act/f\"", 4, 1, "`on` is missing"),
        ("do = \"filter\"\nwhen = \"valeu > 3\"", 6, 9, "valeu"),
        ("do = \"filter\"\nwhen = \"1 + sqr(value) > 3\"", 6, 8, "sqr"),
        ("do = \"filter\"\nwhen = '1 > 0 && valeu > 3'", 6, 18, "valeu"),
    ]);
    let (line, _, reason) = wrong(&format!("{HEAD}[[pipeline.stage]]\ndo = \"filter\"\nwhen = \"value >\"\n"));
    assert!(line == 6 && reason.contains("`value >`"), "{line} {reason}");
    let twice = "[[pipeline.stage]]\ndo = \"rule\"\nname = \"r\"\non_above = 1\npublish = \"+/+/act/f\"\non = 1\n".repeat(2);
    let (line, column, reason) = wrong(&format!("{HEAD}{twice}"));
    assert_eq!((line, column), (10, 1));
    assert!(reason.contains("two rules"), "{reason}");
}
