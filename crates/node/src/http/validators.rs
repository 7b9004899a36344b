//! `/api/v1/validators`: who can be elected, and `/api/v1/epoch`: who is.

use super::AppState;
use super::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use protocol::PublicKey;
use replica::{EpochRecord, ValidatorRecord};
use serde_json::{Value, json};

/// Reads a key of a path.
pub(super) fn key_in(text: &str) -> Result<PublicKey, Problem> {
    text.parse().map_err(|_| Problem::bad_request(format!("{text} is not a key: 64 lower-case hexadecimal digits")))
}

/// `GET /api/v1/validators`.
pub(super) async fn list(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    let (epoch, validators) = (present(&state).await?, state.ledger.validators().await.ok_or_else(Problem::stopped)?);
    let validators: Vec<Value> = validators.iter().map(|v| validator_json(v, epoch.epoch)).collect();
    Ok(Json(json!({ "epoch": epoch.epoch, "validators": validators })))
}

/// `GET /api/v1/validators/{key}`.
pub(super) async fn one(State(state): State<AppState>, Path(key): Path<String>) -> Result<Json<Value>, Problem> {
    let (key, epoch) = (key_in(&key)?, present(&state).await?);
    match state.ledger.validator(key).await {
        Some(validator) => Ok(Json(validator_json(&validator, epoch.epoch))),
        None => Err(Problem::not_found(format!("no validator {key} is registered: `wattle validators` lists them"))),
    }
}

/// `GET /api/v1/epoch`.
pub(super) async fn epoch(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    let present = present(&state).await?;
    let validators = state.ledger.validators().await.ok_or_else(Problem::stopped)?;
    let member = |key: &PublicKey| {
        let known = validators.iter().find(|v| v.key == *key);
        json!({ "name": known.map(|v| v.name.as_str()), "key": key.to_string() })
    };
    let parameters = &state.genesis.parameters;
    Ok(Json(json!({
        "network": state.genesis.network().to_string(),
        "subnet": state.genesis.subnet,
        "epoch": present.epoch,
        "height": present.height,
        "closing_height": present.closing_height,
        "committee": present.committee.iter().map(member).collect::<Vec<_>>(),
        "parameters": {
            "epoch_milestones": parameters.epoch_milestones,
            "committee_max": parameters.committee_max,
            "stake_min": parameters.stake_min,
            "unbonding_epochs": parameters.unbonding_epochs,
            "slash_percent": parameters.slash_percent,
            "share_per_second": parameters.share_per_second,
            "pow_difficulty": parameters.pow_difficulty,
        },
    })))
}

async fn present(state: &AppState) -> Result<EpochRecord, Problem> {
    state.ledger.epoch().await.ok_or_else(Problem::stopped)
}

fn validator_json(validator: &ValidatorRecord, epoch: u64) -> Value {
    json!({
        "name": validator.name.as_str(),
        "key": validator.key.to_string(),
        "address": validator.address.as_ref().map(protocol::Address::as_str),
        "stake": validator.stake,
        "unbonding": validator.unbonding,
        "in_committee": validator.in_committee,
        "registered": validator.registered,
        "jailed": validator.jailed_until > epoch,
        "jailed_until": validator.jailed_until,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_jail_ends_with_its_epoch() {
        let validator = ValidatorRecord {
            key: PublicKey([1; 32]),
            name: protocol::Name::new("n1").unwrap(),
            address: Some(protocol::Address::new("n1.example:7700").unwrap()),
            stake: 5,
            unbonding: 0,
            jailed_until: 7,
            registered: true,
            in_committee: false,
        };
        let value = validator_json(&validator, 6);
        assert_eq!((&value["jailed"], &value["jailed_until"], &value["address"]), (&json!(true), &json!(7), &json!("n1.example:7700")));
        assert_eq!(validator_json(&validator, 7)["jailed"], false);
        assert_eq!(key_in(&"ab".repeat(32)).unwrap(), PublicKey([0xab; 32]));
        for bad in ["", "AB", "node1"] {
            assert_eq!(key_in(bad).unwrap_err().status(), 400, "{bad}");
        }
    }
}
