//! `/api/v1/wallets`: balances, and what they have bound.

use super::AppState;
use super::problem::Problem;
use super::validators::key_in;
use axum::Json;
use axum::extract::{Path, State};
use replica::{StakeRecord, WalletRecord};
use serde_json::{Value, json};

/// `GET /api/v1/wallets/{key}`. A wallet that the ledger has not heard of has its first State and no balance.
pub(super) async fn one(State(state): State<AppState>, Path(key): Path<String>) -> Result<Json<Value>, Problem> {
    let wallet = state.ledger.wallet(key_in(&key)?).await.ok_or_else(Problem::stopped)?;
    Ok(Json(wallet_json(&wallet)))
}

/// `GET /api/v1/wallets/{key}/stakes/{validator}`: also with a validator that the wallet's own list cannot name.
pub(super) async fn stake(State(state): State<AppState>, Path((key, validator)): Path<(String, String)>) -> Result<Json<Value>, Problem> {
    let (key, validator) = (key_in(&key)?, key_in(&validator)?);
    match state.ledger.stake(key, validator).await {
        Some(stake) => Ok(Json(stake_json(&stake))),
        None => Err(Problem::not_found(format!("no validator {validator} is registered: `wattle validators` lists them"))),
    }
}

fn wallet_json(wallet: &WalletRecord) -> Value {
    json!({
        "key": wallet.key.to_string(),
        "known": wallet.known,
        "state": wallet.state.to_string(),
        "balance": wallet.balance,
        "stakes": wallet.stakes.iter().map(stake_json).collect::<Vec<_>>(),
    })
}

fn stake_json(stake: &StakeRecord) -> Value {
    let unbonding = stake.unbonding.iter().map(|(epoch, amount)| json!({ "release_epoch": epoch, "amount": amount }));
    json!({
        "validator": stake.validator.to_string(),
        "name": stake.name.as_str(),
        "staked": stake.staked,
        "unbonding": unbonding.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use protocol::{Id, Name, PublicKey};

    #[test]
    fn a_wallet_lists_what_it_has_bound() {
        let stake =
            StakeRecord { validator: PublicKey([2; 32]), name: Name::new("n2").unwrap(), staked: 10, unbonding: vec![(4, 3), (5, 1)] };
        let wallet = WalletRecord { key: PublicKey([1; 32]), known: true, state: Id([3; 32]), balance: u64::MAX, stakes: vec![stake] };
        let value = wallet_json(&wallet);
        assert_eq!((&value["balance"], &value["state"]), (&json!(u64::MAX), &json!("03".repeat(32))));
        assert_eq!(value["stakes"][0]["staked"], 10);
        assert_eq!(value["stakes"][0]["unbonding"][1], json!({ "release_epoch": 5, "amount": 1 }));
    }
}
