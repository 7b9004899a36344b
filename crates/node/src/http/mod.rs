//! The HTTP interface: `/api/v1/…`, events, metrics. Read only but for orders and requests, which their wallets signed, Thing
//! Descriptions, whose hashes are on the ledger, and a joining node's questions.
//!
//! | path | file |
//! |---|---|
//! | `/api/v1/status`, `/healthz` | `status` |
//! | `/api/v1/messages[/{id}]` | `messages` |
//! | `/api/v1/milestones[/{height}]` | `milestones` |
//! | `/api/v1/readings[/{reference}]` | `readings` |
//! | `/api/v1/receipts/{reference}` | `receipts` |
//! | `/api/v1/committee` | `committee` |
//! | `/api/v1/head` | `head` |
//! | `/api/v1/state/{wallets,validators,accounts,device-keys}/{key}`, `/api/v1/state/sites/{site}`, `/api/v1/state/devices/{site}/{device}` | `state` |
//! | `/api/v1/sync` (POST) | `sync` |
//! | `/api/v1/validators[/{key}]`, `/api/v1/epoch` | `validators` |
//! | `/api/v1/wallets/{key}[/stakes/{validator}]` | `wallets` |
//! | `POST /api/v1/orders` | `orders` |
//! | `/api/v1/spends[/{id}[/certificate]]` (POST too) | `spends` |
//! | `/api/v1/services[/{id}]`, `/api/v1/purchases/{id}` | `services` |
//! | `/api/v1/parameters`, `/api/v1/coins` | `coins` |
//! | `/api/v1/devices[/{site}/{device}]`, `/api/v1/sites/{site}`, `/api/v1/device-keys/{key}` | `devices` |
//! | `/api/v1/things[/{site}/{device}]` (PUT too), `/.well-known/wot` | `things` |
//! | `/api/v1/requests` | `requests` |
//! | `/api/v1/events` | `events` |
//! | `/metrics` | `metrics` |
//!
//! Ids and keys are lower-case hexadecimal, times are integers in the unit their name says. Every refusal is a
//! problem (RFC 9457) that says what, where and what to do (`problem`).

mod coins;
mod committee;
mod devices;
mod events;
mod head;
mod listing;
mod messages;
mod metrics;
mod milestones;
mod orders;
mod problem;
mod readings;
mod receipts;
mod requests;
mod server;
mod services;
mod spends;
mod state;
mod status;
mod sync;
mod things;
mod validators;
mod wallets;

pub(crate) use server::{AppState, HttpError, Parts, bind, serve};
pub(crate) use status::gateway_json;
