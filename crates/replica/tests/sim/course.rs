//! One course of events, from a seed to a verdict.

use crate::checkers;
use crate::world::{Carry, Plan, World};
use commonware_runtime::deterministic::{Config, FaultConfig, PartialWriteMode, Runner, WriteConfig};
use commonware_utils::probability;
use futures::future::LocalBoxFuture;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Simulated time after which a course that does not come to its end has failed.
const COURSE_MAX: Duration = Duration::from_secs(900);
/// A cycle of the runtime, far below the links' latency: the default of 1 ms would be most of it.
const CYCLE: Duration = Duration::from_micros(200);

/// What happens in a world. What it gives back is healed and about to be judged.
pub type Play = fn(World) -> LocalBoxFuture<'static, World>;

/// What the hardware does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    /// A power cut keeps any part of what was written and not synced.
    pub torn: bool,
    /// A task that panics ends its node, as a process would end: the engine panics where its storage fails.
    pub failing: bool,
}

/// Plays one phase after another, with a power cut between any two, then judges. Gives the auditor's digest of
/// everything that happened.
///
/// # Panics
/// With the verdict, if it is not "pass".
pub fn play(plan: &Plan, hardware: Hardware, phases: &[Play]) -> String {
    // RUST_LOG=debug shows what the nodes do
    let _ = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_test_writer().try_init();
    let mut config = Config::new().with_seed(plan.seed).with_cycle(CYCLE).with_timeout(Some(COURSE_MAX));
    config = config.with_catch_panics(hardware.failing);
    if hardware.torn {
        let writes = WriteConfig { failure_rate: probability!(0.0), retention_rate: probability!(0.5), mode: PartialWriteMode::Subset };
        config = config.with_storage_fault_config(FaultConfig::default().write(writes));
    }
    let mut runner = Runner::new(config);
    let (mut carry, mut state) = (Carry::default(), String::new());
    for (i, phase) in phases.iter().enumerate() {
        let last = i + 1 == phases.len();
        let (plan, before) = (plan.clone(), carry);
        let ((after, audit), checkpoint) = runner.start_and_recover(|context| async move {
            let world = phase(World::new(context, plan, before).await).await;
            if last {
                world.settle().await;
                checkers::check(&world).await;
            }
            (world.carry(), world.context.auditor().state())
        });
        (carry, state, runner) = (after, audit, Runner::from(checkpoint));
    }
    state
}

/// Plays and gives the verdict: `pass`, or what kept it from being one.
pub fn verdict(plan: &Plan, hardware: Hardware, phases: &[Play]) -> Result<String, String> {
    catch_unwind(AssertUnwindSafe(|| play(plan, hardware, phases))).map_err(|why| text(&*why))
}

/// Plays one scenario on sound hardware and gives the verdict.
pub fn verdict_of(plan: &Plan, scenario: Play) -> Result<String, String> {
    verdict(plan, Hardware::default(), &[scenario])
}

/// What somebody who panicked said.
pub fn text(why: &(dyn Any + Send)) -> String {
    match (why.downcast_ref::<String>(), why.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (None, Some(text)) => (*text).to_owned(),
        (None, None) => "a panic without words".to_owned(),
    }
}
