//! Who may connect, publish and subscribe: identities, credentials, policy and limits. Nothing of rmqtt is in here.
//!
//! # Rules
//! - **An identity first.** Whoever connects is somebody ([`Identity`]) by a certificate, a password, a token, or, where
//!   the configuration allows it, without any of them. What it may do follows from the identity alone ([`Policy`]).
//! - **Filters are compared by containment**: a subscription is allowed if everything that it matches is allowed.
//! - **A change acts on who is connected.** [`Authority::stands`] asks of a live connection what
//!   [`Authority::authenticate`] asked when it began.
//! - A file that cannot be used is refused with its name and the reason; what was in force stays in force.
//! - No password, token or hash is in a log line, an error or a `Debug` text.
//!
//! ```text
//! CONNECT ─▶ Authority::authenticate ─▶ Admission { identity, rules, proof, expiry } ─▶ PUBLISH, SUBSCRIBE ask the rules
//!              ├─ certificate.rs  revoked? common name ─▶ identity          │
//!              ├─ passwords.rs    Argon2id, few at a time                   └─▶ Authority::stands, after every reload
//!              ├─ tokens.rs       signature, audience, expiry
//!              └─ users.rs        names, roles, grants ─▶ policy.rs ─▶ filter.rs
//! ```

mod authority;
mod certificate;
mod counters;
mod error;
mod filter;
mod identity;
mod limits;
mod passwords;
mod policy;
mod tokens;
mod users;

pub use authority::{AccessConfig, Admission, Anonymous, Attempt, Authority, Proof};
pub use certificate::{Certificate, Revoked, certificates_end_s};
pub use counters::{AccessCounters, AccessReport, Refused};
pub use error::AccessError;
pub(crate) use error::read as read_file;
pub use filter::{FILTER_BYTES_MAX, Filter, FilterError};
pub use identity::{Identity, IdentityError};
pub use limits::{ConnectionRates, Limits, Meter};
pub use passwords::{PASSWORD_BYTES_MAX, PasswordError, hash_password};
pub use policy::{Grants, PatternError, Policy, Rules, Verdict};
pub use tokens::{TokenAlgorithm, TokenConfig};
pub use users::{Role, USERS_MAX, UserEntry, UserFile, Users};
