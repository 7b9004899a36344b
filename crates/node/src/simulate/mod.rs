//! `wattle sim`: the papers' evaluations from models, one file a model.
//!
//! The models and charts are the crate `sim`, which knows no threads, files or clocks. Here are its command line (`command`,
//! `choices`), what benches measured (`printed`, `constants`), what runs it on all cores (`runner`) and what becomes of the results
//! (`report`, `files`).

mod brokers;
mod choices;
mod command;
mod constants;
mod files;
mod printed;
mod report;
mod runner;
mod scale;
mod votes;

pub(crate) use command::{Arguments, run};
