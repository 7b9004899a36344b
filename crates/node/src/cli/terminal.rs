//! Secrets that people type: read from the terminal without showing them.
//!
//! Ctrl-C ends the program only after the terminal shows again what is typed: until then it is a character like others, at which
//! the line ends.

use super::output::note;
use super::{Exit, Failure};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead, ErrorKind};
use zeroize::Zeroizing;

/// What Ctrl-C types.
const INTERRUPT: u8 = 0x03;

/// Asks for a secret of at most `most` bytes; twice if it is a new one. `instead` says how else it may be given.
///
/// # Errors
/// [`Failure`] (usage) if there is no terminal, the two differ, or Ctrl-C was typed.
pub(crate) fn asked(what: &str, new: bool, most: usize, instead: &str) -> Result<Zeroizing<String>, Failure> {
    let silent = Silence::begin(instead)?;
    note(&format!("{what}: "));
    let secret = typed(std::io::stdin().lock(), most)?;
    let again = match new {
        true => {
            note("Again: ");
            typed(std::io::stdin().lock(), most)?
        }
        false => secret.clone(),
    };
    drop(silent);
    match *secret == *again {
        true => Ok(secret),
        false => Err(Failure::new(Exit::Usage, format!("the two differ: {what}"), "standard input", "try again")),
    }
}

/// The first line of `source`, which is called `name`, without its end. One byte more than `most` is read, so that what is longer
/// is found too long by whoever checks it.
///
/// # Errors
/// [`Failure`] (usage) if it cannot be read or is no text.
pub(crate) fn line(source: impl BufRead, name: &str, most: usize) -> Result<Zeroizing<String>, Failure> {
    let failed = |e: std::io::Error| Failure::new(Exit::Usage, e, name, "give the secret as one line of text");
    let mut text = Zeroizing::new(String::with_capacity(most + 2));
    source.take(most as u64 + 2).read_line(&mut text).map_err(failed)?;
    while text.ends_with(['\n', '\r']) {
        text.pop();
    }
    Ok(text)
}

/// A line that is typed, without its end; of one that is longer than `most` bytes, one byte more.
///
/// # Errors
/// [`Failure`] (usage) if it cannot be read, is no text, or Ctrl-C was typed.
fn typed(mut source: impl BufRead, most: usize) -> Result<Zeroizing<String>, Failure> {
    let failed = |e: std::io::Error| Failure::new(Exit::Usage, e, "standard input", "give the secret as one line of text");
    let mut bytes = Zeroizing::new(Vec::<u8>::with_capacity(most.saturating_add(1)));
    loop {
        let part = match source.fill_buf() {
            Ok(part) => part,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(failed(e)),
        };
        let end = part.iter().position(|byte| matches!(*byte, b'\n' | INTERRUPT));
        let room = most.saturating_add(1).saturating_sub(bytes.len());
        bytes.extend(part.iter().take(end.unwrap_or(part.len()).min(room)));
        let interrupted = end.and_then(|at| part.get(at)) == Some(&INTERRUPT);
        let (taken, over) = (end.map_or(part.len(), |at| at.saturating_add(1)), end.is_some() || part.is_empty());
        source.consume(taken);
        if interrupted {
            return Err(Failure::new(Exit::Usage, "interrupted", "standard input", "nothing was done"));
        }
        if over {
            break;
        }
    }
    while bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let text = std::str::from_utf8(&bytes).map_err(|e| failed(std::io::Error::new(ErrorKind::InvalidData, e)))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silence(Termios);

impl Silence {
    fn begin(instead: &str) -> Result<Self, Failure> {
        let failed = |e: rustix::io::Errno| Failure::new(Exit::Usage, e, "the terminal", instead);
        let before = tcgetattr(std::io::stdin()).map_err(failed)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing put back.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Ctrl-C at the prompt ended the program before the terminal showed again what is typed.
    #[test]
    fn a_typed_secret_ends_with_its_line_or_is_given_up() {
        assert_eq!(*typed("one two \r\nthree".as_bytes(), 100).unwrap(), "one two ");
        assert_eq!(*typed("".as_bytes(), 100).unwrap(), "");
        // what does not come at once
        let slow = std::io::BufReader::with_capacity(1, "äö\nü".as_bytes());
        assert_eq!(*typed(slow, 100).unwrap(), "äö");
        assert_eq!(typed("x".repeat(20).as_bytes(), 10).unwrap().len(), 11, "found too long");
        let mut two = "one\ntwo\n".as_bytes();
        assert_eq!((typed(&mut two, 100).unwrap().as_str(), typed(&mut two, 100).unwrap().as_str()), ("one", "two"));
        let failure = typed("secr\u{3}et\n".as_bytes(), 100).unwrap_err();
        assert!(failure.exit == Exit::Usage && failure.to_string().contains("interrupted"), "{failure}");
        assert!(typed([0xffu8, b'\n'].as_slice(), 100).is_err());
    }

    #[test]
    fn a_secret_is_one_line() {
        assert_eq!(*line("one two \r\nthree".as_bytes(), "a file", 100).unwrap(), "one two ");
        assert_eq!(*line("".as_bytes(), "a file", 100).unwrap(), "");
        assert_eq!(line("x".repeat(20).as_bytes(), "a file", 10).unwrap().len(), 12, "found too long");
        let failure = line([0xffu8, 0xfe].as_slice(), "a file", 10).unwrap_err();
        assert!(failure.exit == Exit::Usage && failure.to_string().contains("a file"), "{failure}");
    }
}
