//! Giving an order: what every command that signs for a wallet does.
//!
//! ```text
//! GET epoch, wallet ─▶ sign in the wallet's State ─▶ POST orders ─▶ message confirmed? ─▶ what did it change?
//! ```
//! The node is asked for the network and the wallet's State, and never gets the key. A State that is not the wallet's
//! makes an order that has no effect; nothing worse.

use super::client::{DEFAULT_NODE, NodeClient};
use super::output::{print, print_json, thousands};
use super::signing::WalletKey;
use super::wire::{Accepted, Carried, Epoch, Validators, Wallet};
use super::{Exit, Failure, quantity};
use crate::hex::hex;
use protocol::order::next_state;
use protocol::{Action, Encode as _, Id, NetworkId, Order, PublicKey, SecretKey};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How often a message on its way is asked for again.
const POLL: Duration = Duration::from_millis(100);

/// What every order needs.
#[derive(Debug, clap::Args)]
pub(crate) struct Ordering {
    #[command(flatten)]
    signer: WalletKey,
    /// The node that carries the order; it must be registered as a validator
    #[arg(long, value_name = "URL", default_value = DEFAULT_NODE)]
    node: String,
    /// How long to wait for the order to be confirmed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = quantity::duration)]
    wait: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Ordering {
    /// The node.
    ///
    /// # Errors
    /// [`Failure`] if it has no proper address.
    pub(crate) fn client(&self) -> Result<NodeClient, Failure> {
        Ok(NodeClient::new(&self.node)?)
    }

    /// The wallet that orders.
    ///
    /// # Errors
    /// [`Failure`] if its key file cannot be read.
    pub(crate) fn wallet(&self) -> Result<PublicKey, Failure> {
        self.signer.public_key()
    }

    /// The network that the node says it is of. A wrong one makes signatures that are refused; nothing worse.
    ///
    /// # Errors
    /// [`Failure`] if the node cannot be asked.
    pub(crate) fn network(&self) -> Result<NetworkId, Failure> {
        let present: Epoch = self.client()?.json("/api/v1/epoch")?;
        parsed(&present.network)
    }

    /// Gives an order, waits for its effect and tells: `done` in words, or why there was none.
    ///
    /// # Errors
    /// [`Failure`]: refused (1) if the order had no effect or was not confirmed in time.
    pub(crate) fn give(&self, action: Action, done: &str) -> Result<(), Failure> {
        self.give_about(action, done, &json!({}))
    }

    /// The same; the JSON that is printed has the fields of `more` as well.
    ///
    /// # Errors
    /// As [`Ordering::give`].
    pub(crate) fn give_about(&self, action: Action, done: &str, more: &Value) -> Result<(), Failure> {
        let (key, node) = (self.signer.read()?, self.client()?);
        let present: Epoch = node.json("/api/v1/epoch")?;
        let network: NetworkId = parsed(&present.network)?;
        let state = parsed(&wallet(&node, &key.public_key())?.state)?;
        let order = Order::sign(&network, &key, state, action);
        let body = json!({ "orders": [hex(&order.encode())] }).to_string();
        let accepted = node.post_json("/api/v1/orders", &body).map_err(Failure::from).map_err(|why| unsure(&why))?;
        let accepted: Accepted = read(&accepted)?;
        let carried = self.confirmed(&node, &accepted.message)?;
        let after = effect(&node, &key, &order, &carried)?;
        let height = carried.height.map_or_else(|| "a milestone that the node has dropped".to_owned(), |h| format!("milestone {h}"));
        match self.json {
            true => {
                let mut told = json!({
                    "message": accepted.message,
                    "order": order.id().to_string(),
                    "height": carried.height,
                    "wallet": after.key,
                    "state": after.state,
                    "balance": after.balance,
                });
                if let (Some(told), Some(more)) = (told.as_object_mut(), more.as_object()) {
                    told.extend(more.clone());
                }
                print_json(&told)
            }
            false => print(&format!("{done}; confirmed by {height}; the wallet has {} DCoin", thousands(after.balance))),
        }
    }

    /// Waits until a message counts.
    fn confirmed(&self, node: &NodeClient, message: &str) -> Result<Carried, Failure> {
        let (path, start) = (format!("/api/v1/messages/{message}"), Instant::now());
        loop {
            let carried: Carried = node.json(&path).map_err(Failure::from).map_err(|why| unsure(&why))?;
            match carried.standing.as_str() {
                "confirmed" | "settled" => return Ok(carried),
                "void" => {
                    let what = format!("message {message} with the order does not count");
                    return Err(Failure::new(Exit::Refused, what, node.base(), "give the order again, at another node"));
                }
                _ if start.elapsed() < self.wait => std::thread::sleep(POLL),
                _ => {
                    let what = format!("message {message} with the order was not confirmed within {:?}", self.wait);
                    let todo = "it still may be: ask with `wattle messages`, and look at `wattle wallet show` before ordering again";
                    return Err(Failure::new(Exit::Refused, what, node.base(), todo));
                }
            }
        }
    }
}

/// A failure after which nobody knows whether an order has an effect: unless the node said no.
fn unsure(why: &Failure) -> Failure {
    match why.exit {
        Exit::Unreachable => {
            Failure::said(why.exit, format!("{why}; the order may have its effect all the same: look before you order again"))
        }
        exit => Failure::said(exit, why),
    }
}

/// The wallet after its order had an effect.
fn effect(node: &NodeClient, key: &SecretKey, order: &Order, carried: &Carried) -> Result<Wallet, Failure> {
    let refused = |why: &str, todo: &str| Failure::new(Exit::Refused, format!("the order had no effect: {why}"), node.base(), todo);
    if let Some(refusal) = carried.refused.iter().find(|r| r.index == 0) {
        return Err(refused(&refusal.why, "nothing was changed"));
    }
    let after = wallet(node, &key.public_key())?;
    let moved = parsed::<Id>(&after.state)?;
    match moved == order.state {
        false => {
            // another order of the wallet may have followed already
            if moved != next_state(&order.state, &order.id()) {
                super::output::note("the wallet has ordered something else meanwhile");
            }
            Ok(after)
        }
        true => Err(refused("the wallet's State did not move, and the node does not remember why", "see the node's log, and order again")),
    }
}

/// A wallet as a node has it.
///
/// # Errors
/// [`Failure`] if the node cannot be asked.
pub(crate) fn wallet(node: &NodeClient, key: &PublicKey) -> Result<Wallet, Failure> {
    Ok(node.json(&format!("/api/v1/wallets/{key}"))?)
}

/// A validator by its key, or by a name that only one has.
///
/// # Errors
/// [`Failure`] if there is none, or several.
pub(crate) fn validator(node: &NodeClient, text: &str) -> Result<(PublicKey, String), Failure> {
    if let Ok(key) = text.parse::<PublicKey>() {
        return Ok((key, super::output::short(text)));
    }
    let all: Validators = node.json("/api/v1/validators")?;
    let mut named = all.validators.iter().filter(|v| v.name == text);
    match (named.next(), named.next()) {
        (Some(one), None) => Ok((parsed(&one.key)?, one.name.clone())),
        (Some(_), Some(_)) => Err(Failure::new(
            Exit::Usage,
            format!("several validators are called {text}"),
            node.base(),
            "give the key: see `wattle validators`",
        )),
        (None, _) => Err(Failure::new(Exit::Usage, format!("no validator is called {text}"), node.base(), "see `wattle validators`")),
    }
}

/// A field of a node's answer.
///
/// # Errors
/// [`Failure`] if it is not what it should be.
pub(crate) fn parsed<T: std::str::FromStr<Err = protocol::DecodeError>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(Failure::answer)
}

/// An answer of a node.
///
/// # Errors
/// [`Failure`] if it is not of this type.
pub(crate) fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(Failure::answer)
}
