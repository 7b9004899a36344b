//! How a command fails: one line for people, one code for programs.

use std::fmt::Display;
use thiserror::Error;

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 1: something was looked at and found wanting.
    Refused,
    /// 2: the command line or a configuration file must be changed.
    Usage,
    /// 3: a node or broker does not answer.
    Unreachable,
    /// 4: the machine or this program failed.
    Fault,
    /// 5: the committee certified two milestones of one height.
    Fork,
}

impl Exit {
    /// The process's exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Fault => 4,
            Self::Fork => 5,
        }
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, Error)]
#[error("{line}")]
pub(crate) struct Failure {
    /// Who has to act.
    pub(crate) exit: Exit,
    line: String,
}

impl Failure {
    /// A failure in its three parts.
    pub(crate) fn new(exit: Exit, what: impl Display, at: impl Display, todo: impl Display) -> Self {
        Self::said(exit, format!("{what}: {at}: {todo}"))
    }

    /// A failure whose text says what, where and what to do already. Line breaks become spaces.
    pub(crate) fn said(exit: Exit, text: impl Display) -> Self {
        let text = text.to_string();
        let line = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ");
        Self { exit, line }
    }

    /// An answer of a node that is not what it should be.
    pub(crate) fn answer(why: impl Display) -> Self {
        Self::new(Exit::Refused, why, "the node's answer", "check that the node runs this version of wattle")
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &std::io::Error, todo: impl Display) -> Self {
        Self::new(Exit::Usage, error, path.display(), todo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::new(Exit::Usage, "bad\n  thing", "here", "do\nthat");
        assert_eq!(failure.to_string(), "bad thing: here: do that");
        assert_eq!(failure.exit.code(), 2);
    }
}
