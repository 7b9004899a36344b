//! Colours: only where a person watches, and never against their wish.
//!
//! # Rules
//! - stdout must be a terminal, `TERM` not `dumb`, and `NO_COLOR` unset or empty (no-color.org).
//! - A colour repeats what a word says already: nothing is told by colour alone.

use std::ffi::OsStr;
use std::io::IsTerminal as _;

/// How good it is what a word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// On its way, or worth a look.
    Warning,
    /// Somebody should act.
    Bad,
}

impl Tone {
    /// What begins the colour on a terminal.
    pub(crate) const fn escape(self) -> &'static str {
        match self {
            Self::Good => "\x1b[32m",
            Self::Warning => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

/// What ends every colour.
pub(crate) const PLAIN: &str = "\x1b[0m";

/// Whether stdout is a terminal.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether what goes to stdout may be coloured.
pub(crate) fn on() -> bool {
    wanted(is_terminal(), std::env::var_os("NO_COLOR").as_deref(), std::env::var_os("TERM").as_deref())
}

fn wanted(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty) && term.is_some_and(|term| term != "dumb")
}

/// The tone of a cell of a table, by its first word; none if it only informs.
pub(crate) fn tone(cell: &str) -> Option<Tone> {
    match cell.split([' ', ',']).next().unwrap_or_default() {
        "confirmed" | "final" | "certified" | "active" | "executed" | "ok" => Some(Tone::Good),
        "pending" | "waiting" | "held" | "warn" | "tip" => Some(Tone::Warning),
        "refused" | "revoked" | "locked" | "lapsed" | "void" | "expired" | "bad" => Some(Tone::Bad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_people_who_want_them() {
        let (xterm, dumb) = (Some(OsStr::new("xterm-256color")), Some(OsStr::new("dumb")));
        assert!(wanted(true, None, xterm));
        assert!(wanted(true, Some(OsStr::new("")), xterm));
        assert!(!wanted(false, None, xterm));
        assert!(!wanted(true, Some(OsStr::new("1")), xterm));
        assert!(!wanted(true, None, dumb) && !wanted(true, None, None));
    }

    #[test]
    fn a_tone_is_that_of_the_first_word() {
        assert_eq!(tone("confirmed in 17"), Some(Tone::Good));
        assert_eq!(tone("pending"), Some(Tone::Warning));
        assert_eq!(tone("revoked"), Some(Tone::Bad));
        assert_eq!(tone("z1/m1/sense/power"), None);
        assert_eq!(tone(""), None);
    }
}
