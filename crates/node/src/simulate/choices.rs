//! The model's choices by the names people type.

use sim::brokers::{Balancing, Discipline, Phase, Spread, Workers};
use std::str::FromStr;

/// Most numbers in one list.
const NUMBERS_MAX: usize = 100_000;

fn pick<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
    let names = || choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| format!("one of these is needed: {}", names()))
}

/// When sources publish.
///
/// # Errors
/// A sentence naming the choices.
pub(super) fn phase(text: &str) -> Result<Phase, String> {
    let choices =
        [("synchronised", Phase::Synchronised), ("staggered", Phase::Staggered), ("uniform", Phase::Uniform), ("poisson", Phase::Poisson)];
    pick(text, &choices)
}

/// How times are distributed.
///
/// # Errors
/// A sentence naming the choices.
pub(super) fn spread(text: &str) -> Result<Spread, String> {
    pick(text, &[("constant", Spread::Constant), ("exponential", Spread::Exponential)])
}

/// Whom a broker serves next.
///
/// # Errors
/// A sentence naming the choices.
pub(super) fn discipline(text: &str) -> Result<Discipline, String> {
    pick(text, &[("fifo", Discipline::Fifo), ("fair", Discipline::Fair), ("second-first", Discipline::SecondFirst)])
}

/// Which broker a message goes to.
///
/// # Errors
/// A sentence naming the choices.
pub(super) fn balancing(text: &str) -> Result<Balancing, String> {
    let choices = [
        ("by-source", Balancing::BySource),
        ("round-robin", Balancing::RoundRobin),
        ("random", Balancing::Random),
        ("shortest", Balancing::Shortest),
    ];
    pick(text, &choices)
}

/// Whether a stage works on several messages at a time.
///
/// # Errors
/// A sentence naming the choices.
pub(super) fn workers(text: &str) -> Result<Workers, String> {
    pick(text, &[("parallel", Workers::Parallel), ("serial", Workers::Serial)])
}

/// Numbers as `1,10,50-100`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers(pub(super) Vec<u32>);

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("numbers such as 1,10,50-100 are needed, at most {NUMBERS_MAX} of them");
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: u32 = first.trim().parse().map_err(|_| wrong())?;
            let last: u32 = last.trim().parse().map_err(|_| wrong())?;
            if first > last || (last - first) as usize >= NUMBERS_MAX.saturating_sub(numbers.len()) {
                return Err(wrong());
            }
            numbers.extend(first..=last);
        }
        Ok(Self(numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers_are_read() {
        assert_eq!("1,10,50-52".parse(), Ok(Numbers(vec![1, 10, 50, 51, 52])));
        assert_eq!("7".parse(), Ok(Numbers(vec![7])));
        for text in ["", "1,", "5-1", "a", "-3", "1-4000000000", "1.5"] {
            assert!(text.parse::<Numbers>().is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn an_unknown_choice_is_told_the_known_ones() {
        assert_eq!(phase("poisson"), Ok(Phase::Poisson));
        assert!(discipline("lifo").is_err_and(|why| why.contains("fifo, fair, second-first")));
    }
}
