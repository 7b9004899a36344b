//! What travels on wattle, and how a stranger checks it.
//!
//! Purpose: one place for every byte that leaves a process: identities, messages of the DAG, milestones of
//! the committee, batches of readings, receipts and topic names. Everything here is pure: no I/O, no clock,
//! no global randomness; it builds without `std` so that device firmware can link it.
//!
//! # Rules
//! - **One encoding per value.** A decoder accepts exactly the bytes its encoder writes; trailing bytes,
//!   overlong integers and lengths over their limit ([`limits`]) give a [`DecodeError`].
//! - **No allocation from an unchecked length.** A length is compared with its limit and with the bytes that
//!   are really there before anything is reserved for it.
//! - **One verdict on signatures**: ZIP-215, on every node and in every verifier ([`keys`]).
//! - **Trees are RFC 9162** (SHA-256, leaves and nodes in separate domains) ([`merkle`]).
//!
//! # The way of a reading through these types
//! ```text
//! Reading ─▶ Batch (blinded leaves) ─root─▶ Message ─id─▶ Milestone.messages_root ─digest─▶ Finalization
//!    └──────────────────────────────── all of it in one Receipt ──────────────────────────────┘
//! ```
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod address;
pub mod batch;
pub mod body;
pub mod certificate;
pub mod certificate_proof;
pub mod codec;
pub mod device;
pub mod device_request;
pub mod evidence;
pub mod exchange;
pub mod finalization;
pub mod genesis;
pub mod handover;
pub mod head;
#[cfg(feature = "json")]
pub mod json;
pub mod keys;
pub mod limits;
pub mod merkle;
pub mod message;
pub mod milestone;
pub mod order;
pub mod parameters;
pub mod pow;
pub mod rate;
pub mod reading;
pub mod receipt;
pub mod rejection;
pub mod request;
pub mod service;
pub mod signed;
pub mod sn;
pub mod topic;
pub mod wallet_parameters;

pub use address::{Address, AddressError};
pub use batch::Batch;
pub use certificate::{CastVote, Certificate, CertificateError};
pub use certificate_proof::{CertificateProof, CertificateProofError, Certified};
pub use codec::{Decode, DecodeError, Encode};
pub use device::{Credential, DeviceName, DeviceNameError, Role};
pub use device_request::DeviceRequest;
pub use evidence::{Ballot, Evidence, EvidenceError, Offence, Phase};
pub use finalization::{Finalization, FinalizationError, Vote};
pub use genesis::{Committee, CommitteeError, FoundingError, Genesis, Validator, quorum};
pub use handover::{Handover, HandoverError};
pub use head::Head;
pub use keys::{Id, NetworkId, PublicKey, SecretKey, Signature};
pub use message::{Body, Message, MessageError, Share, Unsigned};
pub use milestone::Milestone;
pub use order::{Action, Order};
pub use parameters::{Parameters, ParametersError};
pub use reading::{DeviceSignature, Reading, ReadingName, Value};
pub use receipt::{Receipt, ReceiptError, Verified};
pub use rejection::{Reason, Rejection};
pub use request::{Draft, Operation, Request, UNITS_PER_COIN, WalletId};
pub use service::{Outcome, ServiceKind, Silence, Terms};
pub use signed::SignedReading;
pub use topic::{DeviceTopic, Direction, Name, NameError, Topic, TopicError};
pub use wallet_parameters::{WalletParameters, WalletParametersError};
