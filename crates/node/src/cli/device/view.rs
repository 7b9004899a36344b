//! `wattle device show` and `wattle device list`.

use crate::cli::client::{NodeClient, escape};
use crate::cli::output::{short, table, thousands};
use crate::cli::watch::{Look, View};
use crate::cli::wire::{Device, Devices};
use crate::cli::{Failure, quantity};
use protocol::{DeviceName, Name, Role};
use serde_json::{Value, json};

/// `wattle device show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The node is believed. `wattle light device` checks a proof instead.

Examples:
  wattle device show z1/m1
  wattle device show z1/m1 --node http://10.0.0.7:8080 --json")]
pub(super) struct Show {
    /// The device: site/ID
    #[arg(value_parser = quantity::device)]
    device: DeviceName,
    #[command(flatten)]
    look: Look,
}

/// `wattle device list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle device list
  wattle device list --site z1 --json")]
pub(super) struct List {
    /// The site; the node's own if left out
    #[arg(long, value_parser = quantity::site)]
    site: Option<Name>,
    #[command(flatten)]
    look: Look,
}

/// Shows a device.
///
/// # Errors
/// [`Failure`] if the node cannot be asked, or the device is not registered.
pub(super) fn show(arguments: &Show) -> Result<(), Failure> {
    let path = format!("/api/v1/devices/{}", escape(&arguments.device.to_string()));
    arguments.look.at(&path, |device: &Device| table(&["device", &device.device], rows(device)))
}

/// Lists devices.
///
/// # Errors
/// [`Failure`] if the node cannot be asked.
pub(super) fn list(arguments: &List) -> Result<(), Failure> {
    arguments.look.with(|node| look(node, arguments))
}

fn look(node: &NodeClient, arguments: &List) -> Result<View, Failure> {
    let site = arguments.site.as_ref().map(|site| format!("&site={}", escape(site.as_str()))).unwrap_or_default();
    let (mut from, mut values, mut devices) = (Some(0_u32), Vec::new(), Vec::new());
    while let Some(at) = from {
        let path = format!("/api/v1/devices?cursor={at}{site}");
        let page: Devices = match arguments.look.json {
            true => {
                let answer: Value = node.json(&path)?;
                values.extend(answer.get("devices").and_then(Value::as_array).cloned().unwrap_or_default());
                let next = answer.get("next").and_then(Value::as_str).map(str::to_owned);
                Devices { devices: Vec::new(), next }
            }
            false => node.json(&path)?,
        };
        devices.extend(page.devices);
        // a node that goes back would be asked for ever
        from = page.next.and_then(|next| next.parse().ok()).filter(|next| *next > at);
    }
    if arguments.look.json {
        return Ok(View::Json(json!({ "devices": values })));
    }
    let row = |device: &Device| {
        let key = device.key.as_deref().map(short).unwrap_or_default();
        vec![device.device.clone(), role(device), key, device.state.clone(), thousands(device.changed)]
    };
    Ok(View::text(table(&["device", "role", "key", "state", "changed at"], devices.iter().map(row).collect())))
}

fn role(device: &Device) -> String {
    let name = Role::of(device.role).map_or("unknown", Role::as_str);
    format!("{} {name}", device.role)
}

fn rows(device: &Device) -> Vec<Vec<String>> {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![row("state", device.state.clone()), row("role", role(device)), row("owner", device.owner.clone())];
    if let Some(key) = &device.key {
        rows.push(row("key", key.clone()));
        rows.push(row("key number", format!("{}, since milestone {}", device.key_epoch, thousands(device.key_since))));
    }
    if let Some(hash) = &device.thing {
        rows.push(row("Thing Description", hash.clone()));
    }
    let times = format!("milestone {}, changed at {}", thousands(device.registered), thousands(device.changed));
    rows.push(row("registered", times));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_shown_row_by_row() {
        let device = Device {
            device: "z1/m1".into(),
            state: "revoked".into(),
            owner: "ab".repeat(32),
            role: 2,
            key: Some("cd".repeat(32)),
            key_epoch: 3,
            key_since: 1_200,
            thing: Some("ef".repeat(32)),
            registered: 7,
            changed: 1_300,
        };
        let text = rows(&device).concat().join("|");
        for part in ["revoked", "2 signer", "cdcd", "3, since milestone 1 200", "efef", "milestone 7, changed at 1 300"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        let plain = Device { key: None, thing: None, role: 1, ..device };
        assert_eq!(rows(&plain).len(), 4);
    }
}
