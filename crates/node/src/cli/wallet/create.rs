//! `wattle wallet create` and `list`: the wallets of this user.

use super::local;
use crate::cli::amount::coins;
use crate::cli::client::NodeClient;
use crate::cli::output::{note, print, print_json, short, table, thousands};
use crate::cli::spending::wire::Holder;
use crate::cli::watch::{View, Watch};
use crate::cli::{Failure, keys};
use serde_json::json;
use std::path::PathBuf;

/// `wattle wallet create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the wallet's ID: its public key, and where others send to. The key file is encrypted under a passphrase. Nobody can
restore it: keep a copy of the file and of the passphrase.

Examples:
  wattle wallet create alice
  wattle wallet create shop --dir /srv/wallets --passphrase-file shop.pass
  wattle wallet create robot --plain          for a machine that nobody types a passphrase at")]
pub(super) struct Create {
    /// What you call it; the first digits of its ID if nothing is said. Nobody else learns this name
    name: Option<String>,
    /// The directory of wallets, if not the user's data directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Do not encrypt the key: whoever reads the file can spend
    #[arg(long, conflicts_with = "passphrase_file")]
    plain: bool,
    /// File whose first line is the passphrase; else it is WATTLE_PASSPHRASE in the environment, or asked for
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `wattle wallet list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle wallet list
  wattle wallet list --node http://10.0.0.7:8080 --json          with what they have")]
pub(super) struct List {
    /// The directory of wallets, if not the user's data directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Ask this node what they have; none is asked otherwise
    #[arg(long, value_name = "URL")]
    node: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    watch: Watch,
}

/// Makes a wallet.
///
/// # Errors
/// [`Failure`] if there is one of this name, or it cannot be written.
pub(super) fn create(arguments: &Create) -> Result<(), Failure> {
    let key = keys::draw()?;
    let id = key.public_key().to_string();
    let name = arguments.name.clone().unwrap_or_else(|| short(&id));
    let dir = arguments.dir.as_deref();
    let path = local::file(dir, &name)?;
    if path.exists() {
        // said before a passphrase is asked for
        let error = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Failure::file(&path, &error, "choose another name"));
    }
    let passphrase = match arguments.plain {
        true => None,
        false => Some(keys::new_passphrase(arguments.passphrase_file.as_deref(), &name)?),
    };
    local::make(&local::directory(dir)?)?;
    keys::create(&path, &key, passphrase.as_deref().map(String::as_str))?;
    note(&format!("the key of {name} is in {}", path.display()));
    match arguments.json {
        true => print_json(&json!({ "name": name, "wallet": id, "file": path.display().to_string(), "encrypted": !arguments.plain })),
        false => print(&id),
    }
}

/// Lists the wallets.
///
/// # Errors
/// [`Failure`] if a file cannot be read, or the node not asked.
pub(super) fn list(arguments: &List) -> Result<(), Failure> {
    arguments.watch.show(|| look(arguments))
}

fn look(arguments: &List) -> Result<View, Failure> {
    let node = arguments.node.as_deref().map(NodeClient::new).transpose()?;
    let mut rows = Vec::new();
    for (name, key) in local::all(arguments.dir.as_deref())? {
        let holder = node.as_ref().map(|node| node.json::<Holder>(&format!("/api/v1/wallets/{key}"))).transpose()?;
        rows.push((name, key, holder));
    }
    if arguments.json {
        let rows = rows.iter().map(|(name, key, holder)| match holder {
            Some(Holder { balance, purse }) => {
                json!({ "name": name, "wallet": key.to_string(), "balance": balance, "purse": purse.balance, "available": purse.available })
            }
            None => json!({ "name": name, "wallet": key.to_string() }),
        });
        return Ok(View::Json(rows.collect()));
    }
    let has = |holder: &Option<Holder>| match holder {
        Some(Holder { balance, purse }) => vec![format!("{} DCoin", thousands(*balance)), coins(purse.available)],
        None => Vec::new(),
    };
    let cells = rows.iter().map(|(name, key, holder)| [vec![name.clone(), key.to_string()], has(holder)].concat()).collect();
    Ok(View::text(match node {
        Some(_) => table(&["wallet", "ID", "account", "purse"], cells),
        None => table(&["wallet", "ID"], cells),
    }))
}
