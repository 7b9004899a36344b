//! `wattle verify`: checks a receipt, or the certificate of a request, offline and says what it proves.

mod certificate;

use super::output::{print, print_json, time_ms, time_us};
use super::{Exit, Failure};
use protocol::{Genesis, Receipt, Verified};
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of a receipt or genesis file: a receipt may hold 4096 handovers, of 17 KB each in the largest committee.
const FILE_BYTES_MAX: u64 = 80 << 20;

/// `wattle verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs no network: the receipt holds the whole way from the reading to the committee's signatures, and the
genesis names the committee. Get the genesis from an operator you trust.

Examples:
  wattle verify r.json --genesis net/genesis.json
  wattle receipt z1/m1/sense/power@1470009600000000 | wattle verify - --genesis net/genesis.json --json
  wattle verify --certificate c.json --genesis net/genesis.json          of `wattle request certificate`")]
pub(crate) struct Arguments {
    /// The receipt; `-` reads it from stdin
    #[arg(required_unless_present = "certificate", conflicts_with = "certificate")]
    file: Option<PathBuf>,
    /// Check the certificate of a wallet's request instead; `-` reads it from stdin
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The network's genesis
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Checks and prints.
///
/// # Errors
/// [`Failure`]: refused (1) if the receipt proves nothing, usage (2) if a file cannot be read.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let file = match (&arguments.file, &arguments.certificate) {
        (_, Some(file)) => return certificate::run(file, &arguments.genesis, arguments.json),
        (Some(file), None) => file,
        // the command line needs one of the two
        (None, None) => return Err(Failure::said(Exit::Usage, "name a receipt, or a certificate with --certificate")),
    };
    let genesis = load_genesis(&arguments.genesis)?;
    let text = read(file)?;
    let shown = file.display();
    let verified = Receipt::from_json(&text).and_then(|r| r.verify(&genesis));
    match (verified, arguments.json) {
        (Ok(verified), false) => print(&sentence(&verified, &genesis)),
        (Ok(verified), true) => print_json(&object(&verified, &genesis)),
        (Err(why), as_json) => {
            if as_json {
                print_json(&json!({ "verified": false, "reason": why.to_string() }))?;
            }
            let todo = "it is damaged, forged, or of another network than this genesis: ask for it again";
            Err(Failure::new(Exit::Refused, format!("receipt refused: {why}"), shown, todo))
        }
    }
}

/// The text of a file, or of stdin.
///
/// # Errors
/// [`Failure`] if it cannot be read or is too large.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let failure = |e: std::io::Error| Failure::file(path, &e, "name a file that can be read");
    let mut bytes = Vec::new();
    let mut source: Box<dyn Read> = match path.as_os_str() == "-" {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(std::fs::File::open(path).map_err(failure)?),
    };
    source.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failure)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(Failure::new(Exit::Usage, "the file is too large", path.display(), format!("at most {FILE_BYTES_MAX} bytes are read"))),
        // a byte that is no text becomes a character that no field allows, so the file is refused for its content
        false => Ok(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Reads a genesis file.
///
/// # Errors
/// [`Failure`] if it cannot be read or was changed.
pub(crate) fn load_genesis(path: &Path) -> Result<Genesis, Failure> {
    Genesis::from_json(&read(path)?)
        .map_err(|e| Failure::new(Exit::Usage, e, path.display(), "use the genesis.json that `wattle init` wrote for this network"))
}

/// The issuer's name, if it is of the committee, else its key.
fn issuer(verified: &Verified, genesis: &Genesis) -> String {
    let member = genesis.committee.validators().iter().find(|v| v.key == verified.issuer);
    member.map_or_else(|| verified.issuer.to_string(), |v| v.name.to_string())
}

/// What a verified receipt proves, in words.
pub(crate) fn sentence(verified: &Verified, genesis: &Genesis) -> String {
    let reading = &verified.reading;
    let signers: Vec<&str> = verified.signers.iter().map(protocol::Name::as_str).collect();
    let unit = reading.unit.as_deref().map(|u| format!(" {u}")).unwrap_or_default();
    format!(
        "verified: device {} at site {}, {} {} = {}{unit} at {}; in milestone {} of {}; confirmed by {} of {} validators: {}; anchored by node {}{}",
        reading.topic.device,
        reading.topic.site,
        reading.topic.direction.as_str(),
        reading.topic.data_type,
        reading.value,
        time_us(reading.time_us),
        verified.height,
        time_ms(verified.confirmed_ms),
        signers.len(),
        verified.committee,
        signers.join(", "),
        issuer(verified, genesis),
        reading.signed.map(|s| format!("; signed by the device's key {}", s.key)).unwrap_or_default(),
    )
}

/// What a verified receipt proves, as JSON.
pub(crate) fn object(verified: &Verified, genesis: &Genesis) -> serde_json::Value {
    let reading = &verified.reading;
    let value = match &reading.value {
        protocol::Value::Number(n) => json!(n),
        protocol::Value::Boolean(b) => json!(b),
        protocol::Value::Text(t) => json!(t),
        bytes @ protocol::Value::Bytes(_) => json!({ "hex": bytes.to_string().trim_start_matches("0x") }),
    };
    json!({
        "verified": true,
        "reading": verified.reading_id.to_string(),
        "topic": reading.topic.to_string(),
        "site": reading.topic.site.as_str(),
        "device": reading.topic.device.as_str(),
        "direction": reading.topic.direction.as_str(),
        "data_type": reading.topic.data_type.as_str(),
        "time_us": reading.time_us,
        "sequence": reading.sequence,
        "unit": reading.unit,
        "value": value,
        "device_key": reading.signed.map(|s| s.key.to_string()),
        "device_signature": reading.signed.map(|s| s.signature.to_string()),
        "message": verified.message.to_string(),
        "issuer": verified.issuer.to_string(),
        "issuer_name": issuer(verified, genesis),
        "height": verified.height,
        "confirmed_ms": verified.confirmed_ms,
        "epoch": verified.epoch,
        "signers": verified.signers.iter().map(protocol::Name::as_str).collect::<Vec<_>>(),
        "committee": verified.committee,
        "network": genesis.network().to_string(),
    })
}
