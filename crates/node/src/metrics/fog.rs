//! The metrics of the fog processor.

use super::{ByReason, counter, gauge, raise, set};
use crate::fog::FogStats;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What the processor counts.
pub(super) struct FogMetrics {
    pipelines: Gauge,
    intake_pending: Gauge,
    intake_bytes: Gauge,
    lag_ms: Gauge,
    stalled: Gauge,
    readings_in: Counter,
    accepted: Counter,
    derived: Counter,
    commands: Counter,
    rejected: ByReason,
    filtered: Counter,
    duplicates: Counter,
    late: Counter,
    series: Gauge,
    open_windows: Gauge,
    forgotten: Counter,
    reloads: Counter,
    reloads_refused: Counter,
    refused: Gauge,
}

impl FogMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        let rejected = ByReason::default();
        r.register("fog_readings_rejected", "Readings that a stage of a pipeline refused, by reason", rejected.clone());
        Self {
            pipelines: gauge(r, "fog_pipelines", "Pipelines in force"),
            intake_pending: gauge(r, "fog_intake_pending", "Readings that arrived and were not processed yet"),
            intake_bytes: gauge(r, "fog_intake_bytes", "Bytes of the intake on disk"),
            lag_ms: gauge(r, "fog_lag_milliseconds", "How long ago the oldest reading that was not processed yet can have arrived"),
            stalled: gauge(r, "fog_stalled", "1 while results cannot be kept, so that nothing is processed"),
            readings_in: counter(r, "fog_readings_in", "Readings processed"),
            accepted: counter(r, "fog_readings_accepted", "Readings of devices that came out"),
            derived: counter(
                r,
                "fog_readings_derived",
                "Readings that windows and enrichments made, or that a stage changed against its signature",
            ),
            commands: counter(r, "fog_commands", "Commands to actuators"),
            rejected,
            filtered: counter(r, "fog_readings_filtered", "Readings taken out by a filter, or by a window that keeps none"),
            duplicates: counter(r, "fog_readings_duplicate", "Repetitions of numbered readings"),
            late: counter(r, "fog_readings_late", "Readings that came after each of their windows had closed"),
            series: gauge(r, "fog_series", "Devices and data types that are remembered"),
            open_windows: gauge(r, "fog_windows_open", "Windows that are open"),
            forgotten: counter(r, "fog_series_forgotten", "Devices and data types forgotten because others needed the room"),
            reloads: counter(r, "fog_reloads", "Times that the pipelines were read anew"),
            reloads_refused: counter(r, "fog_reloads_refused", "Times that they could not be used and the old ones stayed"),
            refused: gauge(r, "fog_refused", "1 while the file of pipelines cannot be used and older ones are in force"),
        }
    }

    pub(super) fn copy(&self, stats: &FogStats) {
        set(&self.pipelines, stats.pipelines as u64);
        set(&self.intake_pending, stats.intake_pending);
        set(&self.intake_bytes, stats.intake_bytes);
        set(&self.lag_ms, stats.lag_us / 1_000);
        set(&self.stalled, u64::from(stats.stalled.is_some()));
        raise(&self.readings_in, stats.readings_in);
        raise(&self.accepted, stats.accepted);
        raise(&self.derived, stats.derived);
        raise(&self.commands, stats.commands);
        for (reason, count) in &stats.rejected {
            raise(&self.rejected.get_or_create(&[("reason", *reason)]), *count);
        }
        raise(&self.filtered, stats.filtered);
        raise(&self.duplicates, stats.duplicates);
        raise(&self.late, stats.late);
        set(&self.series, stats.series);
        set(&self.open_windows, stats.open_windows);
        raise(&self.forgotten, stats.forgotten);
        raise(&self.reloads, stats.reloads);
        raise(&self.reloads_refused, stats.reloads_refused);
        set(&self.refused, u64::from(stats.refused.is_some()));
    }
}
