//! Results on stdout, everything else on stderr.

use super::colour::{self, Tone};
use super::{Exit, Failure};
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{ErrorKind, Write};

/// Hexadecimal digits of an id that a table shows.
const ID_DIGITS_SHOWN: usize = 12;

/// Prints a result and a line break. A reader that has seen enough (`| head`) is no error.
///
/// # Errors
/// [`Failure`] if stdout cannot be written for another reason.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write(&format!("{text}\n")).map(drop)
}

/// Writes to stdout as it is, and says whether anybody reads on.
///
/// # Errors
/// [`Failure`] if stdout cannot be written for another reason than that.
pub(crate) fn write(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(Exit::Fault, error, "standard output", "check where it is redirected to")),
    }
}

/// Prints a result as JSON.
///
/// # Errors
/// [`Failure`] if stdout cannot be written.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::new(Exit::Fault, e, "writing JSON", "report this with the command you typed"))?;
    print(&text)
}

/// Tells something on stderr. That nobody reads it is no error.
pub(crate) fn note(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.write_all(b"\n"));
}

/// A table as text. On a terminal, words such as `confirmed` and `refused` have colours.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let colours = colour::on();
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.into_iter().map(|text| cell(text, colours)).collect::<Vec<_>>());
    }
    table.trim_fmt()
}

fn cell(text: String, colours: bool) -> Cell {
    let tone = colour::tone(&text).filter(|_| colours);
    let cell = Cell::new_owned(text);
    match tone {
        Some(Tone::Good) => cell.fg(Color::Green),
        Some(Tone::Warning) => cell.fg(Color::Yellow),
        Some(Tone::Bad) => cell.fg(Color::Red),
        None => cell,
    }
}

/// A time in microseconds since 1970 as RFC 3339.
pub(crate) fn time_us(time_us: u64) -> String {
    let time = i64::try_from(time_us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    time.map_or_else(|| format!("{time_us} µs"), |t| t.to_string())
}

/// A time in milliseconds since 1970 as RFC 3339.
pub(crate) fn time_ms(ms: u64) -> String {
    ms.checked_mul(1_000).map_or_else(|| format!("{ms} ms"), time_us)
}

/// The first digits of an id.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(ID_DIGITS_SHOWN).collect()
}

/// A number with its thousands apart.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_can_read_numbers_and_times() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1 000");
        assert_eq!(thousands(12_345_678), "12 345 678");
        assert_eq!(time_us(1_470_009_600_000_000), "2016-08-01T00:00:00Z");
        assert_eq!(time_ms(1_470_009_600_250), "2016-08-01T00:00:00.25Z");
        assert_eq!(time_us(u64::MAX), "18446744073709551615 µs");
    }

    #[test]
    fn a_table_holds_every_cell() {
        let text = table(&["a", "b"], vec![vec!["one".into(), "two".into()]]);
        for cell in ["a", "b", "one", "two"] {
            assert!(text.contains(cell), "{cell} is missing in {text}");
        }
    }
}
