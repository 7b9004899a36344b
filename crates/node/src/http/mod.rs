//! The HTTP interface: `/api/v1/…`, events, metrics. Read only; bodies are not looked at.
//!
//! | path | file |
//! |---|---|
//! | `/api/v1/status`, `/healthz` | `status` |
//! | `/api/v1/messages[/{id}]` | `messages` |
//! | `/api/v1/milestones[/{height}]` | `milestones` |
//! | `/api/v1/readings[/{reference}]` | `readings` |
//! | `/api/v1/receipts/{reference}` | `receipts` |
//! | `/api/v1/events` | `events` |
//! | `/metrics` | `metrics` |
//!
//! Ids and keys are lower-case hexadecimal, times are integers in the unit their name says. Every refusal is a
//! problem (RFC 9457) that says what, where and what to do (`problem`).

mod events;
mod listing;
mod messages;
mod metrics;
mod milestones;
mod problem;
mod readings;
mod receipts;
mod server;
mod status;

pub(crate) use server::{AppState, HttpError, Parts, bind, serve};
