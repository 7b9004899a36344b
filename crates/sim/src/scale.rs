//! How far the ledger reaches: from 10³ to 10⁷ devices, in closed form.
//!
//! ```text
//!            devices ─▶ broker of the site ─▶ node of the site ─▶ the nodes of its subnet ─▶ a parent of subnets ─▶ … ─▶ root
//!                          └▶ broker above ─▶ … ─▶ central broker
//! settings ─▶ shape (who is how many) ─▶ load (what each bears) ─┬▶ parts (utilisation; where each saturates)
//! constants of `wattle bench` ───────────────────────────────────┼▶ links (bytes a second)
//!                                                                ├▶ storage (bytes a year, beside the papers')
//!                                                                └▶ latency (p50, by its parts)
//! ```
//! Each formula is a rule of `docs/spec/scale-model.md` (SC-1 to SC-15), which also says what is left out.
//!
//! # Rules
//! - The network grows by filling up: a site takes devices until it is full, then the next one opens; so do subnets and
//!   brokers above. What is told is told of the busiest, so nothing ever falls when devices are added.
//! - A constant is a measurement of this software with its command ([`Constants`]), an assumption is an option with its bounds
//!   ([`Settings`]).
//! - Subnets and their parents are **a model only**: the software has one subnet. The rest is there to be measured.

mod constants;
mod estimate;
mod figures;
mod latency;
mod links;
mod load;
mod parts;
mod settings;
mod shape;
mod storage;

pub use constants::{Confirmation, Constants, Storage, StorageError, StoragePoint};
pub use estimate::{Estimate, estimate};
pub use figures::{latency_chart, links_chart, processor_chart, storage_chart, utilisation_chart};
pub use latency::{Latency, alone};
pub use links::{Flow, Link};
pub use load::{Gathered, Processor, gathered};
pub use parts::{Part, Saturation, Utilisation, saturations, utilisations};
pub use settings::{COMMITTEE_MAX, DEVICES_MAX, ScaleError, Settings, TIERS_MAX};
pub use shape::{Shape, Tier};
pub use storage::{IOTA_BYTES, NANO_BYTES, Yearly};
