//! Where the examples' network is, and what they all ask of it.

use protocol::{Genesis, Id, Receipt, SecretKey, Verified};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Why an example did not get to its end.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How long a confirmation may take.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(100);

/// The network of `network.sh`: two nodes, each with a site.
#[derive(Clone, Debug)]
pub struct Place {
    /// The first node's HTTP interface.
    pub http: String,
    /// The second's.
    pub http2: String,
    /// Where devices of z1 publish.
    pub mqtt: String,
    /// Where devices of z2 publish.
    pub mqtt2: String,
    /// Where battery devices of z1 send their datagrams.
    pub sn: String,
    /// Keys and genesis.
    pub network: PathBuf,
    /// Where confirmed readings go.
    pub to: String,
}

impl Place {
    /// The network of `network.sh`, changed by `NAME=VALUE`.
    pub fn with(arguments: impl Iterator<Item = String>) -> Result<Self, Failed> {
        let mut place = Self {
            http: "http://127.0.0.1:8080".into(),
            http2: "http://127.0.0.1:8081".into(),
            mqtt: "mqtt://127.0.0.1:1883".into(),
            mqtt2: "mqtt://127.0.0.1:1884".into(),
            sn: "127.0.0.1:10000".into(),
            network: "integration-net".into(),
            to: "http://127.0.0.1:9000/ingest".into(),
        };
        for argument in arguments {
            let (name, value) = argument.split_once('=').ok_or_else(|| format!("{argument:?} is not NAME=VALUE"))?;
            match name {
                "http" => place.http = value.into(),
                "http2" => place.http2 = value.into(),
                "mqtt" => place.mqtt = value.into(),
                "mqtt2" => place.mqtt2 = value.into(),
                "sn" => place.sn = value.into(),
                "network" => place.network = value.into(),
                "to" => place.to = value.into(),
                _ => return Err(format!("there is no setting {name:?}").into()),
            }
        }
        Ok(place)
    }

    /// The genesis: all that a verifier takes on trust.
    pub fn genesis(&self) -> Result<Genesis, Failed> {
        Ok(Genesis::from_json(&std::fs::read_to_string(self.network.join("genesis.json"))?)?)
    }

    /// A device's key, as `network.sh` made and registered it.
    pub fn key(&self, device: &str) -> Result<SecretKey, Failed> {
        let seed: Id = std::fs::read_to_string(self.network.join(format!("{device}.key")))?.trim().parse()?;
        Ok(SecretKey::from_seed(&seed.0))
    }

    /// The next number of a device's key. It is stored before it is used: no number is ever used twice.
    pub fn next_number(&self, device: &str) -> Result<u64, Failed> {
        let file = self.network.join(format!("{device}.next"));
        let next: u64 = match std::fs::read_to_string(&file) {
            Ok(text) => text.trim().parse()?,
            Err(_) => 1,
        };
        let after = next.checked_add(1).ok_or("every number was used")?;
        std::fs::write(&file, after.to_string())?;
        Ok(next)
    }

    /// The receipt of a reading, once it is confirmed, checked by nothing but the genesis.
    pub fn receipt(&self, http: &str, reference: &str) -> Result<(String, Verified), Failed> {
        let path = format!("{http}/api/v1/receipts/{}", reference.replace('@', "%40"));
        let start = Instant::now();
        loop {
            if let Some((200, text)) = get(&path) {
                let verified = Receipt::from_json(&text)?.verify(&self.genesis()?)?;
                return Ok((text, verified));
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("no receipt of {reference} within {} s", PATIENCE.as_secs()).into());
            }
            std::thread::sleep(POLL);
        }
    }
}

/// GET; the status and the text, `None` if nobody answers.
pub fn get(url: &str) -> Option<(u16, String)> {
    let mut response = agent().get(url).call().ok()?;
    let status = response.status().as_u16();
    response.body_mut().read_to_string().ok().map(|text| (status, text))
}

/// A client that reports a status instead of failing.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10))).build().into()
}

/// Now, in microseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "an example is a device, with a clock of its own")]
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
