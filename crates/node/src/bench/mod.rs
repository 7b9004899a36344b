//! `wattle bench`: figures for this machine, one file a figure.
//!
//! What they share: `figures` (from runs to a table or JSON), `machine` and `disk` (what was used), `child` (a run in a
//! process of its own), `device` (one MQTT connection of thousands), `committee` (replicas in this process), `batches`, `load`
//! and `arrivals` (what they are given), `spenders` and `spending` (wallets and their requests), `ballots` and `passage` (what a vote
//! takes). What follows for larger committees is said by a model,
//! `sim::votes`. `wattle capacity` uses some of it.

mod api;
mod arrivals;
mod ballots;
mod batches;
mod certificates;
mod child;
mod command;
mod committee;
mod confirm;
mod connections;
mod dag;
mod device;
mod disk;
mod figures;
mod ingest;
mod load;
mod machine;
mod mosquitto;
mod mqtt;
mod mqttsn;
mod passage;
mod pow;
mod spenders;
mod spending;
mod storage;
mod verify;
mod vote;

pub(crate) use self::mqtt::{Burst, settled};
pub(crate) use ballots::{Costs, mean_us};
pub(crate) use batches::{Readings, seal};
pub(crate) use child::run_in;
pub(crate) use command::{Arguments, run};
pub(crate) use connections::{Crowd, OTHER_FILES, bytes_per_connection, one_node};
pub(crate) use figures::Figures;
pub(crate) use machine::{describe, files_possible, memory_available_bytes, need_files, usage_of};
