//! `wattle token`: who may use a node's HTTP interface. It changes the node's file of tokens; a running node notices.

use super::output::{note, print, print_json, table, time_ms};
use super::{Exit, Failure};
use crate::clock::now_us;
use crate::config::Config;
use crate::tokens::{Scope, Token, Tokens, TokensError};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// The longest that a token may last, unless it never expires: a hundred years.
const LASTS_DAYS_MAX: u64 = 36_525;

/// `wattle token`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A token is printed once, when it is made: keep it in a file of mode 600. The node keeps a hash of it only.
Scopes: read (look), act (also hand in what wallets signed), admin (also tokens and settings).

Examples:
  wattle token create --name grafana --scopes read --config net/node1/wattle.toml > grafana.token
  wattle token create --name till --scopes act --expires 30d
  wattle --token-file grafana.token status --node https://node.example:8080
  wattle token list
  wattle token revoke 1f0c22aa")]
pub(crate) struct Arguments {
    /// What to do
    #[command(subcommand)]
    what: What,
    /// The node's configuration
    #[arg(long, value_name = "FILE", default_value = "wattle.toml", global = true)]
    config: PathBuf,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a token and print it
    Create(Create),
    /// The tokens there are
    List(List),
    /// Make a token worthless
    Revoke(Revoke),
}

/// `wattle token create`.
#[derive(Debug, clap::Args)]
struct Create {
    /// What to call it
    #[arg(long)]
    name: String,
    /// What it allows: read, act, admin
    #[arg(long, value_delimiter = ',', default_value = "read", value_parser = scope)]
    scopes: Vec<Scope>,
    /// How long it counts: 12h, 90d, or never
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = lasts)]
    expires: Lasts,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `wattle token list`.
#[derive(Debug, clap::Args)]
struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `wattle token revoke`.
#[derive(Debug, clap::Args)]
struct Revoke {
    /// Its number (`wattle token list`)
    id: String,
}

/// How long a token counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasts {
    For(Duration),
    Ever,
}

/// Reads `read`, `act` or `admin`.
fn scope(text: &str) -> Result<Scope, String> {
    text.parse()
}

/// Reads `90d`, `12h`, `30m` or `never`.
fn lasts(text: &str) -> Result<Lasts, String> {
    if text == "never" {
        return Ok(Lasts::Ever);
    }
    let wrong = || format!("a time from 1m to {LASTS_DAYS_MAX}d is needed, such as 12h or 90d; or never");
    let seconds = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let unit = seconds.into_iter().find_map(|(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds)));
    let (number, seconds) = unit.ok_or_else(wrong)?;
    let total = number.parse::<u64>().ok().and_then(|n| n.checked_mul(seconds));
    let total = total.filter(|s| (1..=LASTS_DAYS_MAX * 86_400).contains(s)).ok_or_else(wrong)?;
    Ok(Lasts::For(Duration::from_secs(total)))
}

/// Reads, changes and writes the file.
///
/// # Errors
/// [`Failure`]: usage (2) if configuration or file cannot be used; refused (1) if there is no such token.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = Config::load(&arguments.config).map_err(|e| Failure::said(Exit::Usage, e))?;
    let dir = config.data_dir();
    std::fs::create_dir_all(&dir).map_err(|e| Failure::file(&dir, &e, "node.data_dir must be writable"))?;
    let tokens = Tokens::new(config.tokens_file());
    let now_ms = now_us() / 1_000;
    match &arguments.what {
        What::Create(create) => {
            let expires_ms = match create.expires {
                Lasts::Ever => None,
                Lasts::For(time) => Some(now_ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))),
            };
            let (text, token) = tokens.create(&create.name, &create.scopes, now_ms, expires_ms).map_err(|e| failed(&e))?;
            let end = token.expires_ms.map_or_else(|| "never expires".to_owned(), |ms| format!("expires {}", time_ms(ms)));
            note(&format!("token {} ({}) {end}; it is shown this once", token.id, token.name));
            match create.json {
                true => print_json(
                    &json!({ "token": text, "id": token.id, "name": token.name, "scopes": token.scopes, "expires_ms": expires_ms }),
                ),
                false => print(&text),
            }
        }
        What::List(List { json }) => {
            let all = tokens.list().map_err(|e| failed(&e))?;
            if *json {
                let shown = |t: &Token| json!({ "id": t.id, "name": t.name, "scopes": t.scopes, "created_ms": t.created_ms, "expires_ms": t.expires_ms });
                return print_json(&all.iter().map(shown).collect::<Vec<_>>());
            }
            print(&table(&["token", "name", "scopes", "made", "expires"], all.iter().map(|token| row(token, now_ms)).collect()))
        }
        What::Revoke(Revoke { id }) => {
            let token = tokens.revoke(id).map_err(|e| failed(&e))?;
            note(&format!("token {id} ({}) is worth nothing any more", token.name));
            Ok(())
        }
    }
}

fn row(token: &Token, now_ms: u64) -> Vec<String> {
    let scopes = token.scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let expires = match token.expires_ms {
        None => "never".to_owned(),
        Some(_) if token.expired(now_ms) => "has expired".to_owned(),
        Some(ms) => time_ms(ms),
    };
    vec![token.id.clone(), token.name.clone(), scopes, time_ms(token.created_ms), expires]
}

fn failed(error: &TokensError) -> Failure {
    let exit = if matches!(error, TokensError::Unknown(_)) { Exit::Refused } else { Exit::Usage };
    Failure::said(exit, error)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_token_counts() {
        assert_eq!(lasts("90d"), Ok(Lasts::For(Duration::from_secs(7_776_000))));
        assert_eq!(lasts("12h"), Ok(Lasts::For(Duration::from_secs(43_200))));
        assert_eq!(lasts("never"), Ok(Lasts::Ever));
        for bad in ["", "d", "0d", "-1d", "90", "36526d", "99999999999999999999d", "1.5d", "90 d"] {
            assert!(lasts(bad).is_err(), "{bad}");
        }
    }
}
