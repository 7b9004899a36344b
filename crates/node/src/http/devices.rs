//! `/api/v1/devices`, `/api/v1/sites` and `/api/v1/device-keys`: the registry, as this node's ledger has it. Proofs are
//! under `/api/v1/state`.

use super::AppState;
use super::problem::Problem;
use super::validators::key_in;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use ledger::Site;
use protocol::{DeviceName, DeviceNameError, Name, PublicKey};
use replica::{DEVICES_AT_ONCE_MAX, DeviceRecord};
use serde::Deserialize;
use serde_json::{Value, json};

/// Devices of a list, unless asked otherwise.
const LIMIT_DEFAULT: u32 = 100;

/// What may stand after the `?`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    site: Option<String>,
    cursor: Option<u32>,
    limit: Option<u32>,
}

/// Reads a site's name.
pub(super) fn site_in(text: &str) -> Result<Name, Problem> {
    Name::site(text).map_err(|why| Problem::bad_request(format!("{text:?} is no site's name: {why}")))
}

/// Reads a device's name from the rest of a path, `site/ID`. Slashes of the site may be escaped or not.
pub(super) fn device_in(text: &str) -> Result<DeviceName, Problem> {
    text.parse().map_err(|why: DeviceNameError| Problem::bad_request(format!("{text:?} is no device: {why}")))
}

/// `GET /api/v1/devices?site=S&cursor=N&limit=L`: in the order of their registration, of this node's own site unless asked
/// otherwise. `next` is where a further question goes on.
pub(super) async fn list(State(state): State<AppState>, query: Result<Query<Wanted>, QueryRejection>) -> Result<Json<Value>, Problem> {
    let Query(wanted) = query.map_err(|e| Problem::bad_request(format!("the query cannot be read: {e}")))?;
    let name = match &wanted.site {
        Some(text) => site_in(text)?,
        None => {
            let own = state.site.as_ref().map(|site| site.name().clone());
            own.ok_or_else(|| Problem::bad_request("this node serves no site: say which one by ?site=NAME"))?
        }
    };
    let (from, limit) = (wanted.cursor.unwrap_or(0), wanted.limit.unwrap_or(LIMIT_DEFAULT));
    if limit == 0 || limit > DEVICES_AT_ONCE_MAX {
        return Err(Problem::bad_request(format!("limit={limit} is not a number from 1 to {DEVICES_AT_ONCE_MAX}")));
    }
    let site = state.ledger.site(name.clone()).await;
    let devices = state.ledger.devices(name.clone(), from, limit).await.ok_or_else(Problem::stopped)?;
    let end = from.saturating_add(limit);
    let next = site.as_ref().filter(|site| end < site.devices).map(|_| end.to_string());
    let devices: Vec<Value> = devices.iter().map(device_json).collect();
    Ok(Json(json!({ "site": name.as_str(), "owner": site.map(|s| s.owner.to_string()), "devices": devices, "next": next })))
}

/// `GET /api/v1/devices/{site}/{device}`.
pub(super) async fn one(State(state): State<AppState>, Path(device): Path<String>) -> Result<Json<Value>, Problem> {
    let record = registered(&state, device_in(&device)?).await?;
    Ok(Json(device_json(&record)))
}

/// A device, or the problem that it is not registered.
pub(super) async fn registered(state: &AppState, name: DeviceName) -> Result<DeviceRecord, Problem> {
    let missing = format!("the device {name} is not registered: `wattle device register` enters it");
    state.ledger.device(name).await.ok_or_else(|| Problem::not_found(missing))
}

/// `GET /api/v1/sites/{site}`.
pub(super) async fn site(State(state): State<AppState>, Path(site): Path<String>) -> Result<Json<Value>, Problem> {
    let name = site_in(&site)?;
    match state.ledger.site(name.clone()).await {
        Some(site) => Ok(Json(site_json(&name, &site))),
        None => Err(Problem::not_found(format!("nobody has the site {name}: whoever registers a device of it first will"))),
    }
}

/// `GET /api/v1/device-keys/{key}`.
pub(super) async fn key(State(state): State<AppState>, Path(key): Path<String>) -> Result<Json<Value>, Problem> {
    let key: PublicKey = key_in(&key)?;
    let known = state.ledger.device_key(key).await;
    let known = known.ok_or_else(|| Problem::not_found(format!("no device ever had the key {key}")))?;
    Ok(Json(json!({ "key": key.to_string(), "device": known.device.to_string(), "from": known.from, "until": known.until })))
}

fn site_json(name: &Name, site: &Site) -> Value {
    json!({
        "site": name.as_str(),
        "owner": site.owner.to_string(),
        "gateways": site.gateways.iter().map(PublicKey::to_string).collect::<Vec<_>>(),
        "devices": site.devices,
        "changes": site.changes,
    })
}

/// A device; times are heights of milestones.
fn device_json(record: &DeviceRecord) -> Value {
    let mut shown = crate::values::device_json(&record.device);
    if let Value::Object(members) = &mut shown {
        members.insert("device".to_owned(), record.name.to_string().into());
    }
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ledger::Device;
    use protocol::Role;

    #[test]
    fn a_device_is_shown_with_its_state_and_its_key() {
        let device = Device {
            owner: PublicKey([1; 32]),
            role: Role::Signer,
            key: Some(PublicKey([2; 32])),
            key_epoch: 2,
            key_since: 9,
            revoked: false,
            thing: None,
            registered: 3,
            changed: 9,
        };
        let value = device_json(&DeviceRecord { name: "z1/m1".parse().unwrap(), device });
        assert_eq!((&value["device"], &value["state"], &value["role"]), (&json!("z1/m1"), &json!("active"), &json!(2)));
        assert_eq!((&value["key"], &value["key_epoch"], &value["thing"]), (&json!("02".repeat(32)), &json!(2), &Value::Null));
    }

    #[test]
    fn names_of_paths_are_checked() {
        for name in ["z1/m1", "agg1/loc1/m1"] {
            assert_eq!(device_in(name).unwrap().to_string(), name);
        }
        for bad in ["", "m1", "/m1", "z1/", "z//m1", "z1/m+", "$x/m1", "a/b/c/d/e/m1"] {
            assert_eq!(device_in(bad).unwrap_err().status(), 400, "{bad}");
        }
        assert_eq!(site_in("agg1/loc1").unwrap().as_str(), "agg1/loc1");
        let site = Site { owner: PublicKey([1; 32]), gateways: vec![PublicKey([2; 32])], devices: 7, changes: 9 };
        let value = site_json(&site_in("z1").unwrap(), &site);
        assert_eq!((&value["devices"], &value["gateways"][0]), (&json!(7), &json!("02".repeat(32))));
    }
}
