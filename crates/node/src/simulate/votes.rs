//! `wattle sim votes`: how long a decision takes with so many voters, by the paper's protocol and by ours.
//!
//! What the models are and what they assume is said in `sim::votes`. Our constants come from `wattle bench`, or are those of
//! the development machine. Beside the model stands what the software itself took, as far as it was measured.

use super::choices::Numbers;
use super::constants::{Certified, Constants};
use super::files::Files;
use super::report;
use super::runner::{self, Budget, Cost};
use crate::cli::output::{note, print, print_json, table};
use crate::cli::{Exit, Failure, quantity};
use protocol::limits::COMMITTEE_MAX;
use serde_json::{Map, Value, json};
use sim::Band;
use sim::chart::{Chart, Dash, Line, Scale};
use sim::votes::{Link, Network, Ours, Paper, Protocol, TABLE_2, TABLE_3, VotesError, check, estimated_bytes, estimated_time, latency_ms};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// What the paper says, by voters.
const PAPER_SAYS: [(u32, &str); 4] = [(8, "300 ms"), (48, "< 1 s"), (1_000, "2 s, estimated"), (10_000, "< 20 s, estimated")];
/// The bytes of a vote in the paper's implementation.
const VOTE_BYTES: u32 = 144;
/// Written where there is no number.
const NONE: &str = "-";
/// Bytes in a microsecond of one Mbit/s.
const BYTES_PER_US: f64 = 0.125;
/// The protocols that are compared.
const NAMES: [&str; 4] = ["paper", "ours_links", "ours_router", "ours_one_machine"];

/// `wattle sim votes`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle sim votes
  wattle sim votes --voters 4,8,48 --link 1.5ms --repeats 1000 --json
  wattle bench vote --json > vote.json
  wattle bench dag --nodes 48 --json > dag.json
  wattle bench pow --json > pow.json
  wattle bench certificates --nodes 8 --wallets 1 --chain 1 --requests 500 --json > certificates.json
  wattle sim votes --bench vote.json --bench dag.json --bench pow.json --bench certificates.json --out figures")]
pub(super) struct Arguments {
    /// Numbers of voters, such as 4,8,48-64
    #[arg(long, default_value = "4,8,48,1000,10000")]
    voters: Numbers,
    /// Decisions of which the mean is shown, with its confidence interval
    #[arg(long, default_value_t = 50)]
    repeats: u32,
    /// Where chance comes from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Bytes of a vote, a row of the paper's Table II: 72, 96 or 144
    #[arg(long, default_value_t = VOTE_BYTES)]
    vote_bytes: u32,
    /// What the paper's protocol spends besides votes, whatever the size
    #[arg(long, value_name = "TIME", default_value = "290ms", value_parser = quantity::duration)]
    overhead: Duration,
    /// What our links always take, instead of Table II's latencies
    #[arg(long, value_name = "TIME", value_parser = quantity::duration)]
    link: Option<Duration>,
    /// What a connection of one of our validators carries, in Mbit/s
    #[arg(long, default_value_t = 1_000.0, value_parser = quantity::positive)]
    bandwidth_mbit: f64,
    /// What `wattle bench NAME --json` printed, of vote, dag, pow or certificates; may be given several times
    #[arg(long, value_name = "FILE")]
    bench: Vec<PathBuf>,
    /// Refuse what would take longer than this
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = quantity::duration)]
    time_limit: Duration,
    /// Write CSV, JSON and a figure there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One row: the voters, and each protocol's latency in the order of [`NAMES`]; nothing where it cannot be.
type Row = (u32, Vec<Option<Band>>);

/// Simulates, and writes what was asked for.
///
/// # Errors
/// [`Failure`]: usage (2) for what makes no sense; fault (4) if a file cannot be written.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let constants = Constants::of(&arguments.bench)?;
    let protocols = protocols(arguments, &constants)?;
    affordable(arguments, &protocols)?;
    let files = arguments.out.as_deref().map(Files::new).transpose()?;
    let rows = simulate(arguments, &protocols)?;
    let object = object(arguments, &protocols, &constants, &rows);
    if let Some(mut files) = files {
        files.write("votes.json", format!("{object:#}\n").as_bytes())?;
        files.write("votes.csv", csv(&rows, &constants).as_bytes())?;
        files.chart("votes-latency", &chart(&rows, &constants))?;
        note(&files.summary());
    }
    match arguments.json {
        true => print_json(&object),
        false => print(&shown(&rows, &constants)),
    }
}

fn protocols(arguments: &Arguments, constants: &Constants) -> Result<[Protocol; 4], Failure> {
    let row = TABLE_2.iter().find(|(bytes, _)| *bytes == arguments.vote_bytes);
    let (_, link) = *row.ok_or_else(|| {
        let what = format!("{} bytes are no row of Table II", arguments.vote_bytes);
        Failure::new(Exit::Usage, what, "--vote-bytes", "choose 72, 96 or 144")
    })?;
    let ours = |network| {
        let link = arguments.link.map_or(link, Link::constant);
        let bytes_per_us = arguments.bandwidth_mbit * BYTES_PER_US;
        Protocol::Ours(Ours { link, network, cores: constants.cores, bytes_per_us, costs: constants.costs })
    };
    Ok([
        Protocol::Paper(Paper { link, overhead: arguments.overhead, ..Paper::default() }),
        ours(Network::Links),
        ours(Network::Router),
        ours(Network::OneMachine),
    ])
}

/// Whether it is of use to say something: nobody has more members on one machine than a committee has room for.
fn possible(protocol: &Protocol, voters: u32) -> bool {
    let one_machine = matches!(protocol, Protocol::Ours(Ours { network: Network::OneMachine, .. }));
    !one_machine || usize::try_from(voters).is_ok_and(|voters| voters <= COMMITTEE_MAX)
}

fn usage(error: VotesError) -> Failure {
    Failure::new(Exit::Usage, error, "wattle sim votes", "see `wattle sim votes --help`")
}

/// Refuses what makes no sense, says what the rest will take, and refuses what is too much.
fn affordable(arguments: &Arguments, protocols: &[Protocol; 4]) -> Result<(), Failure> {
    let mut costs = Vec::new();
    for voters in &arguments.voters.0 {
        for protocol in protocols.iter().filter(|protocol| possible(protocol, *voters)) {
            check(protocol, *voters, arguments.repeats).map_err(usage)?;
            costs.push(Cost { time: estimated_time(*voters, arguments.repeats), bytes: estimated_bytes(*voters) });
        }
    }
    let budget = Budget {
        threads: runner::cores(),
        time: arguments.time_limit,
        at: "wattle sim votes",
        if_slow: "raise --time-limit, or ask for fewer --voters or --repeats",
        if_large: "ask for fewer --voters",
    };
    budget.allow(&costs)
}

fn simulate(arguments: &Arguments, protocols: &[Protocol; 4]) -> Result<Vec<Row>, Failure> {
    let voters = &arguments.voters.0;
    let jobs: Vec<(u32, Protocol)> = voters.iter().flat_map(|count| protocols.iter().map(|protocol| (*count, *protocol))).collect();
    let bar = runner::progress_bar(jobs.len());
    let once = |(count, protocol): &(u32, Protocol)| {
        possible(protocol, *count).then(|| latency_ms(protocol, *count, arguments.repeats, arguments.seed)).transpose()
    };
    let bands = runner::all(&jobs, runner::cores(), &bar, once);
    bar.finish_and_clear();
    let bands: Vec<Option<Band>> = bands.into_iter().collect::<Result<_, _>>().map_err(usage)?;
    Ok(voters.iter().copied().zip(bands.chunks(NAMES.len()).map(<[Option<Band>]>::to_vec)).collect())
}

fn milliseconds(band: Band) -> String {
    format!("{:.1} ± {:.1} ms", band.mean, (band.high - band.low) / 2.0)
}

fn shown(rows: &[Row], constants: &Constants) -> String {
    let says = |voters: u32| PAPER_SAYS.iter().find(|(count, _)| *count == voters).map_or(NONE, |(_, says)| *says);
    let header =
        ["voters", "paper says", "paper's protocol", "ours, links", "ours, one router", "ours, one machine", "ours, measured there"];
    let latencies = rows.iter().map(|(voters, bands)| {
        let mut row = vec![voters.to_string(), says(*voters).to_owned()];
        row.extend(bands.iter().map(|band| band.map_or_else(|| NONE.to_owned(), milliseconds)));
        row.push(constants.certified_with(*voters).map_or_else(|| NONE.to_owned(), measured));
        row
    });
    let votes = table(&header, latencies.collect());
    format!(
        "From request to decision, mean and 95 % interval; measured: median\n{votes}\n\n\
         Table II of the paper, one vote over WiFi; ours, one message to another node\n{}\n\n\
         Table III of the paper, on a Raspberry Pi 3 B+, and ours\n{}\n\nOurs {}",
        table_2(constants),
        table_3(constants),
        origin(constants),
    )
}

fn measured(certified: Certified) -> String {
    match certified.link_ms {
        Some(link_ms) => format!("{:.1} ms, links {link_ms} ms", certified.p50_ms),
        None => format!("{:.1} ms, TCP", certified.p50_ms),
    }
}

fn table_2(constants: &Constants) -> String {
    let time = |ms: f64| format!("{ms:.2} ms");
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let papers = TABLE_2.iter().map(|(bytes, Link { min, mean, max })| {
        vec!["paper".to_owned(), bytes.to_string(), time(ms(*mean)), time(ms(*min)), time(ms(*max))]
    });
    let ours = constants.passages.iter().map(|passage| {
        let bytes = format!("{:.0}", passage.message_bytes);
        vec!["ours".to_owned(), bytes, time(passage.mean_ms), time(passage.min_ms), time(passage.max_ms)]
    });
    table(&["whose", "bytes", "average", "least", "greatest"], papers.chain(ours).collect())
}

fn table_3(constants: &Constants) -> String {
    let rows = TABLE_3.iter().map(|work| {
        let ours = constants.searches.iter().find(|search| search.difficulty == work.difficulty);
        let cell = |value: Option<f64>, unit: &str| value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.2}{unit}"));
        vec![
            work.difficulty.to_string(),
            format!("{:.2}", work.nonces),
            format!("{} µs", work.time.as_micros()),
            cell(ours.map(|search| search.nonces), ""),
            cell(ours.map(|search| search.time_us), " µs"),
        ]
    });
    table(&["difficulty", "nonces, paper", "time, paper", "nonces, ours", "time, ours"], rows.collect())
}

/// Where our constants are from.
fn origin(constants: &Constants) -> String {
    if constants.given.is_empty() {
        "with the development machine's figures (docs/performance.md); for this machine's give files of `wattle bench` with --bench"
            .to_owned()
    } else {
        format!(
            "with the figures of bench {} that were given, else the development machine's (docs/performance.md)",
            constants.given.join(", ")
        )
    }
}

fn csv(rows: &[Row], constants: &Constants) -> String {
    let mut text = "voters".to_owned();
    for name in NAMES {
        // a String takes everything
        let _ = write!(text, ",{name}_ms,{name}_ms_low,{name}_ms_high");
    }
    text.push_str(",ours_measured_p50_ms\n");
    for (voters, bands) in rows {
        text.push_str(&voters.to_string());
        for band in bands {
            let _ = match band {
                Some(band) => write!(text, ",{},{},{}", band.mean, band.low, band.high),
                None => write!(text, ",,,"),
            };
        }
        let measured = constants.certified_with(*voters).map(|certified| certified.p50_ms.to_string());
        let _ = writeln!(text, ",{}", measured.unwrap_or_default());
    }
    text
}

fn object(arguments: &Arguments, protocols: &[Protocol; 4], constants: &Constants, rows: &[Row]) -> Value {
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let row = |(voters, bands): &Row| {
        let latencies: Map<String, Value> =
            NAMES.iter().zip(bands).map(|(name, band)| ((*name).to_owned(), json!(band.map(report::band)))).collect();
        let quorums: Map<String, Value> =
            NAMES.iter().zip(protocols).map(|(name, protocol)| ((*name).to_owned(), json!(protocol.quorum(*voters)))).collect();
        let measured = constants.certified_with(*voters).map(|one| json!({ "certified_p50_ms": one.p50_ms, "link_ms": one.link_ms }));
        json!({ "voters": voters, "quorum": quorums, "latency_ms": latencies, "measured": measured })
    };
    let table_2 = TABLE_2
        .iter()
        .map(|(bytes, link)| json!({ "vote_bytes": bytes, "mean_us": us(link.mean), "min_us": us(link.min), "max_us": us(link.max) }));
    let passages = constants.passages.iter().map(|passage| {
        let [mean_us, min_us, max_us] = [passage.mean_ms, passage.min_ms, passage.max_ms].map(|ms| ms * 1e3);
        json!({ "message_bytes": passage.message_bytes, "mean_us": mean_us, "min_us": min_us, "max_us": max_us })
    });
    let table_3 =
        TABLE_3.iter().map(|work| json!({ "difficulty": work.difficulty, "hashes_mean": work.nonces, "time_mean_us": us(work.time) }));
    let searches = constants
        .searches
        .iter()
        .map(|search| json!({ "difficulty": search.difficulty, "hashes_mean": search.nonces, "time_mean_us": search.time_us }));
    let costs = &constants.costs;
    json!({
        "sim": "votes",
        "vote_bytes": arguments.vote_bytes,
        "overhead_us": us(arguments.overhead),
        "link_us": arguments.link.map(us),
        "bandwidth_mbit": arguments.bandwidth_mbit,
        "cores": constants.cores,
        "costs": {
            "sign_us": costs.sign_us,
            "take_in_us": costs.take_in_us,
            "verify_request_us": costs.verify_request_us,
            "sync_us": costs.sync_us,
            "request_bytes": costs.request_bytes,
            "message_bytes": costs.message_bytes,
        },
        "benches_given": constants.given,
        "repeats": arguments.repeats,
        "seed": arguments.seed,
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
        "paper_table_2": table_2.collect::<Vec<_>>(),
        "our_table_2": passages.collect::<Vec<_>>(),
        "paper_table_3": table_3.collect::<Vec<_>>(),
        "our_table_3": searches.collect::<Vec<_>>(),
    })
}

fn chart(rows: &[Row], constants: &Constants) -> Chart {
    let looks = [
        ("paper's protocol", (31, 90, 180)),
        ("ours, links", (40, 140, 70)),
        ("ours, router", (214, 110, 20)),
        ("ours, one machine", (130, 70, 160)),
    ];
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|(voters, _)| *voters);
    let line = |(at, (name, colour)): (usize, (&str, (u8, u8, u8)))| Line {
        name: name.to_owned(),
        points: rows.iter().filter_map(|(voters, bands)| Some((f64::from(*voters), (*bands.get(at)?)?))).collect(),
        colour,
        dash: Dash::Solid,
    };
    let mut lines: Vec<Line> = looks.into_iter().enumerate().map(line).collect();
    let mut measured: Vec<Certified> = constants.certified.clone();
    measured.sort_by_key(|certified| certified.voters);
    let point = |certified: &Certified| {
        let p50_ms = certified.p50_ms;
        (f64::from(certified.voters), Band { mean: p50_ms, low: p50_ms, high: p50_ms })
    };
    let points = measured.iter().map(point).collect();
    lines.push(Line { name: "ours, measured".to_owned(), points, colour: (60, 60, 60), dash: Dash::Dotted });
    Chart {
        title: "From request to decision".to_owned(),
        x_label: "voters".to_owned(),
        y_label: "latency [ms]".to_owned(),
        x_scale: Scale::Logarithmic,
        y_scale: Scale::Logarithmic,
        lines,
    }
}
