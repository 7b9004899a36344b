//! Where the files of a node are. Relative paths are relative to the configuration file.

use super::Config;
use std::path::PathBuf;

impl Config {
    /// The directory for everything the node keeps.
    #[must_use]
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.base.join(&self.node.data_dir)
    }

    /// Where the replica keeps its part: `<data_dir>/ledger`.
    #[must_use]
    pub(crate) fn ledger_dir(&self) -> PathBuf {
        self.data_dir().join("ledger")
    }

    /// Where the site's log of readings is: `<data_dir>/log`.
    #[must_use]
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.data_dir().join("log")
    }

    /// Where what arrived waits to be processed: `<data_dir>/intake`.
    #[must_use]
    pub(crate) fn intake_dir(&self) -> PathBuf {
        self.data_dir().join("intake")
    }

    /// What the fog processor remembers: `<data_dir>/fog`.
    #[must_use]
    pub(crate) fn fog_dir(&self) -> PathBuf {
        self.data_dir().join("fog")
    }

    /// The file of pipelines, if there is one.
    #[must_use]
    pub(crate) fn pipelines_file(&self) -> Option<PathBuf> {
        self.fog.pipelines.as_ref().map(|file| self.base.join(file))
    }

    /// What the cache of a site keeps that is a process of its own: `<data_dir>/cache`.
    #[must_use]
    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.data_dir().join("cache")
    }

    /// What is on its way to other brokers: `<data_dir>/spool.redb`.
    #[must_use]
    pub(crate) fn spool_file(&self) -> PathBuf {
        self.data_dir().join("spool.redb")
    }

    /// The site's index: `<data_dir>/index.sqlite`.
    #[must_use]
    pub(crate) fn index_file(&self) -> PathBuf {
        self.data_dir().join("index.sqlite")
    }

    /// What wallets spend and what there is to buy, as this node saw it: `<data_dir>/wallets.sqlite`.
    #[must_use]
    pub(crate) fn spends_file(&self) -> PathBuf {
        self.data_dir().join("wallets.sqlite")
    }

    /// What sites told each other, and what was done about it: `<data_dir>/exchange.sqlite`.
    #[must_use]
    pub(crate) fn exchange_file(&self) -> PathBuf {
        self.data_dir().join("exchange.sqlite")
    }

    /// The Thing Descriptions: `<data_dir>/things`.
    #[must_use]
    pub(crate) fn things_dir(&self) -> PathBuf {
        self.data_dir().join("things")
    }

    /// The genesis file.
    #[must_use]
    pub(crate) fn genesis_file(&self) -> PathBuf {
        self.base.join(&self.node.genesis)
    }

    /// Certificates that the configuration names, each with the setting that names it.
    #[must_use]
    pub(crate) fn certificate_files(&self) -> Vec<(&'static str, PathBuf)> {
        let broker = self.broker.as_ref();
        let named = [
            ("http.tls.certificate", self.http.tls.as_ref().map(|tls| &tls.certificate)),
            ("broker.certificate", broker.and_then(|broker| broker.certificate.as_ref())),
            ("broker.client_ca", broker.and_then(|broker| broker.client_ca.as_ref())),
            ("broker.login.certificate", broker.and_then(|broker| broker.login.certificate.as_ref())),
            ("tier.certificate", self.tier.as_ref().and_then(|tier| tier.certificate.as_ref())),
            ("mqttsn.certificate", self.mqttsn.as_ref().and_then(|gateway| gateway.certificate.as_ref())),
        ];
        named.into_iter().filter_map(|(name, file)| Some((name, self.base.join(file?)))).collect()
    }

    /// The key file.
    #[must_use]
    pub(crate) fn key_file(&self) -> PathBuf {
        self.base.join(&self.node.key_file)
    }
}
