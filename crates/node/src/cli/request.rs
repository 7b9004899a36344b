//! `wattle request`: what wallets spend, and the certificates of it.

mod certificate;

use super::amount::coins;
use super::client::{DEFAULT_NODE, NodeClient, escape};
use super::ordering::read;
use super::output::{print, print_json, short, table};
use super::spending::carry;
use super::spending::wire::{Operation, Spend, Spends};
use super::wallet::local;
use super::watch::{Look, View, Watch};
use super::{Exit, Failure, verify};
use crate::hex::unhex;
use protocol::limits::REQUESTS_MAX;
use protocol::{Decode as _, Id, Request};
use std::path::PathBuf;

/// `wattle request`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A request is what a wallet signs to pay, to buy or to redeem. `wattle wallet send` and `wattle service buy` make one.
(`wattle requests` is something else: what devices ask of devices.)

Examples:
  wattle request list --wallet alice
  wattle request show 9b1e…64 digits…
  wattle request certificate 9b1e…64 digits… --out c.json
  wattle request send signed.hex")]
pub(crate) struct Arguments {
    /// What to do
    #[command(subcommand)]
    what: What,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// How far a request is, and what validators have against it
    Show(Show),
    /// The newest requests
    List(List),
    /// The certificate of a request, as a file that anybody can check offline
    Certificate(certificate::Arguments),
    /// Give requests to a node that were signed elsewhere
    Send(Send),
}

/// `wattle request show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle request show 9b1e…64 digits…
  wattle request show 9b1e…64 digits… --node http://10.0.0.7:8080 --json")]
struct Show {
    /// The request
    id: Id,
    /// The node to ask; what validators have against a request is told to the node that carries it
    #[arg(long, value_name = "URL", default_value = DEFAULT_NODE)]
    node: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    watch: Watch,
}

/// `wattle request list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle request list --limit 5
  wattle request list --wallet alice --node http://10.0.0.7:8080 --json")]
struct List {
    /// Only those of this wallet: its ID, or the name of one that you have made
    #[arg(long, value_name = "WALLET")]
    wallet: Option<String>,
    /// The directory of wallets, if not the user's data directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How many, newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    look: Look,
}

/// `wattle request send`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file has a request a line, in hexadecimal as docs/spec/wallet.md encodes it. Whether a request is executed, `show` tells.

Examples:
  wattle request send signed.hex
  wattle request send - --node http://10.0.0.7:8080 --json < signed.hex")]
struct Send {
    /// The file; `-` reads it from stdin
    file: PathBuf,
    /// The node that carries them
    #[arg(long, value_name = "URL", default_value = DEFAULT_NODE)]
    node: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does what was asked for.
///
/// # Errors
/// [`Failure`] if the node cannot be asked, knows no such request, or does not carry one.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Show(arguments) => show(arguments),
        What::List(arguments) => list(arguments),
        What::Certificate(arguments) => certificate::run(arguments),
        What::Send(arguments) => send(arguments),
    }
}

fn show(arguments: &Show) -> Result<(), Failure> {
    arguments.watch.show(|| look_at(arguments))
}

fn look_at(arguments: &Show) -> Result<View, Failure> {
    let text = NodeClient::new(&arguments.node)?.text(&format!("/api/v1/spends/{}", arguments.id))?;
    Ok(match arguments.json {
        true => View::Json(read(&text)?),
        false => View::text(table(&["request", arguments.id.to_string().as_str()], read::<Spend>(&text)?.rows())),
    })
}

fn list(arguments: &List) -> Result<(), Failure> {
    let wallet = arguments.wallet.as_deref().map(|who| local::key_of(arguments.dir.as_deref(), who)).transpose()?;
    let wallet = wallet.map(|wallet| format!("&wallet={}", escape(&wallet.to_string()))).unwrap_or_default();
    arguments.look.at(&format!("/api/v1/spends?limit={}{wallet}", arguments.limit), |Spends { spends }: &Spends| {
        table(&["request", "wallet", "number", "for", "price", "status"], spends.iter().map(row).collect())
    })
}

fn row(spend: &Spend) -> Vec<String> {
    vec![
        spend.id.clone(),
        short(&spend.wallet),
        spend.number.to_string(),
        spend.operation.as_ref().map(Operation::shown).unwrap_or_default(),
        coins(spend.price),
        spend.height.map_or_else(|| spend.status.clone(), |height| format!("{} in {height}", spend.status)),
    ]
}

fn send(arguments: &Send) -> Result<(), Failure> {
    let requests =
        signed(&verify::read(&arguments.file)?).map_err(|(what, todo)| Failure::new(Exit::Usage, what, arguments.file.display(), todo))?;
    let node = NodeClient::new(&arguments.node)?;
    let answers = carry(&node, &requests)?;
    let spends: Vec<Spend> = answers.iter().filter_map(|answer| serde_json::from_value(answer.clone()).ok()).collect();
    match arguments.json {
        true => print_json(&serde_json::json!({ "spends": answers }))?,
        false => {
            let rows = spends.iter().map(|spend| vec![spend.id.clone(), spend.status.clone(), spend.reasons().join("; ")]);
            print(&table(&["request", "status", "reason"], rows.collect()))?;
        }
    }
    let refused = spends.iter().filter(|spend| spend.reason.is_some()).count();
    match (refused, spends.iter().find_map(|spend| spend.reason.as_ref())) {
        (0, _) | (_, None) => Ok(()),
        (_, Some(reason)) => {
            let what = format!("{refused} of {} requests are not carried: {}", requests.len(), reason.text);
            Err(Failure::new(Exit::Refused, what, node.base(), "change what is wrong, and sign again"))
        }
    }
}

/// The requests of a text, a line each; or what is wrong, and what to do.
fn signed(text: &str) -> Result<Vec<Request>, (String, String)> {
    let mut requests = Vec::new();
    for (index, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
        let todo = "a line is one signed request in lower-case hexadecimal";
        let wrong = |why: &dyn std::fmt::Display| (format!("line {} is no request: {why}", index + 1), todo.to_owned());
        let bytes = unhex(line).ok_or_else(|| wrong(&"it is not hexadecimal"))?;
        requests.push(Request::decode(&bytes).map_err(|why| wrong(&why))?);
    }
    match requests.len() {
        0 => Err(("there is no request in it".to_owned(), "give one a line".to_owned())),
        1..=REQUESTS_MAX => Ok(requests),
        n => Err((format!("it has {n} requests"), format!("send at most {REQUESTS_MAX} at a time"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::hex::hex;
    use protocol::{Encode as _, NetworkId, PublicKey, SecretKey};
    use sdk::{Position, Spender};

    #[test]
    fn signed_requests_are_read_a_line_each() {
        let at = Position { number: 0, state: Id([1; 32]), epoch: 0 };
        let mut spender = Spender::new(NetworkId([7; 32]), SecretKey::from_seed(&[3; 32]), 0, at);
        let mut next = || spender.transfer(PublicKey([2; 32]), 5, 9).unwrap();
        let (one, two) = (next(), next());
        let (first, second) = (hex(&one.encode()), hex(&two.encode()));
        assert_eq!(signed(&format!("{first}\n\n  {second}\r\n")).unwrap(), [one, two]);
        let bad = [String::new(), "\n".into(), "zz".into(), first.to_uppercase(), format!("{first}0"), format!("{first}00")];
        for text in bad.into_iter().chain([format!("{first}\n").repeat(REQUESTS_MAX + 1)]) {
            assert!(signed(&text).is_err(), "{text}");
        }
        assert!(signed(&format!("{first}\nx")).unwrap_err().0.contains("line 2"));
    }

    #[test]
    fn a_list_has_a_row_for_each() {
        let spend = Spend { id: "ab".repeat(32), status: "final".into(), height: Some(7), price: 500_000, ..Spend::default() };
        let text = row(&spend).join("|");
        assert!(text.contains("final in 7") && text.contains("0.5 DCoin") && text.contains(&"ab".repeat(32)), "{text}");
    }
}
