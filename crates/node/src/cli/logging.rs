//! Logs: always on stderr.
//!
//! # Rules
//! - `RUST_LOG` decides if it is set, else `-v`, else `[log] filter` of a node's configuration; other commands are quiet.
//! - A node reads the filter anew at every SIGHUP; the form of a line stays as it was at the start.
//! - What cannot be read of a configuration here is said by whoever runs the command, not by the log.

use super::Command;
use crate::config::{Config, LogConfig, LogFormat};
use anyhow::Context as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

/// The filter of this process, which can be changed; with what `-v` said.
static FILTER: OnceLock<(u8, reload::Handle<EnvFilter, Registry>)> = OnceLock::new();

/// Starts logging.
pub(crate) fn start(verbose: u8, command: &Command) {
    let (config, node) = match command {
        Command::Up(up) => (Config::load(up.config()).map(|config| config.log).unwrap_or_default(), true),
        _ => (LogConfig::default(), false),
    };
    let (layer, handle) = reload::Layer::new(filter(verbose, node.then_some(&config)));
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = match config.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // a second subscriber cannot be set; there is only this one
    let _ = tracing_subscriber::registry().with(layer).with(lines).try_init();
    let _ = FILTER.set((verbose, handle));
}

/// What is logged, by the first of those that say something; none of a tool's own is a configuration.
fn filter(verbose: u8, config: Option<&LogConfig>) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(said(verbose, config)))
}

/// The same without the environment.
fn said(verbose: u8, config: Option<&LogConfig>) -> &str {
    match (verbose, config) {
        (0, None) => "error",
        (0, Some(config)) => &config.filter,
        (1, _) => "info,wattle=debug,mqtt=debug,replica=debug",
        _ => "debug,wattle=trace,mqtt=trace,replica=trace",
    }
}

/// Reads the filter of `file` anew at every SIGHUP. What cannot be used is logged, and the old one stays.
///
/// # Errors
/// If the system does not let us watch for it.
pub(crate) fn reload_on_hangup(file: PathBuf) -> anyhow::Result<()> {
    let mut asked = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            let file = file.clone();
            let read = tokio::task::spawn_blocking(move || Config::load(&file)).await;
            match read {
                Ok(Ok(config)) => take(&config.log),
                Ok(Err(why)) => tracing::warn!("the log's filter stays as it is: {why}"),
                Err(why) => tracing::warn!("the log's filter stays as it is: reading the configuration failed: {why}"),
            }
        }
    });
    Ok(())
}

/// Has this process log by a configuration's filter from now on.
fn take(config: &LogConfig) {
    let Some((verbose, handle)) = FILTER.get() else { return };
    match handle.reload(filter(*verbose, Some(config))) {
        Ok(()) => tracing::info!(filter = %config.filter, "the log's filter was read anew"),
        Err(why) => tracing::warn!("the log's filter stays as it is: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_decides_what_is_logged() {
        let config = LogConfig { filter: "off".into(), ..LogConfig::default() };
        assert_eq!(said(0, None), "error");
        assert_eq!(said(0, Some(&config)), "off");
        assert!(said(1, Some(&config)).contains("wattle=debug"));
        assert!(said(2, None).contains("wattle=trace"));
    }
}
