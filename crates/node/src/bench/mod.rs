//! `wattle bench`: figures for this machine, one file a figure.
//!
//! What they share: `figures` (from runs to a table or JSON), `machine` and `disk` (what was used), `child` (a run in a
//! process of its own), `device` (one MQTT connection of thousands), `committee` (replicas in this process), `batches`, `load`
//! and `arrivals` (what they are given), `spenders` and `spending` (wallets and their requests), `ballots`, `passage` and
//! `model` (what a vote takes, and what follows for larger committees).

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
mod model;
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

pub(crate) use command::{Arguments, run};
