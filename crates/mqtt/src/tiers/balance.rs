//! Whose turn it is among the brokers of a site: smooth weighted round robin (TIER-13).
//!
//! Each turn every candidate's credit grows by its weight; the one with the most is chosen and pays the sum of all weights.
//! So over time each is chosen in proportion to its weight, and turns of one are spread evenly.

use std::collections::BTreeMap;

/// The largest weight of a broker.
pub const WEIGHT_MAX: u32 = 1000;

/// Candidates of groups whose credits are remembered; with more all turns begin anew.
const CREDITS_MAX: usize = 65_536;

/// The credits of the candidates of every group, by any key.
#[derive(Clone, Debug, Default)]
pub struct Balance {
    credits: BTreeMap<(String, String), i64>,
}

impl Balance {
    /// Chooses one of `candidates`, each with its weight; `None` if there are none.
    pub fn choose(&mut self, group: &str, candidates: &[(&str, u32)]) -> Option<String> {
        if self.credits.len() > CREDITS_MAX {
            self.credits.clear(); // groups come and go, and nobody says which are gone
        }
        let total: i64 = candidates.iter().map(|(_, weight)| i64::from(*weight)).sum();
        let mut best: Option<(&str, i64)> = None;
        for (name, weight) in candidates {
            let credit = self.credits.entry((group.to_owned(), (*name).to_owned())).or_default();
            *credit += i64::from(*weight);
            if best.is_none_or(|(_, most)| *credit > most) {
                best = Some((*name, *credit));
            }
        }
        let (chosen, _) = best?;
        if let Some(credit) = self.credits.get_mut(&(group.to_owned(), chosen.to_owned())) {
            *credit -= total;
        }
        Some(chosen.to_owned())
    }

    /// Forgets a candidate that is gone.
    pub fn forget(&mut self, name: &str) {
        self.credits.retain(|(_, candidate), _| candidate != name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_in_proportion_and_spread() {
        let mut balance = Balance::default();
        let candidates = [("a", 5), ("b", 1), ("c", 1)];
        let turns: Vec<_> = (0..7).filter_map(|_| balance.choose("g", &candidates)).collect();
        assert_eq!(turns, ["a", "a", "b", "a", "c", "a", "a"]);
        assert_eq!(balance.choose("g", &[]), None);
        assert_eq!(balance.choose("other", &[("b", 1)]), Some("b".to_string()));
    }

    #[test]
    fn groups_that_come_and_go_take_no_more_and_more_room() {
        let mut balance = Balance::default();
        for n in 0..=2 * CREDITS_MAX {
            assert!(balance.choose(&n.to_string(), &[("a", 1)]).is_some());
            assert!(balance.credits.len() <= CREDITS_MAX + 1);
        }
    }

    #[test]
    fn who_comes_back_takes_no_more_than_its_share() {
        let mut balance = Balance::default();
        for _ in 0..100 {
            balance.choose("g", &[("a", 1)]);
        }
        balance.forget("a");
        let turns: Vec<_> = (0..4).filter_map(|_| balance.choose("g", &[("a", 1), ("b", 1)])).collect();
        assert_eq!(turns, ["a", "b", "a", "b"]);
    }
}
