//! The broker campaign of the ledger-as-a-service paper (its §4.1, Table 5, Figs 14 to 17).
//!
//! ```text
//!            channel         channel        channel        channel         channel
//! source ───────▶ gateway ───────▶ broker ───────▶ fog ───────▶ broker ───────▶ node ───▶ ledger
//! (period)       (elaboration)  (queue, service) (elaboration) (the same queue) (elaboration, proof of work)
//!                                   first pass                    second pass
//! ```
//! A reading passes the broker twice: as `root/device/…` on its way to the fog, as `root/fog/…` on its way to the node. Both
//! passes wait in one queue. With N sources of period T and B brokers of service time S, that asks 2·N·S/(B·T) of them.
//!
//! # What the paper leaves open, and what is assumed
//! Each but the last is an option; the first choice is the default. The defaults reproduce Figs 15, 16 and 17.
//!
//! | open | choices | what speaks for the default |
//! |---|---|---|
//! | passes through the broker | two; with the node's notice, three | Fig. 15 names 6 and 7 ms, not 5 ms, as overloaded at one broker: with two passes they saturate at 83 and 71 sources and 5 ms at exactly 100; with three, 5 ms would at 66, with one, none |
//! | phase of the sources | synchronised, staggered, uniform, Poisson | Fig. 15: "initial linear growth" of the mean: a burst of N waits in proportion to N; evenly or randomly spread sources hardly wait before saturation |
//! | proof of work, elaboration | side by side, one at a time | Fig. 17: throughput follows the sources up to 100 a second; one proof of 100 ms at a time would end at 10 |
//! | discipline of a queue | first in first out, fair between the passes, second pass first | Table 5 says FIFO, the text WFQ; Fig. 17: throughput *falls* in overload, which FIFO does and the other two do not |
//! | balancing | by source, round robin, random, shortest queue | a connection is with one broker; none changes the throughput while nothing is saturated |
//! | distribution of times | constant, exponential | Table 5 gives single values |
//! | warm-up | none | none is mentioned |
//! | latency in overload | of what was published within the run | what waits at the end is on average as old as that (BM-6), so counting it would change no figure |
//!
//! # Two ways to the same outcome
//! `recursion` walks each queue as a merge of sorted streams; it is exact for FIFO queues with constant delays and takes
//! some nanoseconds a service. `events` keeps a calendar and can do everything. A test holds them to the same outcome, bit
//! for bit; `docs/decisions/0027-models-without-an-engine.md` says why there are two and why neither is a crate's. The closed
//! forms are in `theory`, derived in `docs/spec/broker-model.md`.

mod campaign;
mod events;
mod figures;
mod outcome;
mod recursion;
mod settings;
mod sources;
mod theory;

pub use campaign::{Curve, Grid, GridError, Point};
pub use figures::{latency_chart, throughput_chart};
pub use outcome::{Latency, Outcome, simulate, simulate_by_events};
pub use settings::{Balancing, Discipline, Phase, Settings, SettingsError, Spread, TIME_MAX, Workers};
pub use theory::{Theory, predict};
