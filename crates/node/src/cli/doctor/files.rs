//! The files that a configuration names: whether they are there, fit together, and are kept from others.

use super::Report;
use crate::assembly;
use crate::config::Config;
use crate::fog::Pipelines;
use crate::http;
use protocol::Genesis;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Rights of group and others.
const BEYOND_OWNER: u32 = 0o077;
/// Rights of others.
const OTHERS: u32 = 0o007;

/// Looks at all of them; gives the genesis if it can be read.
pub(super) fn check(config: &Config, report: &mut Report) -> Option<Genesis> {
    let genesis = config.keeps_a_ledger().then(|| ledger(config, report)).flatten();
    site(config, report);
    https(config, report);
    secrets(config, report);
    genesis
}

/// Genesis, key, and the network that the data belong to.
fn ledger(config: &Config, report: &mut Report) -> Option<Genesis> {
    let todo = "put the file back, or name another in the configuration";
    let key = match assembly::read_key(&config.key_file()) {
        Ok(key) => {
            report.ok("key", format!("{} is of {}", config.key_file().display(), key.public_key()));
            Some(key)
        }
        Err(why) => {
            report.bad("key", format!("{why:#}"), todo);
            None
        }
    };
    let genesis = match assembly::read_genesis(&config.genesis_file()) {
        Ok(genesis) => genesis,
        Err(why) => {
            report.bad("genesis", format!("{why:#}"), todo);
            return None;
        }
    };
    let network = genesis.network().to_string();
    match std::fs::read_to_string(config.data_dir().join("network")) {
        Ok(text) if text.trim() != network => {
            let found =
                format!("the data in {} belong to network {}, the genesis is of {network}", config.data_dir().display(), text.trim());
            report.bad("genesis", found, "use the genesis that these data were made with, or another node.data_dir");
        }
        _ => report.ok("genesis", format!("{} is of network {network}", config.genesis_file().display())),
    }
    if let Some(key) = &key {
        match assembly::check_committee(config, &genesis, key) {
            Ok(()) => report.ok("committee", "this node is a member, or knows some"),
            Err(why) => report.bad("committee", format!("{why:#}"), "change the configuration as it says"),
        }
    }
    Some(genesis)
}

/// What the site's broker, gateway and fog processor read.
fn site(config: &Config, report: &mut Report) {
    let todo = "change the file it names; what runs keeps the old one until then";
    if let (Some(broker), Some(site)) = (&config.broker, config.site_name()) {
        match broker.security(&config.base).try_files(&site) {
            Ok(()) => report.ok("broker files", "users, certificates and keys can be used"),
            Err(why) => report.bad("broker files", why.to_string(), todo),
        }
    }
    if let Some(file) = config.pipelines_file() {
        match Pipelines::load(Some(&file)) {
            Ok(_) => report.ok("pipelines", format!("{} can be used", file.display())),
            Err(why) => report.bad("pipelines", why.to_string(), todo),
        }
    }
    if let Err(why) = config.gateway(Some("mqtt://127.0.0.1:1883")) {
        report.bad("MQTT-SN files", format!("{why:#}"), todo);
    }
}

/// Certificate and key of the HTTP interface.
fn https(config: &Config, report: &mut Report) {
    if let Some(tls) = config.http_tls() {
        match http::try_tls(&tls) {
            Ok(()) => report.ok("HTTPS files", format!("{} and its key can be used", tls.certificate.display())),
            Err(why) => report.bad("HTTPS files", why.to_string(), "change the file it names"),
        }
    }
}

/// Whether others can read what only the node may know.
fn secrets(config: &Config, report: &mut Report) {
    if config.keeps_a_ledger()
        && let Some(mode) = mode(&config.key_file())
    {
        let found = format!("{} has mode {mode:o}", config.key_file().display());
        match mode & BEYOND_OWNER {
            0 => report.ok("key mode", found),
            _ => report.bad(
                "key mode",
                format!("{found}: others may use this node's key"),
                "chmod 600 it; if others could have read it, register a new key",
            ),
        }
    }
    for file in named(config) {
        if let Some(mode) = mode(&file).filter(|mode| mode & OTHERS != 0) {
            let found = format!("{} has mode {mode:o}: everybody on this machine may read it", file.display());
            report.warn("secret mode", found, "chmod 640 it, or 600");
        }
    }
}

/// Files with passwords, hashes of them, and private keys.
fn named(config: &Config) -> Vec<PathBuf> {
    let mut files: Vec<Option<&PathBuf>> = vec![config.http.tls.as_ref().map(|tls| &tls.key)];
    if let Some(broker) = &config.broker {
        files.extend([broker.key.as_ref(), broker.access.users.as_ref(), broker.login.password_file.as_ref(), broker.login.key.as_ref()]);
    }
    if let Some(tier) = &config.tier {
        files.extend([tier.password_file.as_ref(), tier.key.as_ref()]);
    }
    if let Some(mqttsn) = &config.mqttsn {
        files.extend([mqttsn.password_file.as_ref(), mqttsn.key.as_ref(), mqttsn.psk_file.as_ref()]);
    }
    files.into_iter().flatten().map(|file| config.base.join(file)).collect()
}

fn mode(file: &Path) -> Option<u32> {
    std::fs::metadata(file).ok().map(|metadata| metadata.permissions().mode() & 0o777)
}
