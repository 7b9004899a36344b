//! `POST /api/v1/orders`: what wallets order, carried into the ledger by this node.
//!
//! The orders are signed by their wallets, so nobody need trust this node. It checks what can be checked without the
//! state; whether an order has an effect is decided when the message is confirmed (`refused` of `/api/v1/messages/{id}`).

use super::AppState;
use super::problem::Problem;
use crate::hex::unhex;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use protocol::limits::{ORDER_BYTES_MAX, ORDERS_MAX};
use protocol::{Body, Decode as _, NetworkId, Order};
use replica::IssueError;
use serde::Deserialize;
use serde_json::{Value, json};

/// Bytes of a request: every order in hexadecimal, and what stands around it.
const BODY_BYTES_MAX: usize = ORDERS_MAX * (2 * ORDER_BYTES_MAX + 64);

/// The request as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Signed orders, each in hexadecimal.
    orders: Vec<String>,
}

/// `POST /api/v1/orders`: `{"orders": ["hexadecimal", …]}`, or the hexadecimal alone, one order a line.
pub(super) async fn post(State(state): State<AppState>, body: Result<Bytes, BytesRejection>) -> Result<(StatusCode, Json<Value>), Problem> {
    let body = body.map_err(|e| Problem::body(&e))?;
    let orders = orders_in(&body, &state.genesis.network())?;
    let ids: Vec<String> = orders.iter().map(|order| order.id().to_string()).collect();
    let message = state.ledger.issue(Body::Orders(orders), None).await.map_err(|error| not_issued(&error, "orders"))?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "message": message.to_string(), "orders": ids }))))
}

/// Reads and checks the orders of a request.
fn orders_in(body: &[u8], network: &NetworkId) -> Result<Vec<Order>, Problem> {
    if body.len() > BODY_BYTES_MAX {
        return Err(Problem::bad_request(format!("the body has {} bytes, the limit is {BODY_BYTES_MAX}", body.len())));
    }
    let text = std::str::from_utf8(body).map_err(|_| Problem::bad_request("the body is not text: give orders in hexadecimal"))?;
    let texts: Vec<String> = match text.trim_start().starts_with('{') {
        true => {
            let request: Request = serde_json::from_str(text)
                .map_err(|e| Problem::bad_request(format!("the body is not of the form {{\"orders\": [\"hexadecimal\", …]}}: {e}")))?;
            request.orders
        }
        false => text.split_whitespace().map(str::to_owned).collect(),
    };
    if texts.is_empty() || texts.len() > ORDERS_MAX {
        return Err(Problem::bad_request(format!("there are {} orders, allowed are 1 to {ORDERS_MAX}", texts.len())));
    }
    let mut orders = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let bytes = unhex(text).ok_or_else(|| Problem::bad_request(format!("order {index} is not lower-case hexadecimal")))?;
        let order = Order::decode(&bytes).map_err(|why| Problem::bad_request(format!("order {index} cannot be read: {why}")))?;
        if !order.verify(network) {
            return Err(Problem::unprocessable(format!("the signature of order {index} is not its wallet's for the network {network}")));
        }
        orders.push(order);
    }
    Ok(orders)
}

/// Why `what` was not put on the ledger.
pub(super) fn not_issued(error: &IssueError, what: &str) -> Problem {
    match error {
        IssueError::Backlog(_) | IssueError::Rate { .. } => Problem::busy(error.to_string()),
        IssueError::Barred(_) => Problem::unprocessable(format!("{error}; meanwhile post the {what} at another node")),
        IssueError::Stranger(_) => Problem::unprocessable(format!("{error}; meanwhile post the {what} at a node that is registered")),
        IssueError::Invalid(_) | IssueError::Payload => Problem::unprocessable(error.to_string()),
        IssueError::Stopped => Problem::stopped(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use protocol::{Action, Encode as _, Id, PublicKey, SecretKey};

    const NETWORK: NetworkId = NetworkId([7; 32]);

    fn order(network: &NetworkId) -> (Order, String) {
        let order = Order::sign(network, &SecretKey::from_seed(&[1; 32]), Id([2; 32]), Action::Retire);
        let text = order.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        (order, text)
    }

    #[test]
    fn orders_are_read_as_json_and_as_lines() {
        let (order, text) = order(&NETWORK);
        let json = json!({ "orders": [text, text] }).to_string();
        assert_eq!(orders_in(json.as_bytes(), &NETWORK).unwrap(), [order.clone(), order.clone()]);
        assert_eq!(orders_in(format!("{text}\n{text}\n").as_bytes(), &NETWORK).unwrap(), [order.clone(), order]);
    }

    #[test]
    fn what_is_no_order_of_this_network_is_refused() {
        let (_, text) = order(&NETWORK);
        let status = |body: &str| orders_in(body.as_bytes(), &NETWORK).unwrap_err().status();
        let many = vec![text.as_str(); ORDERS_MAX + 1].join("\n");
        let unknown = json!({ "orders": [text], "more": 1 }).to_string();
        let (upper, short, long) = (text.to_uppercase(), text.replacen("01", "", 1), format!("{text}00"));
        for bad in ["", " ", "{}", "{\"orders\": []}", "zz", "0", &upper, &short, &long, &many, &unknown] {
            assert_eq!(status(bad), 400, "{bad}");
        }
        let (_, foreign) = order(&NetworkId([8; 32]));
        assert_eq!(status(&foreign), 422);
        assert_eq!(orders_in(&[0xff], &NETWORK).unwrap_err().status(), 400);
        assert_eq!(orders_in(&vec![b'0'; BODY_BYTES_MAX + 1], &NETWORK).unwrap_err().status(), 400);
    }

    #[test]
    fn who_cannot_issue_says_what_to_do() {
        let status = |error| not_issued(&error, "orders").status();
        assert_eq!(status(IssueError::Rate { retry_ms: 7 }), 429);
        assert_eq!(status(IssueError::Stranger(PublicKey([1; 32]))), 422);
        assert_eq!(status(IssueError::Stopped), 503);
    }
}
