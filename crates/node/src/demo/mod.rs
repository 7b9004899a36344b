//! `wattle demo`: a whole network on this machine, real data through it, and the proof at the end.

mod command;
mod energy;
mod espresso;
mod market;
mod network;
mod report;

pub(crate) use command::{Arguments, run};
pub(crate) use network::{Network, POLL, free_plan};
