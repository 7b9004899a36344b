//! Results as files. The same results give the same bytes.

use crate::cli::{Exit, Failure};
use sim::chart::{Chart, ChartError};
use std::fs;
use std::path::{Path, PathBuf};

/// A directory that results go to, and what was written there.
pub(super) struct Files {
    dir: PathBuf,
    written: Vec<String>,
}

impl Files {
    /// Makes the directory if it is not there.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be made.
    pub(super) fn new(dir: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(dir).map_err(|error| Failure::file(dir, &error, "name a directory that can be written to"))?;
        Ok(Self { dir: dir.to_owned(), written: Vec::new() })
    }

    /// Writes one file.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be written.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.dir.join(name);
        fs::write(&path, bytes).map_err(|error| Failure::file(&path, &error, "make room, or name another directory"))?;
        self.written.push(name.to_owned());
        Ok(())
    }

    /// Writes a chart as SVG and as PNG.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be drawn or written. A chart without points is left out.
    pub(super) fn chart(&mut self, name: &str, chart: &Chart) -> Result<(), Failure> {
        let fault = |error: ChartError| Failure::new(Exit::Fault, error, name, "report this with the command you typed");
        let svg = match chart.svg() {
            Err(ChartError::Empty(_)) => return Ok(()),
            svg => svg.map_err(fault)?,
        };
        self.write(&format!("{name}.svg"), svg.as_bytes())?;
        self.write(&format!("{name}.png"), &chart.png().map_err(fault)?)
    }

    /// What was written, in one line.
    pub(super) fn summary(&self) -> String {
        format!("wrote {} to {}", self.written.join(", "), self.dir.display())
    }
}
