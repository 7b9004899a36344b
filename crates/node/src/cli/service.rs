//! `wattle service`: what wallets offer, and buying it.
//!
//! ```text
//! register, close, settle      orders of the provider (settle due: of anybody)
//! buy                          a request of the buyer's purse
//! list, show                   what the ledger has
//! ```

use super::amount::{amount, coins};
use super::client::escape;
use super::ordering::Ordering;
use super::output::{short, table};
use super::spending::Spending;
use super::spending::wire::{Service, Services};
use super::wallet::local;
use super::watch::Look;
use super::{Exit, Failure, quantity};
use crate::services::MARGIN_MS;
use protocol::limits::ARGUMENT_BYTES_MAX;
use protocol::service::service_id;
use protocol::{Action, DeviceTopic, Direction, Id, Name, Outcome, ServiceKind, Silence, Terms};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// `wattle service`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A purchase holds the price until the provider says how it went, or its time to say so is over.

Examples:
  wattle service register espresso --actuate z1/espresso/act/brew --price 2 --wallet shop
  wattle service list
  wattle service buy 5e1c…64 digits… --argument double --wallet alice
  wattle service settle 9b1e…64 digits… delivered --wallet shop")]
pub(crate) struct Arguments {
    /// What to do
    #[command(subcommand)]
    what: What,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Offer a service, or say something else about one
    Register(Register),
    /// Offer a service no longer
    Close(Close),
    /// The services that the ledger has
    List(List),
    /// What a service does and costs
    Show(Show),
    /// Buy a service
    Buy(Buy),
    /// Say how a purchase went
    Settle(Settle),
}

/// What a service does: one of three.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Kind {
    /// It drives an actuator: what is bought with it is published on this topic, site/ID/act/TYPE
    #[arg(long, value_name = "TOPIC", value_parser = actuator)]
    actuate: Option<DeviceTopic>,
    /// It opens a channel of data
    #[arg(long, value_name = "CHANNEL")]
    data: Option<Id>,
    /// It calls a contract
    #[arg(long, value_name = "ID")]
    contract: Option<Id>,
}

/// Who gets the price of a purchase of which the provider said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum SilenceWord {
    /// The provider
    Pay,
    /// The buyer
    Refund,
}

/// How a purchase went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OutcomeWord {
    /// The provider did what was bought
    Delivered,
    /// The provider could not
    Failed,
    /// The provider's time to say so is over
    Due,
}

/// `wattle service register`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The service's ID is that of your wallet and the name: nobody can take it. Registered again, it has the new terms.
Your node gives a purchase back 5 s before it is due if silence would pay you: with `--silence pay`, --report must be longer.

Examples:
  wattle service register espresso --actuate z1/espresso/act/brew --price 2 --wallet shop
  wattle service register air --data 7c0e…64 digits… --price 0.01 --report 1h --silence pay --key net/node1/node.key")]
struct Register {
    /// What you call it
    #[arg(value_parser = quantity::name)]
    name: Name,
    #[command(flatten)]
    kind: Kind,
    /// What it costs, in DCoin
    #[arg(long, value_name = "DCOIN", value_parser = amount, allow_negative_numbers = true)]
    price: u64,
    /// How long you may take to say how a purchase went
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = quantity::duration)]
    report: Duration,
    /// Who gets the price if you say nothing
    #[arg(long, value_enum, default_value = "refund")]
    silence: SilenceWord,
    #[command(flatten)]
    ordering: Ordering,
}

/// `wattle service close`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What was bought before is not touched.

Examples:
  wattle service close espresso --wallet shop")]
struct Close {
    /// What you call it
    #[arg(value_parser = quantity::name)]
    name: Name,
    #[command(flatten)]
    ordering: Ordering,
}

/// `wattle service list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle service list
  wattle service list --provider shop --node http://10.0.0.7:8080 --json")]
struct List {
    /// Only those of this wallet: its ID, or the name of one that you have made
    #[arg(long, value_name = "WALLET")]
    provider: Option<String>,
    /// The directory of wallets, if not the user's data directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    look: Look,
}

/// `wattle service show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle service show 5e1c…64 digits…")]
struct Show {
    /// The service
    id: Id,
    #[command(flatten)]
    look: Look,
}

/// `wattle service buy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Pays what the service costs now, but not more than --most.

Examples:
  wattle service buy 5e1c…64 digits… --wallet alice
  wattle service buy 5e1c…64 digits… --argument double --most 2 --wallet alice --json")]
struct Buy {
    /// The service
    id: Id,
    /// What the service is told, up to 256 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    argument: String,
    /// Do not buy if it costs more DCoin than this
    #[arg(long, value_name = "DCOIN", value_parser = amount, allow_negative_numbers = true)]
    most: Option<u64>,
    #[command(flatten)]
    spending: Spending,
}

/// `wattle service settle`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`delivered` pays the provider, `failed` pays the buyer back: the provider says so in time. `due` does what the service says for
a provider that was silent: anybody may say so, afterwards.

Examples:
  wattle service settle 9b1e…64 digits… delivered --wallet shop
  wattle service settle 9b1e…64 digits… due --wallet alice")]
struct Settle {
    /// The request that bought it
    request: Id,
    /// How it went
    #[arg(value_enum)]
    outcome: OutcomeWord,
    #[command(flatten)]
    ordering: Ordering,
}

/// Does what was asked for.
///
/// # Errors
/// [`Failure`] if the node cannot be asked, or what was asked for was refused.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Register(arguments) => register(arguments),
        What::Close(Close { name, ordering }) => {
            let id = service_id(&ordering.wallet()?, name);
            let action = Action::Service { name: name.clone(), terms: None };
            ordering.give_about(action, &format!("closed {name}, service {id}"), &json!({ "service": id.to_string() }))
        }
        What::List(arguments) => list(arguments),
        What::Show(arguments) => show(arguments),
        What::Buy(arguments) => buy(arguments),
        What::Settle(Settle { request, outcome, ordering }) => {
            let (outcome, done) = match outcome {
                OutcomeWord::Delivered => (Outcome::Delivered, "the provider is paid"),
                OutcomeWord::Failed => (Outcome::Failed, "the buyer has the price back"),
                OutcomeWord::Due => (Outcome::Due, "the purchase ended as the service says"),
            };
            ordering.give(Action::Settle { purchase: *request, outcome }, done)
        }
    }
}

fn register(arguments: &Register) -> Result<(), Failure> {
    let Register { name, kind, price, report, silence, ordering } = arguments;
    let kind = match kind {
        Kind { actuate: Some(topic), .. } => ServiceKind::Actuate(topic.clone()),
        Kind { data: Some(channel), .. } => ServiceKind::Data(*channel),
        Kind { contract: Some(contract), .. } => ServiceKind::Contract(*contract),
        // the command line needs one of the three
        _ => return Err(Failure::said(Exit::Usage, "say what it does with --actuate, --data or --contract")),
    };
    let silence = match silence {
        SilenceWord::Pay => Silence::Pay,
        SilenceWord::Refund => Silence::Refund,
    };
    let report_ms = u64::try_from(report.as_millis()).unwrap_or(u64::MAX);
    if silence == Silence::Pay && report_ms <= MARGIN_MS {
        let what = format!("with silence that pays, the provider's node gives every purchase back {MARGIN_MS} ms before it is due");
        return Err(Failure::new(Exit::Usage, what, "--report", format!("give more than {MARGIN_MS} ms, or take `--silence refund`")));
    }
    let id = service_id(&ordering.wallet()?, name);
    let terms = Terms { kind, price: *price, report_ms, silence };
    let done = format!("registered {name} for {}, service {id}", coins(*price));
    let action = Action::Service { name: name.clone(), terms: Some(terms) };
    ordering.give_about(action, &done, &json!({ "service": id.to_string() }))
}

fn list(arguments: &List) -> Result<(), Failure> {
    let provider = arguments.provider.as_deref().map(|who| local::key_of(arguments.dir.as_deref(), who)).transpose()?;
    let provider = provider.map(|provider| format!("&provider={}", escape(&provider.to_string()))).unwrap_or_default();
    arguments.look.at(&format!("/api/v1/services?limit={}{provider}", arguments.limit), |Services { services }: &Services| {
        table(&["service", "name", "provider", "does", "price", "open"], services.iter().map(row).collect())
    })
}

fn row(service: &Service) -> Vec<String> {
    vec![
        service.id.clone(),
        service.name.clone(),
        short(&service.provider),
        service.kind.shown(),
        coins(service.price),
        if service.open { "yes" } else { "no" }.to_owned(),
    ]
}

fn show(arguments: &Show) -> Result<(), Failure> {
    arguments.look.at(&format!("/api/v1/services/{}", arguments.id), text)
}

fn text(service: &Service) -> String {
    let silent = match service.silence.as_str() {
        "pay" => "the provider is paid",
        _ => "the buyer gets the price back",
    };
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let rows = vec![
        row("name", service.name.clone()),
        row("provider", service.provider.clone()),
        row("does", service.kind.shown()),
        row("price", coins(service.price)),
        row("open", if service.open { "yes" } else { "no" }.to_owned()),
        row("reports within", format!("{:?}; if not, {silent}", Duration::from_millis(service.report_ms))),
    ];
    table(&["service", service.id.as_str()], rows)
}

fn buy(arguments: &Buy) -> Result<(), Failure> {
    let Buy { id, argument, most, spending } = arguments;
    if argument.len() > ARGUMENT_BYTES_MAX {
        let what = format!("the argument has {} bytes", argument.len());
        return Err(Failure::new(Exit::Usage, what, "--argument", format!("give at most {ARGUMENT_BYTES_MAX}")));
    }
    let node = spending.client()?;
    let service: Service = node.json(&format!("/api/v1/services/{id}"))?;
    if most.is_some_and(|most| service.price > most) {
        let what = format!("{} costs {}", service.name, coins(service.price));
        return Err(Failure::new(Exit::Refused, what, node.base(), "nothing was bought; give more with --most"));
    }
    let done = format!("bought {} for {}", service.name, coins(service.price));
    spending.spend(&done, |spender, now_ms| spender.buy(*id, service.price, argument.clone().into_bytes(), now_ms))
}

/// Reads the topic of an actuator.
fn actuator(text: &str) -> Result<DeviceTopic, String> {
    match text.parse::<DeviceTopic>() {
        Ok(topic) if topic.direction == Direction::Act => Ok(topic),
        Ok(_) => Err("a service drives an actuator: give site/ID/act/TYPE".to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn typed(words: &[&str]) -> bool {
        Line::try_parse_from(["service"].iter().chain(words)).is_ok()
    }

    #[test]
    fn a_service_does_one_thing_for_a_price() {
        let topic = "z1/espresso/act/brew";
        assert!(typed(&["register", "espresso", "--actuate", topic, "--price", "2", "--wallet", "shop"]));
        assert!(!typed(&["register", "espresso", "--price", "2", "--wallet", "shop"]), "it does nothing");
        let channel = "ab".repeat(32);
        let channel = channel.as_str();
        let two = ["register", "espresso", "--actuate", topic, "--data", channel, "--price", "2", "--wallet", "shop"];
        assert!(!typed(&two), "it does two things");
        for price in ["0", "-1", "1e3", "99999999999999999999"] {
            assert!(!typed(&["register", "espresso", "--actuate", topic, "--price", price, "--wallet", "shop"]), "{price}");
        }
        assert!(!typed(&["register", "espresso", "--actuate", topic, "--price", "2"]), "nobody signs");
        assert!(!typed(&["settle", channel, "perhaps", "--wallet", "shop"]));
        assert!(typed(&["settle", channel, "due", "--wallet", "shop"]));
    }

    /// Such a service could be bought, and every purchase was given back at once.
    #[test]
    fn what_could_never_be_served_is_not_registered() {
        let register = |report: &str, silence: &str| {
            let words = ["register", "tea", "--actuate", "z1/tea/act/brew", "--price", "2", "--key", "no-such-file"];
            let more = ["--report", report, "--silence", silence];
            let line = Line::try_parse_from(["service"].iter().chain(&words).chain(&more)).unwrap();
            run(&line.arguments).unwrap_err().to_string()
        };
        assert!(register("5s", "pay").contains("--silence refund"));
        for (report, silence) in [("6s", "pay"), ("5s", "refund")] {
            assert!(register(report, silence).contains("no-such-file"), "{report} {silence}");
        }
    }

    #[test]
    fn only_actuators_are_driven() {
        assert_eq!(actuator("a/b/espresso/act/brew").unwrap().site.as_str(), "a/b");
        assert!(actuator("z1/espresso/sense/brew").unwrap_err().contains("act"));
        assert!(actuator("espresso").is_err());
    }
}
