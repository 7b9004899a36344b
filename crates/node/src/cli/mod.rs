//! The command line: one file a subcommand, and what they share.

mod arguments;
pub(crate) mod check;
pub(crate) mod client;
pub(crate) mod device;
pub(crate) mod failure;
pub(crate) mod faults;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod light;
pub(crate) mod logging;
pub(crate) mod login;
pub(crate) mod messages;
pub(crate) mod milestones;
pub(crate) mod ordering;
pub(crate) mod output;
pub(crate) mod pipeline;
pub(crate) mod quantity;
pub(crate) mod readings;
pub(crate) mod receipt;
pub(crate) mod replay;
pub(crate) mod requests;
pub(crate) mod runtime;
pub(crate) mod stake;
pub(crate) mod status;
pub(crate) mod up;
pub(crate) mod user;
pub(crate) mod validator;
pub(crate) mod validators;
pub(crate) mod verify;
pub(crate) mod wallet;
pub(crate) mod wire;

pub(crate) use arguments::{Command, parse, run};
pub(crate) use failure::{Exit, Failure};
