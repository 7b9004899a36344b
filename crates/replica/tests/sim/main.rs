//! The production replica on the engine's deterministic runtime and simulated network.
//!
//! ```text
//! seed ──▶ case: scenario × adversary × size ──▶ world ──▶ checkers ──▶ verdict
//! ```
//! - a **scenario** says what happens to links, disks and nodes;
//! - an **adversary** is what up to f = ⌊(n−1)/3⌋ members of the committee do;
//! - the **checkers** say what must hold whatever happens: `pass`, `no progress: …` or `diverged: …`.
//!
//! A seed is one course of events, always the same one: it picks the case and everything that chance decides.
//! `WATTLE_SIM_SEED=7` plays seed 7 alone, `WATTLE_SIM_SEEDS=5000` plays seeds 0 to 4999 instead of the few that
//! CI plays, `WATTLE_SIM_ONLY=partition/forger` plays the cases whose name contains that. Both together are the slow profile of
//! a part: `WATTLE_SIM_SEEDS=9400 WATTLE_SIM_ONLY=spending` plays more than 1 000 courses of wallets that spend.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod acts;
mod adversaries;
mod bad_input;
mod burst;
mod checkers;
mod course;
mod disk;
mod frames;
mod joining;
mod matrix;
mod purses;
mod scenarios;
mod seat;
mod spending;
mod topology;
mod traffic;
mod void_branches;
mod world;
