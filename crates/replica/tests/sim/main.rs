//! The production replica on the engine's deterministic runtime and simulated network.
//!
//! A scenario says what happens; the checkers say what must hold whatever happens. Each seed gives one course
//! of events, always the same one: `WATTLE_SIM_SEED=7 cargo test -p replica --test sim` replays seed 7 alone,
//! `WATTLE_SIM_SEEDS=200` runs that many instead of the few that CI runs of each scenario.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod checkers;
mod scenarios;
mod world;
