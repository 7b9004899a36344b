//! A terminal that is drawn on as a whole, and read key by key.
//!
//! The terminal itself waits for keys, a second at most (VMIN 0, VTIME 10), so that nothing else is needed for that.

use crate::cli::output::write;
use crate::cli::{Exit, Failure};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::Read as _;
use std::time::Duration;

/// How long a key is waited for.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// The same in tenths of a second.
const TICK_TENTHS: u8 = 10;
/// The other screen, and no cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// The cursor, and the screen that was there before.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Columns and rows of a terminal that does not say.
const COLUMNS: usize = 80;
const ROWS: usize = 24;

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// That is enough.
    Quit,
    /// Anything else.
    Other,
}

/// The terminal; it is put back when this is dropped.
pub(super) struct Screen(Termios);

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// [`Failure`] (usage) if standard input or output is none.
    pub(super) fn begin() -> Result<Self, Failure> {
        let failed = |e: rustix::io::Errno| {
            Failure::new(
                Exit::Usage,
                format!("no terminal ({e})"),
                "standard input and output",
                "use `wattle top --once`, or `wattle status --json`",
            )
        };
        tcgetwinsize(std::io::stdout()).map_err(failed)?;
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut keys = before.clone();
        // Ctrl-C comes as a key, so that the terminal is put back
        keys.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        set(&mut keys, SpecialCodeIndex::VMIN, 0);
        set(&mut keys, SpecialCodeIndex::VTIME, TICK_TENTHS);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &keys).map_err(failed)?;
        let screen = Self(before);
        write(ENTER)?;
        Ok(screen)
    }

    /// Draws a page, as much of it as there is room for.
    ///
    /// # Errors
    /// [`Failure`] if the terminal cannot be written.
    pub(super) fn draw(&mut self, lines: &[String]) -> Result<(), Failure> {
        let (columns, rows) = tcgetwinsize(std::io::stdout())
            .map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)))
            .ok()
            .filter(|(columns, rows)| *columns > 0 && *rows > 0)
            .unwrap_or((COLUMNS, ROWS));
        let mut text = String::from("\x1b[H");
        for (index, line) in lines.iter().take(rows).enumerate() {
            // no line break behind the last row: the terminal would scroll
            let start = if index == 0 { "" } else { "\r\n" };
            text.push_str(&format!("{start}{}\x1b[0m\x1b[K", cut(line, columns)));
        }
        text.push_str("\x1b[J");
        write(&text).map(drop)
    }

    /// Waits for a key, a second at most.
    ///
    /// # Errors
    /// [`Failure`] if the terminal cannot be read.
    pub(super) fn key(&mut self) -> Result<Option<Key>, Failure> {
        let mut bytes = [0u8; 16];
        match std::io::stdin().lock().read(&mut bytes) {
            Ok(0) => Ok(None),
            Ok(n) => Ok(Some(meaning(bytes.get(..n).unwrap_or_default()))),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => Ok(None),
            Err(e) => Err(Failure::new(Exit::Fault, e, "standard input", "run this in a terminal")),
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write(LEAVE);
        // A terminal that is gone needs nothing put back.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[allow(clippy::indexing_slicing, reason = "these indices are the terminal's own")]
fn set(termios: &mut Termios, index: SpecialCodeIndex, value: u8) {
    termios.special_codes[index] = value;
}

/// `q`, Ctrl-C, Ctrl-D, or Escape that begins nothing.
fn meaning(bytes: &[u8]) -> Key {
    match bytes {
        [b'q' | b'Q' | 3 | 4, ..] | [0x1b] => Key::Quit,
        _ => Key::Other,
    }
}

/// A line of at most so many columns; what begins and ends colours takes none.
fn cut(line: &str, columns: usize) -> String {
    let (mut out, mut taken, mut escape) = (String::new(), 0, false);
    for c in line.chars() {
        if c == '\x1b' {
            escape = true;
        }
        if !escape {
            if taken == columns {
                continue;
            }
            taken += 1;
        }
        out.push(c);
        if escape && c.is_ascii_alphabetic() {
            escape = false;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_colours_are_not() {
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("\x1b[31mabcdef\x1b[0m", 3), "\x1b[31mabc\x1b[0m");
        assert_eq!(cut("ab", 3), "ab");
    }

    #[test]
    fn some_keys_end_it() {
        for bytes in [b"q".as_slice(), b"Q", &[3], &[4], &[0x1b]] {
            assert_eq!(meaning(bytes), Key::Quit);
        }
        assert_eq!(meaning(b"\x1b[A"), Key::Other, "an arrow");
        assert_eq!(meaning(b"x"), Key::Other);
    }
}
