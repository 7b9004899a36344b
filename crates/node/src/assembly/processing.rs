//! The fog processor of a site: its intake, its pipelines, and the runner that will run.

use super::open_log;
use crate::clock::now_us;
use crate::config::Config;
use crate::fog::{FogHandle, FogRunner, LogSink, Pipelines, RunnerParts};
use anyhow::Context as _;
use mqtt::{Broker, Parser, SiteLog};
use protocol::Name;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A processor that is ready to run once the broker is there.
pub(super) struct Processing {
    /// The log of what arrives.
    pub(super) intake: SiteLog,
    /// What payloads are read by.
    pub(super) parser: Parser,
    /// From the intake to the site's log.
    pub(super) runner: FogRunner<LogSink>,
}

impl Processing {
    /// Opens what the configuration asks for; nothing without `fog.pipelines`, unless a processor was here before: what it
    /// holds must go on, so everything passes then as it is.
    pub(super) async fn open(config: &Config, site: &Name, log: &SiteLog) -> anyhow::Result<Option<Self>> {
        let file = config.pipelines_file();
        if file.is_none() && !config.intake_dir().exists() {
            return Ok(None);
        }
        if file.is_none() {
            tracing::info!(intake = %config.intake_dir().display(), "no fog.pipelines: what arrives passes the intake as it is");
        }
        let limit_bytes = config.fog.intake_limit_bytes;
        let intake = open_log(config, config.intake_dir(), limit_bytes).await.context("the intake")?;
        let (site, sink, dir) = (site.clone(), LogSink { log: log.clone(), broker: None }, config.fog_dir());
        let opened = intake.clone();
        let open = move || -> anyhow::Result<(Parser, FogRunner<LogSink>)> {
            let pipelines = Pipelines::load(file.as_deref())?;
            let parser = pipelines.parser();
            let parts = RunnerParts { site, intake: opened, intake_limit_bytes: limit_bytes, dir, pipelines, sink, now_us };
            Ok((parser, FogRunner::open(parts)?))
        };
        let (parser, runner) = tokio::task::spawn_blocking(open).await.context("opening the fog processor")??;
        Ok(Some(Self { intake, parser, runner }))
    }

    /// The runner, which hands its results to `broker` and reads the pipelines anew at every SIGHUP.
    ///
    /// # Errors
    /// If the system does not let us watch for it.
    pub(super) fn into_runner(self, broker: Option<&Arc<dyn Broker>>) -> anyhow::Result<FogRunner<LogSink>> {
        let Self { mut runner, .. } = self;
        runner.sink_mut().broker = broker.cloned();
        let asked = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
        tokio::spawn(reload_when_asked(asked, runner.handle()));
        Ok(runner)
    }
}

/// Has the pipelines read anew at every SIGHUP. What is wrong with them, the processor logs.
async fn reload_when_asked(mut asked: Signal, fog: FogHandle) {
    while asked.recv().await.is_some() {
        fog.reload();
    }
}
