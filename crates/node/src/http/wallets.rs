//! `/api/v1/wallets`: balances, and what they have bound.

use super::AppState;
use super::problem::Problem;
use super::validators::key_in;
use axum::Json;
use axum::extract::{Path, State};
use replica::{PurseRecord, StakeRecord, WalletRecord};
use serde_json::{Value, json};

/// `GET /api/v1/wallets/{key}`. A wallet that the ledger has not heard of has its first State and no balance.
pub(super) async fn one(State(state): State<AppState>, Path(key): Path<String>) -> Result<Json<Value>, Problem> {
    let key = key_in(&key)?;
    let wallet = state.ledger.wallet(key).await.ok_or_else(Problem::stopped)?;
    let purse = state.ledger.purse(key).await.ok_or_else(Problem::stopped)?;
    Ok(Json(wallet_json(&wallet, &purse)))
}

/// `GET /api/v1/wallets/{key}/stakes/{validator}`: also with a validator that the wallet's own list cannot name.
pub(super) async fn stake(State(state): State<AppState>, Path((key, validator)): Path<(String, String)>) -> Result<Json<Value>, Problem> {
    let (key, validator) = (key_in(&key)?, key_in(&validator)?);
    match state.ledger.stake(key, validator).await {
        Some(stake) => Ok(Json(stake_json(&stake))),
        None => Err(Problem::not_found(format!("no validator {validator} is registered: `wattle validators` lists them"))),
    }
}

/// The account in DCoin, the purse in sub-units.
fn wallet_json(wallet: &WalletRecord, purse: &PurseRecord) -> Value {
    json!({
        "key": wallet.key.to_string(),
        "known": wallet.known,
        "state": wallet.state.to_string(),
        "balance": wallet.balance,
        "stakes": wallet.stakes.iter().map(stake_json).collect::<Vec<_>>(),
        "purse": {
            "epoch": purse.epoch,
            "number": purse.number,
            "state": purse.state.to_string(),
            "balance": purse.balance,
            "next_number": purse.next_number,
            "next_state": purse.next_state.to_string(),
            "available": purse.available,
        },
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
        let purse = PurseRecord {
            wallet: PublicKey([1; 32]),
            epoch: 3,
            number: 7,
            state: Id([4; 32]),
            balance: 30,
            next_number: 9,
            next_state: Id([5; 32]),
            available: 10,
        };
        let value = wallet_json(&wallet, &purse);
        assert_eq!((&value["purse"]["next_number"], &value["purse"]["available"]), (&json!(9), &json!(10)));
        assert_eq!((&value["purse"]["epoch"], &value["purse"]["next_state"]), (&json!(3), &json!("05".repeat(32))));
        assert_eq!((&value["balance"], &value["state"]), (&json!(u64::MAX), &json!("03".repeat(32))));
        assert_eq!(value["stakes"][0]["staked"], 10);
        assert_eq!(value["stakes"][0]["unbonding"][1], json!({ "release_epoch": 5, "amount": 1 }));
    }
}
