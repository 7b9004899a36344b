//! A device's key, and the proof that the device holds it.

use crate::cli::ordering::Ordering;
use crate::cli::output::{note, print, print_json};
use crate::cli::verify::load_genesis;
use crate::cli::{Exit, Failure, keys, quantity};
use protocol::{Credential, DeviceName, PublicKey, SecretKey, Signature};
use serde_json::json;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// `wattle device key`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the public key. The file is the secret half: it belongs on the device and nowhere else.

Examples:
  wattle device key m1.key")]
pub(super) struct KeyArguments {
    /// The new file
    file: PathBuf,
}

/// `wattle device prove`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For a device whose key never leaves it: the owner gives what this prints to `wattle device register` or `rotate`.

Examples:
  wattle device prove z1/m1 --device-key m1.key --owner 3f0a…64 digits… --genesis genesis.json")]
pub(super) struct ProveArguments {
    /// The device: site/ID
    #[arg(value_parser = quantity::device)]
    device: DeviceName,
    /// The device's key file
    #[arg(long, value_name = "FILE")]
    device_key: PathBuf,
    /// The public key of the wallet that will register it
    #[arg(long, value_name = "KEY")]
    owner: PublicKey,
    /// The network's genesis
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
}

/// A device's key as an owner has it: the file, or what the device proved.
#[derive(Debug, clap::Args)]
pub(super) struct Offered {
    /// The device's key file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["public_key", "possession"])]
    device_key: Option<PathBuf>,
    /// The device's public key, if the secret one is not here
    #[arg(long, value_name = "KEY", requires = "possession")]
    public_key: Option<PublicKey>,
    /// What `wattle device prove` printed for it
    #[arg(long, value_name = "SIGNATURE", requires = "public_key")]
    possession: Option<Signature>,
}

impl Offered {
    /// The credential for the order; `None` if no key was offered.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be read, the node not asked, or the proof does not hold.
    pub(super) fn credential(&self, device: &DeviceName, ordering: &Ordering) -> Result<Option<Credential>, Failure> {
        let credential = match (&self.device_key, self.public_key, self.possession) {
            (Some(file), _, _) => Credential::sign(&ordering.network()?, &keys::read(file)?, device, &ordering.wallet()?),
            (None, Some(key), Some(possession)) => Credential { key, possession },
            _ => return Ok(None),
        };
        match credential.verify(&ordering.network()?, device, &ordering.wallet()?) {
            true => Ok(Some(credential)),
            false => {
                let todo = "let the device sign for this network, this device and the wallet that registers it: `wattle device prove`";
                Err(Failure::new(Exit::Usage, "the proof of the device's key does not hold", device, todo))
            }
        }
    }
}

/// Makes a key.
///
/// # Errors
/// [`Failure`] if the file is there already or cannot be written.
pub(super) fn key(arguments: &KeyArguments) -> Result<(), Failure> {
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed)
        .map_err(|e| Failure::new(Exit::Fault, e, "the system's source of randomness", "check that getrandom(2) works here"))?;
    let path = &arguments.file;
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "{}", protocol::Id(seed))?;
        file.sync_all()
    };
    write().map_err(|e: std::io::Error| Failure::file(path, &e, "name a new file that can be written"))?;
    note(&format!("the device's secret key is in {}", path.display()));
    print(&SecretKey::from_seed(&seed).public_key().to_string())
}

/// Proves.
///
/// # Errors
/// [`Failure`] if a file cannot be read.
pub(super) fn prove(arguments: &ProveArguments) -> Result<(), Failure> {
    let ProveArguments { device, device_key, owner, genesis } = arguments;
    let (genesis, key) = (load_genesis(genesis)?, keys::read(device_key)?);
    let Credential { key, possession } = Credential::sign(&genesis.network(), &key, device, owner);
    print_json(&json!({ "device": device.to_string(), "public_key": key.to_string(), "possession": possession.to_string() }))
}
