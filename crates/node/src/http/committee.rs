//! `/api/v1/committee`: who signs milestones now.

use super::AppState;
use super::problem::Problem;
use super::status::ledger_status;
use axum::Json;
use axum::extract::State;
use protocol::{Committee, Genesis, PublicKey, quorum};
use serde_json::{Value, json};

/// `GET /api/v1/committee`.
pub(super) async fn committee(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    let ledger = ledger_status(&state).await?;
    Ok(Json(json!({
        "epoch": ledger.epoch,
        "size": ledger.committee.len(),
        "quorum": quorum(ledger.committee.len()),
        "closing_height": state.genesis.parameters.closing_height(ledger.epoch),
        "members": members(&ledger.committee, &state.genesis),
    })))
}

/// Members with the names that receipts call them by.
pub(super) fn members(keys: &[PublicKey], genesis: &Genesis) -> Vec<Value> {
    match Committee::from_keys(keys, genesis) {
        Ok(committee) => committee.validators().iter().map(|v| json!({ "name": v.name.as_str(), "key": v.key.to_string() })).collect(),
        Err(_) => keys.iter().map(|key| json!({ "name": key.to_string(), "key": key.to_string() })).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use protocol::{Name, SecretKey, Validator};

    #[test]
    fn members_are_called_as_the_genesis_calls_them() {
        let mut keys: Vec<PublicKey> = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).public_key()).into();
        keys.sort();
        let named = Validator { key: keys[0], name: Name::new("n1").unwrap() };
        let genesis = Genesis::plain(Name::new("net").unwrap(), 0, 0, Committee::new(vec![named]).unwrap());
        let shown = members(&keys, &genesis);
        assert_eq!((&shown[0]["name"], &shown[0]["key"]), (&json!("n1"), &json!(keys[0].to_string())));
        assert_eq!(shown[1]["name"], keys[1].to_string()[..16]);
    }
}
