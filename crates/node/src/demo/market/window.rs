//! How a program spends: it asks a node for the purse, signs, posts, and looks what becomes of it.

use super::LOOK;
use crate::cli::client::{ClientError, NodeClient};
use crate::cli::{Exit, Failure};
use crate::clock::now_us;
use crate::hex::hex;
use protocol::{Draft, Encode as _, Genesis, Id, Operation, PublicKey, Request, SecretKey};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a request may be voted for, in milliseconds.
const WINDOW_MS: u64 = 60_000;
/// Nonces that are tried: far more than the highest difficulty of a demo needs.
const ATTEMPTS_MAX: u64 = 1 << 32;

/// A failure of a node's answer.
fn unreadable(node: &NodeClient, what: &str) -> Failure {
    Failure::new(Exit::Refused, format!("the answer has no {what}"), node.base(), "check that the node runs this version of wattle")
}

async fn asked<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ClientError> + Send + 'static,
) -> Result<Result<T, ClientError>, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Failure::new(Exit::Fault, e, "asking a node", "report this"))
}

/// The JSON at `path`.
///
/// # Errors
/// [`Failure`] if the node does not answer, or with a problem.
pub(super) async fn get(node: &NodeClient, path: &str) -> Result<Value, Failure> {
    let (node, path) = (node.clone(), path.to_owned());
    Ok(asked(move || node.json::<Value>(&path)).await??)
}

/// The same; nothing if there is no such thing (404), or not yet (409).
///
/// # Errors
/// As [`get`].
pub(super) async fn find(node: &NodeClient, path: &str) -> Result<Option<Value>, Failure> {
    let (node, path) = (node.clone(), path.to_owned());
    match asked(move || node.json::<Value>(&path)).await? {
        Ok(value) => Ok(Some(value)),
        Err(ClientError::Problem { status: 404 | 409, .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a node answers to JSON.
///
/// # Errors
/// As [`get`].
pub(super) async fn post(node: &NodeClient, path: &str, body: &Value) -> Result<Value, Failure> {
    let (client, at, text) = (node.clone(), path.to_owned(), body.to_string());
    let answer = asked(move || client.post_json(&at, &text)).await??;
    serde_json::from_str(&answer).map_err(|_| unreadable(node, "JSON"))
}

/// A number in a node's answer.
///
/// # Errors
/// [`Failure`] if it is not there.
pub(super) fn number(node: &NodeClient, value: &Value, pointer: &str) -> Result<u64, Failure> {
    value.pointer(pointer).and_then(Value::as_u64).ok_or_else(|| unreadable(node, pointer))
}

/// A text in a node's answer; empty if it is not there.
pub(super) fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Where a purse is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purse {
    /// The epoch to name.
    pub(super) epoch: u64,
    /// Requests that were executed.
    pub(super) executed: u64,
    /// What it has after them, in sub-units.
    pub(super) balance: u64,
    /// The number to name.
    pub(super) number: u64,
    /// The State to name.
    pub(super) state: Id,
    /// What is not spent, in sub-units.
    pub(super) available: u64,
}

impl Purse {
    /// The purse of a wallet, as a node has it.
    ///
    /// # Errors
    /// [`Failure`] if the node does not say.
    pub(super) async fn of(node: &NodeClient, wallet: &PublicKey) -> Result<Self, Failure> {
        let answer = get(node, &format!("/api/v1/wallets/{wallet}")).await?;
        let field = |name: &str| number(node, &answer, &format!("/purse/{name}"));
        let state: Id = text(&answer, "/purse/next_state").parse().map_err(|_| unreadable(node, "/purse/next_state"))?;
        Ok(Self {
            epoch: field("epoch")?,
            executed: field("number")?,
            balance: field("balance")?,
            number: field("next_number")?,
            state,
            available: field("available")?,
        })
    }

    /// A request in this State, from now on.
    ///
    /// # Errors
    /// [`Failure`] if nobody could take it.
    pub(super) fn sign(&self, genesis: &Genesis, key: &SecretKey, operation: Operation, price: u64) -> Result<Request, Failure> {
        let from_ms = now_us() / 1_000;
        let until_ms = from_ms.saturating_add(WINDOW_MS);
        let draft = Draft { state: self.state, number: self.number, epoch: self.epoch, operation, price, from_ms, until_ms };
        let signed = draft.sign(&genesis.network(), key, genesis.wallet_parameters.difficulty, ATTEMPTS_MAX);
        let refused = |why: &dyn std::fmt::Display| Failure::new(Exit::Fault, why, "signing a request", "report this");
        signed.map_err(|why| refused(&why))?.ok_or_else(|| refused(&"no nonce was found"))
    }

    /// The purse after a request.
    pub(super) fn after(&self, request: &Request) -> Self {
        let available = self.available.saturating_sub(request.price);
        Self { number: self.number.saturating_add(1), state: request.next_state(), available, ..*self }
    }
}

/// What became of a request, and when.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    /// The request.
    pub(super) id: Id,
    /// Its last status.
    pub(super) status: String,
    /// Why no further, as far as somebody said.
    pub(super) reason: String,
    /// From posting it until it was seen certified, in milliseconds.
    pub(super) certified_ms: f64,
    /// Until it was seen final.
    pub(super) final_ms: f64,
}

/// Posts requests; what the node says of each.
///
/// # Errors
/// [`Failure`] if the node does not answer, or not of each.
pub(super) async fn hand_in(node: &NodeClient, requests: &[&Request]) -> Result<Vec<Value>, Failure> {
    let encoded: Vec<String> = requests.iter().map(|request| hex(&request.encode())).collect();
    let answer = post(node, "/api/v1/spends", &json!({ "requests": encoded })).await?;
    let spends = answer.get("spends").and_then(Value::as_array).filter(|spends| spends.len() == requests.len());
    spends.cloned().ok_or_else(|| unreadable(node, "/spends"))
}

/// Posts a request and follows it until it has ended or `patience` is over.
///
/// # Errors
/// [`Failure`] if the node does not answer.
pub(super) async fn spend(node: &NodeClient, request: &Request, patience: Duration) -> Result<Timing, Failure> {
    let start = Instant::now();
    let answers = hand_in(node, &[request]).await?;
    follow(node, request.id(), answers.into_iter().next().unwrap_or_default(), (start, patience)).await
}

/// Follows a request whose first answer was `seen`.
///
/// # Errors
/// [`Failure`] if the node does not answer.
pub(super) async fn follow(node: &NodeClient, id: Id, mut seen: Value, (start, patience): (Instant, Duration)) -> Result<Timing, Failure> {
    let path = format!("/api/v1/spends/{id}");
    let mut timing = Timing { id, status: String::new(), reason: String::new(), certified_ms: 0.0, final_ms: 0.0 };
    loop {
        let passed_ms = start.elapsed().as_secs_f64() * 1e3;
        timing.status = text(&seen, "/status");
        timing.reason = reason(&seen);
        if timing.certified_ms == 0.0 && matches!(timing.status.as_str(), "certified" | "final") {
            timing.certified_ms = passed_ms;
        }
        match timing.status.as_str() {
            "final" => {
                timing.final_ms = passed_ms;
                return Ok(timing);
            }
            "refused" | "locked" | "lapsed" => return Ok(timing),
            _ if start.elapsed() > patience => return Ok(timing),
            _ => tokio::time::sleep(LOOK).await,
        }
        if let Some(record) = find(node, &path).await? {
            seen = record;
        }
    }
}

/// Why a request is refused: the node's own reason, or the first that a validator gave.
pub(super) fn reason(record: &Value) -> String {
    let first = [text(record, "/reason/text"), text(record, "/rejections/0/text")].into_iter().find(|text| !text.is_empty());
    first.unwrap_or_default()
}
