//! The HTTP interface: `/api/v1/…`, events, metrics. Keys never come here: what wallets order and spend is signed before.
//!
//! ```text
//! console (static files) ─▶ a client of all this
//! listener (slow clients, TLS) ─▶ access (limits, tokens, origins) ─▶ routes ─▶ one file a resource
//!                                                                       └─▶ openapi ◀─ schema
//! events ◀─ ring ◀─ pump, overview (alarms)
//! ```
//! `routes` is the table of all paths. Lists are read by `listing` and answered page by page; what does not change carries an
//! `ETag` (`etag`).
//!
//! Ids and keys are lower-case hexadecimal, times are integers in the unit their name says. Every refusal is a
//! problem (RFC 9457) that says what, where and what to do (`problem`).

mod access;
mod coins;
mod committee;
mod console;
mod devices;
mod etag;
mod events;
mod export;
mod genesis;
mod head;
mod limits;
mod listener;
mod listing;
mod messages;
mod metrics;
mod milestones;
mod openapi;
mod orders;
mod overview;
mod problem;
mod readings;
mod receipts;
mod requests;
mod ring;
mod routes;
mod schema;
mod server;
mod services;
mod session;
mod spends;
mod state;
mod status;
mod sync;
mod things;
mod tls;
mod validators;
mod wallets;

pub(crate) use server::{AppState, HttpError, Parts, bind, serve, serve_parts};
pub(crate) use status::gateway_json;
pub(crate) use tls::try_tls;
