//! How a command logs in to a broker. A password never stands on a command line, where every process of the machine reads it.

use super::{Exit, Failure};
use mqtt::{CredentialFiles, Credentials};
use std::path::{Path, PathBuf};

/// What a command that talks to a broker understands.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Login {
    /// User name at the broker; the password is in --password-file or the environment variable WATTLE_MQTT_PASSWORD
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Certificates of the authorities that may vouch for a broker at mqtts://, PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Our own certificate, PEM, if the broker asks for one
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Login {
    /// Reads the files, and the environment.
    ///
    /// # Errors
    /// [`Failure`] (usage) if a file cannot be read.
    pub(crate) fn credentials(&self) -> Result<Credentials, Failure> {
        let files = CredentialFiles {
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            ca: self.ca.clone(),
            certificate: self.cert.clone(),
            key: self.key.clone(),
        };
        Credentials::load(&files, Path::new("")).map_err(|why| Failure::said(Exit::Usage, why))
    }
}
