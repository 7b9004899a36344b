//! MQTT-SN 1.2: every message as a value, and its bytes.
//!
//! Purpose: the gateway and device firmware (`sdk`) speak MQTT-SN with the same code. Rules are numbered in
//! `docs/spec/mqtt-sn.md` (SN-1 …).
//!
//! # Rules
//! - [`Packet::decode`] accepts what [`Packet::encode`] writes, and two things more that the specification allows: a
//!   length below 256 in the form of three octets (§5.2.1: short messages *may* use the short form), and flags that mean
//!   nothing in a message (§5.3.4: "not used").
//! - Everything else is refused with a [`crate::DecodeError`]: a length that is not that of the datagram, reserved message
//!   types, reserved types of topic ids, reserved return codes, text that is not UTF-8.
//! - Nothing here knows a session: whether a message makes sense at its moment is the gateway's and the client's affair.
//!
//! ```text
//!  1 or 3 octets       1          n                     encapsulated (SN-4):
//! ┌──────────────┬───────────┬──────────┐              ┌────────┬──────┬──────┬──────────────────┬───────────┐
//! │ length       │ MsgType   │ variable │              │ length │ 0xFE │ ctrl │ wireless node id │ a message │
//! └──────────────┴───────────┴──────────┘              └────────┴──────┴──────┴──────────────────┴───────────┘
//!  01 hh ll if the first is 01                          length up to the end of the node id
//! ```

mod decode;
mod encode;
mod flags;
mod frame;
mod packet;
mod topic;

pub use encode::{EncodeError, PACKET_BYTES_MAX};
pub use flags::{Flags, Qos, TopicIdType};
pub use frame::{Frame, NODE_ID_BYTES_MAX, Route};
pub use packet::{Connect, PROTOCOL_ID, Packet, Publish, ReturnCode, Subscribe, WillTopic};
pub use topic::{TopicFilter, TopicRef};
