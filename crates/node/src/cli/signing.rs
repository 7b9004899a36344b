//! Whose key a command signs with: a file, or a wallet by its name.

use super::wallet::local;
use super::{Exit, Failure, keys};
use protocol::{PublicKey, SecretKey};
use std::path::{Path, PathBuf};

/// What every command that signs for a wallet understands.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WalletKey {
    /// The wallet's key file, plain or encrypted: it signs
    #[arg(long, value_name = "FILE", required_unless_present = "wallet")]
    key: Option<PathBuf>,
    /// Instead: the name of a wallet that `wattle wallet create` made
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    wallet: Option<String>,
    /// Where these wallets are, if not in the user's data directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// File whose first line is the passphrase of an encrypted key; else it is WATTLE_PASSPHRASE in the environment, or asked for
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl WalletKey {
    fn file(&self) -> Result<PathBuf, Failure> {
        match (&self.key, &self.wallet) {
            (Some(file), _) => Ok(file.clone()),
            (None, Some(name)) => local::file(self.dir(), name),
            // the command line needs one of the two
            (None, None) => Err(Failure::said(Exit::Usage, "name the key file with --key, or the wallet with --wallet")),
        }
    }

    /// Where named wallets are, if it was said.
    pub(crate) fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The key.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be read or the passphrase is wrong.
    pub(crate) fn read(&self) -> Result<SecretKey, Failure> {
        keys::read_with(&self.file()?, self.passphrase_file.as_deref())
    }

    /// Whose key it is; no passphrase is needed.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be read.
    pub(crate) fn public_key(&self) -> Result<PublicKey, Failure> {
        keys::public_key(&self.file()?)
    }
}
