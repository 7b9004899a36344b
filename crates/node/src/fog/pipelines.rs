//! The configuration of a running processor, and its changes.
//!
//! # Rules
//! - What is wrong with a file is told with its place; what was in force stays in force, and the same text is not looked at
//!   again until the file changes.
//! - Payloads are read by the new pipelines as soon as the file is accepted; what has arrived before still passes the old
//!   ones (FOG-46).

use super::error::FogError;
use edge::fog::Fog;
use mqtt::Parser;
use protocol::DeviceTopic;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// A file as it was: seconds and nanoseconds of its last change, bytes, number of its inode. None: it was not there.
type Stamp = Option<(i64, i64, u64, u64)>;

/// The pipelines of a site: their file, and what payloads are read by.
pub(crate) struct Pipelines {
    file: Option<PathBuf>,
    text: String,
    stamp: Stamp,
    parser: Arc<RwLock<Arc<Fog>>>,
}

impl Pipelines {
    /// The pipelines in `file`; without one everything passes as it is.
    ///
    /// # Errors
    /// [`FogError::Read`] or [`FogError::Pipelines`] say what is wrong with the file.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, FogError> {
        let stamp = file.and_then(stamp);
        let (text, fog) = read(file)?;
        Ok(Self { file: file.map(Path::to_path_buf), text, stamp, parser: Arc::new(RwLock::new(Arc::new(fog))) })
    }

    /// What an ingress reads payloads by; it follows changes.
    #[must_use]
    pub(crate) fn parser(&self) -> Parser {
        let parser = self.parser.clone();
        Arc::new(move |topic: &DeviceTopic, payload: &[u8], arrival_us: u64| {
            let fog = parser.read().unwrap_or_else(PoisonError::into_inner).clone();
            fog.parse(topic, payload, arrival_us)
        })
    }

    /// The text in force.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the file has changed since it was last looked at.
    pub(super) fn changed(&mut self) -> bool {
        let now = self.file.as_deref().and_then(stamp);
        let changed = now != self.stamp;
        self.stamp = now;
        changed
    }

    /// Reads the file anew; from now on payloads are read by it. Gives its text, and the pipelines for processing, which
    /// remember nothing.
    ///
    /// # Errors
    /// As [`Pipelines::load`]; what was in force stays.
    pub(super) fn reload(&mut self) -> Result<(String, Fog), FogError> {
        let (text, parsing) = read(self.file.as_deref())?;
        let processing = Fog::load(&text, &name(self.file.as_deref()))?;
        *self.parser.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(parsing);
        self.text.clone_from(&text);
        Ok((text, processing))
    }
}

/// The text of a file of pipelines, and what it says.
fn read(file: Option<&Path>) -> Result<(String, Fog), FogError> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file).map_err(|why| FogError::Read { file: file.to_path_buf(), why })?,
        None => String::new(),
    };
    let fog = Fog::load(&text, &name(file))?;
    Ok((text, fog))
}

/// What errors call the file.
fn name(file: Option<&Path>) -> String {
    file.map_or_else(|| "no pipelines".to_owned(), |file| file.display().to_string())
}

fn stamp(file: &Path) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec(), metadata.size(), metadata.ino()))
}
