//! One test for each rule of the graph, on graphs small enough to draw.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod drawing;
mod insert;
mod order;
mod proposal;
mod pruning;
mod settle;
mod tips;
