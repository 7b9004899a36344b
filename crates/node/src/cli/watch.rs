//! `--watch`: a command that looks, again and again.
//!
//! ```text
//! a terminal   the screen is drawn anew           wattle status --watch
//! a pipe       one text after the other           wattle messages --watch 10 | tee log
//! --json       one object a line                  wattle status --json --watch 5 | jq .ledger.height
//! ```
//! # Rules
//! - What cannot be looked at the first time is an error. Later a node that does not answer is noted, and asked again: whoever
//!   watches wants to see it come back.
//! - A reader that has seen enough (`| head`) ends the command, without an error.

use super::client::{DEFAULT_NODE, NodeClient};
use super::output::{note, write};
use super::{Exit, Failure, colour};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Seconds between two looks if none are given.
const SECONDS: &str = "2";
/// The longest pause between two looks, in seconds.
const SECONDS_MAX: u64 = 86_400;
/// Moves to the corner and clears what is below, so that nothing flickers.
const REDRAW: &str = "\x1b[H\x1b[J";
/// Clears the screen, once.
const CLEAR: &str = "\x1b[2J";

/// What every command has that looks at a node.
#[derive(Debug, clap::Args)]
pub(crate) struct Look {
    /// The node to ask
    #[arg(long, value_name = "URL", default_value = DEFAULT_NODE)]
    node: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    watch: Watch,
}

/// What every command has that looks.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Watch {
    /// Look again every so many seconds, until Ctrl-C
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = SECONDS,
        value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX)
    )]
    watch: Option<u64>,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum View {
    /// For people.
    Text {
        /// What goes to stderr beside it.
        note: Option<String>,
        /// What goes to stdout.
        text: String,
    },
    /// For programs.
    Json(serde_json::Value),
}

impl View {
    /// A text for people.
    pub(crate) const fn text(text: String) -> Self {
        Self::Text { note: None, text }
    }
}

impl Look {
    /// Looks at what is at `path`: programs get it as it is, people as `text` tells it.
    ///
    /// # Errors
    /// As [`Watch::show`].
    pub(crate) fn at<T: DeserializeOwned>(&self, path: &str, text: impl Fn(&T) -> String) -> Result<(), Failure> {
        self.with(|node| {
            Ok(match self.json {
                true => View::Json(node.json(path)?),
                false => View::text(text(&node.json(path)?)),
            })
        })
    }

    /// Looks at a node.
    ///
    /// # Errors
    /// As [`Watch::show`].
    pub(crate) fn with(&self, mut look: impl FnMut(&NodeClient) -> Result<View, Failure>) -> Result<(), Failure> {
        self.watch.show(|| look(&NodeClient::new(&self.node)?))
    }
}

impl Watch {
    /// Looks once, or again and again, and prints what is seen.
    ///
    /// # Errors
    /// [`Failure`] of the first look, of a later one that is not about a node that does not answer, or of stdout.
    pub(crate) fn show(&self, mut look: impl FnMut() -> Result<View, Failure>) -> Result<(), Failure> {
        let first = look()?;
        let Some(seconds) = self.watch else {
            return once(&first);
        };
        let screen = colour::is_terminal();
        if screen {
            write(CLEAR)?;
        }
        let mut seen = Some(first);
        loop {
            if let Some(view) = &seen
                && !again(view, screen, seconds)?
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_secs(seconds));
            seen = match look() {
                Ok(view) => Some(view),
                Err(failure) if failure.exit == Exit::Unreachable => {
                    note(&format!("wattle: {failure}"));
                    None
                }
                Err(failure) => return Err(failure),
            };
        }
    }
}

/// Prints what was seen, for good.
fn once(view: &View) -> Result<(), Failure> {
    match view {
        View::Text { note: beside, text } => {
            if let Some(beside) = beside {
                note(beside);
            }
            super::output::print(text)
        }
        View::Json(value) => super::output::print_json(value),
    }
}

/// Prints what was seen this time; whether anybody reads on.
fn again(view: &View, screen: bool, seconds: u64) -> Result<bool, Failure> {
    write(&page(view, screen, seconds, &jiff::Timestamp::now().strftime("%FT%TZ").to_string()))
}

/// One look as it is printed.
fn page(view: &View, screen: bool, seconds: u64, now: &str) -> String {
    match view {
        View::Json(value) => format!("{value}\n"),
        View::Text { note, text } => {
            let start = if screen { REDRAW } else { "" };
            let beside = note.as_ref().map(|note| format!("{note}\n")).unwrap_or_default();
            format!("{start}{now}, every {seconds} s\n{beside}{text}\n")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[derive(Debug, Parser)]
    struct Line {
        id: Option<String>,
        #[command(flatten)]
        watch: Watch,
    }

    fn typed(words: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from([&["looks"], words].concat())
    }

    #[test]
    fn the_pause_may_be_left_out() {
        assert_eq!(typed(&[]).unwrap().watch.watch, None);
        assert_eq!(typed(&["--watch"]).unwrap().watch.watch, Some(2));
        let line = typed(&["ab", "--watch", "5"]).unwrap();
        assert_eq!((line.id.as_deref(), line.watch.watch), (Some("ab"), Some(5)));
        for bad in ["0", "86401", "x"] {
            assert!(typed(&["--watch", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_it_a_command_looks_once() {
        let mut looks = 0;
        let mut look = || {
            looks += 1;
            Ok(View::Text { note: None, text: "seen".into() })
        };
        Watch::default().show(&mut look).unwrap();
        assert_eq!(looks, 1);
    }

    #[test]
    fn the_first_look_must_succeed() {
        let failed = || Err(Failure::said(Exit::Unreachable, "nobody"));
        let failure = Watch { watch: Some(1) }.show(failed).unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
    }

    #[test]
    fn programs_get_a_line_each_and_people_a_page() {
        let view = View::Json(json!({ "height": 7, "name": "n1" }));
        assert_eq!(page(&view, true, 2, "now"), "{\"height\":7,\"name\":\"n1\"}\n");
        let view = View::Text { note: Some("epoch 3".into()), text: "rows".into() };
        assert_eq!(page(&view, false, 2, "now"), "now, every 2 s\nepoch 3\nrows\n");
        assert!(page(&view, true, 2, "now").starts_with(REDRAW));
    }
}
