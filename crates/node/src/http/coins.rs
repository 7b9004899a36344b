//! `/api/v1/parameters` and `/api/v1/coins`: what the network agreed on about wallets, and how many coins there are.

use super::AppState;
use super::problem::Problem;
use axum::Json;
use axum::extract::State;
use ledger::Coins;
use protocol::Genesis;
use protocol::certificate::needed;
use serde_json::{Value, json};

/// `GET /api/v1/parameters`. The supply and both caps are in DCoin, as the genesis has them; all else about amounts in sub-units.
pub(super) async fn parameters(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    let epoch = state.ledger.epoch().await.ok_or_else(Problem::stopped)?;
    Ok(Json(parameters_json(&state.genesis, epoch.committee.len())))
}

/// `GET /api/v1/coins`: after the last milestone executed. Funded and redeemed are in DCoin, minted and circulating in sub-units.
pub(super) async fn coins(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    state.ledger.coins().await.map(|coins| Json(coins_json(&coins))).ok_or_else(Problem::stopped)
}

fn parameters_json(genesis: &Genesis, members: usize) -> Value {
    let wallets = &genesis.wallet_parameters;
    json!({
        "threshold_percent": wallets.threshold_percent,
        "needed": needed(members, wallets.threshold_percent),
        "members": members,
        "difficulty": wallets.difficulty,
        "shares_per_coin": wallets.shares_per_coin,
        "share_units": wallets.share_units(),
        "vote_reward": wallets.vote_reward,
        "share_cap": wallets.share_cap,
        "reward_cap": wallets.reward_cap,
        "supply": genesis.supply(),
        "epoch_milestones": genesis.parameters.epoch_milestones,
    })
}

fn coins_json(coins: &Coins) -> Value {
    json!({
        "funded": coins.funded,
        "redeemed": coins.redeemed,
        "minted": coins.minted,
        "circulating": coins.circulating,
        "registered": coins.registered,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use protocol::{Committee, Name, SecretKey, Validator};

    #[test]
    fn the_votes_needed_are_those_of_the_present_committee() {
        let member = Validator { key: SecretKey::from_seed(&[3; 32]).public_key(), name: Name::new("n1").unwrap() };
        let genesis = Genesis::plain(Name::new("net").unwrap(), 0, 0, Committee::new(vec![member]).unwrap());
        let value = parameters_json(&genesis, 4);
        assert_eq!((&value["needed"], &value["members"], &value["share_units"]), (&json!(3), &json!(4), &json!(200_000)));
        assert_eq!(value["supply"], json!(genesis.supply().unwrap()));
        let coins = Coins { funded: 3, redeemed: 1, minted: 5, circulating: 2_000_005, registered: 9 };
        assert_eq!(coins_json(&coins)["circulating"], 2_000_005);
    }
}
