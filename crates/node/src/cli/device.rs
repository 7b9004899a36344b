//! `wattle device`: the registry of devices on the ledger.
//!
//! ```text
//! key, prove                           on the device, or for it: no node is asked
//! register, rotate, thing, revoke,     orders of the owner's wallet
//! gateways
//! show, list                           what the ledger has
//! sign, request                        payloads as a device of role 2 publishes them
//! ```

mod proof;
mod request;
mod sign;
mod thing;
mod view;

use super::ordering::Ordering;
use super::{Exit, Failure, quantity};
use proof::Offered;
use protocol::{Action, DeviceName, Name, PublicKey, Role};

/// `wattle device`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A device is site/ID, as in its topics. The first wallet that registers a device of a site owns the site.
Role 1 signs nothing and is believed by way of its gateway, role 2 signs its readings, role 3 is a full node.

Examples:
  wattle device key m1.key
  wattle device register z1/m1 --device-key m1.key --key net/node1/node.key
  wattle device list --site z1
  wattle device revoke z1/m1 --key net/node1/node.key")]
pub(crate) struct Arguments {
    /// What to do
    #[command(subcommand)]
    what: What,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a key for a device
    Key(proof::KeyArguments),
    /// Prove that a device holds its key, for whoever registers it
    Prove(proof::ProveArguments),
    /// Enter a device into the registry
    Register(Register),
    /// Give a device another key
    Rotate(Rotate),
    /// Describe a device by a W3C Thing Description
    Thing(thing::Arguments),
    /// End a device's registration, and its key for good
    Revoke(Revoke),
    /// Name the nodes that anchor a site's readings
    Gateways(Gateways),
    /// What the ledger has of a device
    Show(view::Show),
    /// The devices of a site
    List(view::List),
    /// Sign a reading as the device would
    Sign(sign::Arguments),
    /// Ask another device for something, as the device would
    Request(request::Arguments),
}

/// `wattle device register`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle device register z1/m1 --device-key m1.key --key net/node1/node.key
  wattle device register z1/door --role 1 --key net/node1/node.key
  wattle device register z1/m2 --public-key 3f0a…64 digits… --possession 91c2…128 digits… --key wallet.key")]
struct Register {
    /// The device: site/ID
    #[arg(value_parser = quantity::device)]
    device: DeviceName,
    /// 1 unsigned, 2 signed readings, 3 full node; 2 if it has a key, else 1
    #[arg(long, value_name = "ROLE", value_parser = clap::value_parser!(u8).range(1..=3))]
    role: Option<u8>,
    #[command(flatten)]
    offered: Offered,
    #[command(flatten)]
    ordering: Ordering,
}

/// `wattle device rotate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The old key is never accepted again. The device may count its readings anew under the new one.

Examples:
  wattle device rotate z1/m1 --device-key m1-new.key --key net/node1/node.key")]
struct Rotate {
    /// The device: site/ID
    #[arg(value_parser = quantity::device)]
    device: DeviceName,
    #[command(flatten)]
    offered: Offered,
    #[command(flatten)]
    ordering: Ordering,
}

/// `wattle device revoke`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle device revoke z1/m1 --key net/node1/node.key")]
struct Revoke {
    /// The device: site/ID
    #[arg(value_parser = quantity::device)]
    device: DeviceName,
    #[command(flatten)]
    ordering: Ordering,
}

/// `wattle device gateways`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Whoever checks a receipt of a device that does not sign can see whether its site named the node that anchored it.

Examples:
  wattle device gateways z1 3f0a…64 digits… --key net/node1/node.key")]
struct Gateways {
    /// The site
    #[arg(value_parser = quantity::site)]
    site: Name,
    /// The nodes' keys, 8 at most; none says nothing about them
    gateways: Vec<PublicKey>,
    #[command(flatten)]
    ordering: Ordering,
}

/// Does what was asked for.
///
/// # Errors
/// [`Failure`] if it cannot be done, or an order had no effect.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Key(arguments) => proof::key(arguments),
        What::Prove(arguments) => proof::prove(arguments),
        What::Register(arguments) => register(arguments),
        What::Rotate(Rotate { device, offered, ordering }) => {
            let credential = offered.credential(device, ordering)?;
            let credential = credential.ok_or_else(|| usage("give the new key: --device-key FILE, or --public-key and --possession"))?;
            let done = format!("{device} has the key {}", credential.key);
            ordering.give(Action::RotateDevice { device: device.clone(), credential }, &done)
        }
        What::Thing(arguments) => thing::run(arguments),
        What::Revoke(Revoke { device, ordering }) => {
            ordering.give(Action::RevokeDevice { device: device.clone() }, &format!("revoked {device}"))
        }
        What::Gateways(Gateways { site, gateways, ordering }) => {
            let mut gateways = gateways.clone();
            gateways.sort_unstable();
            gateways.dedup();
            if gateways.len() > protocol::limits::GATEWAYS_MAX {
                return Err(usage(&format!("{} gateways: name {} at most", gateways.len(), protocol::limits::GATEWAYS_MAX)));
            }
            let done = format!("{site} names {} gateways", gateways.len());
            ordering.give(Action::Site { site: site.clone(), gateways }, &done)
        }
        What::Show(arguments) => view::show(arguments),
        What::List(arguments) => view::list(arguments),
        What::Sign(arguments) => sign::run(arguments),
        What::Request(arguments) => request::run(arguments),
    }
}

fn register(arguments: &Register) -> Result<(), Failure> {
    let Register { device, role, offered, ordering } = arguments;
    let credential = offered.credential(device, ordering)?;
    let role = match role.and_then(Role::of) {
        Some(role) => role,
        None if credential.is_some() => Role::Signer,
        None => Role::Unsigned,
    };
    if role.has_key() != credential.is_some() {
        let todo = "a device of role 1 has no key; one of role 2 or 3 has: --device-key FILE, or --public-key and --possession";
        return Err(usage(&format!("role {} does not fit: {todo}", role.number())));
    }
    let key = credential.map(|c| format!(", key {}", c.key)).unwrap_or_default();
    let done = format!("registered {device} as {}{key}", role.as_str());
    ordering.give(Action::RegisterDevice { device: device.clone(), role, credential, thing: None }, &done)
}

fn usage(what: &str) -> Failure {
    Failure::said(Exit::Usage, what)
}
