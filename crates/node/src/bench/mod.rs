//! `wattle bench`: figures for this machine, one file a figure.

mod command;
mod confirm;
mod figures;
mod ingest;
mod machine;
mod mosquitto;
mod mqtt;
mod verify;

pub(crate) use command::{Arguments, run};
