//! `wattle bench`: figures for this machine, one file a figure.
//!
//! What they share: `figures` (from runs to a table or JSON), `machine` and `disk` (what was used), `child` (a run in a
//! process of its own), `device` (one MQTT connection of thousands), `committee` (replicas in this process), `batches`, `load`
//! and `arrivals` (what they are given).

mod arrivals;
mod batches;
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
mod pow;
mod storage;
mod verify;

pub(crate) use command::{Arguments, run};
