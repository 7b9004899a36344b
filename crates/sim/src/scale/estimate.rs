//! Everything that the model says of one network.

use super::constants::Constants;
use super::latency::{Latency, latency};
use super::links::{Flow, flows};
use super::load::{Load, Processor};
use super::parts::{Utilisation, memory_bytes, used};
use super::settings::{ScaleError, Settings};
use super::shape::Shape;
use super::storage::{Yearly, yearly};

/// What becomes of so many devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Devices.
    pub devices: u64,
    /// Who is how many.
    pub shape: Shape,
    /// Readings a second: all, of the busiest subnet, of the busiest site.
    pub readings_per_second: f64,
    /// Of the busiest subnet.
    pub subnet_readings_per_second: f64,
    /// Of the busiest site.
    pub site_readings_per_second: f64,
    /// Readings in a batch of the busiest site, on average.
    pub batch_readings: f64,
    /// Messages a second in the busiest subnet.
    pub messages_per_second: f64,
    /// Its milestones a second.
    pub milestones_per_second: f64,
    /// The processor of a node of the busiest site that is in the committee.
    pub processor: Processor,
    /// Its memory.
    pub memory_bytes: f64,
    /// How much of each part is used.
    pub utilisations: Vec<Utilisation>,
    /// From publish to confirmation; none if something does not keep up.
    pub latency: Option<Latency>,
    /// Bytes a second on each kind of link.
    pub flows: Vec<Flow>,
    /// A year on disk.
    pub yearly: Yearly,
}

impl Estimate {
    /// Whether every part keeps up.
    #[must_use]
    pub fn keeps_up(&self) -> bool {
        self.utilisations.iter().all(|one| one.used <= 1.0)
    }
}

/// Says what becomes of a network.
///
/// # Errors
/// [`ScaleError`] if the settings make no sense.
pub fn estimate(settings: &Settings, constants: &Constants) -> Result<Estimate, ScaleError> {
    settings.check()?;
    let shape = Shape::of(settings);
    let load = Load::of(settings, &shape, constants);
    Ok(Estimate {
        devices: settings.devices,
        readings_per_second: settings.devices as f64 / settings.period.as_secs_f64(),
        subnet_readings_per_second: load.subnet_rate,
        site_readings_per_second: load.rate,
        batch_readings: load.batch.size,
        messages_per_second: load.all,
        milestones_per_second: load.milestones_per_second(),
        processor: load.processor(),
        memory_bytes: memory_bytes(&shape, constants),
        utilisations: used(settings, &shape, &load, constants),
        latency: latency(settings, &shape, &load, constants),
        flows: flows(settings, &shape, &load, constants),
        yearly: yearly(settings, &shape, &load, constants),
        shape,
    })
}
