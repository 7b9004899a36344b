//! `wattle capacity`: how many devices, and how many hubs, this host can serve.
//!
//! ```text
//! measure: signatures, hashing, disk, broker with a node, ledger ─▶ sim::capacity: what each part is asked for ─▶ answer
//!                                                                                   check: a real run of it ◀─────┘
//! ```
//! - `measure`, with `disk` and `broker`, takes the figures, in less than a minute, with the code that serves: the site's log, the
//!   embedded broker, a ledger of one node. What needs a disk has it below one directory, which is removed.
//! - What follows from them is arithmetic, and is in `sim::capacity`.
//! - `check` runs one point of the answer: a node, and as many devices as are allowed, at the answer's rate.
//! - Publishers and devices run on the same host. They take processor time that a host with devices elsewhere has for itself, so the
//!   answer is rather too low than too high.

mod broker;
mod check;
mod command;
mod disk;
mod measure;
mod report;

pub(crate) use command::{Arguments, run};
