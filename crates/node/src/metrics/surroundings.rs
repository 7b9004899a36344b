//! What lies around a node and ends it if nobody looks: a disk that fills, certificates that end.

use crate::config::Config;
use std::path::PathBuf;

/// What is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    data_dir: PathBuf,
    certificates: Vec<(&'static str, PathBuf)>,
}

/// The file system with the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Bytes that may still be written.
    pub(crate) free_bytes: u64,
    /// All its bytes.
    pub(crate) size_bytes: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// The disk, if the system says.
    pub(crate) disk: Option<Disk>,
    /// The setting that names each certificate, and when it ends, in seconds since 1970. Those that cannot be read are left out.
    pub(crate) certificates: Vec<(&'static str, u64)>,
}

impl Watched {
    /// What the configuration names.
    #[must_use]
    pub(crate) fn new(config: &Config) -> Self {
        Self { data_dir: config.data_dir(), certificates: config.certificate_files() }
    }

    /// Looks. Blocks on files.
    #[must_use]
    pub(crate) fn look(&self) -> Surroundings {
        let disk = rustix::fs::statvfs(&self.data_dir).ok().map(|found| Disk {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            size_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        });
        let ends = |(name, file): &(&'static str, PathBuf)| match mqtt::access::certificates_end_s(file) {
            Ok(not_after_s) => Some((*name, not_after_s)),
            Err(why) => {
                tracing::debug!("{name}: {why}");
                None
            }
        };
        Surroundings { disk, certificates: self.certificates.iter().filter_map(ends).collect() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_a_disk_and_a_missing_certificate_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let watched = Watched { data_dir: dir.path().into(), certificates: vec![("broker.certificate", dir.path().join("none.pem"))] };
        let found = watched.look();
        let disk = found.disk.unwrap();
        assert!(disk.size_bytes > 0 && disk.free_bytes <= disk.size_bytes, "{disk:?}");
        assert!(found.certificates.is_empty());
        let nowhere = Watched { data_dir: dir.path().join("gone"), certificates: Vec::new() };
        assert_eq!(nowhere.look(), Surroundings::default());
    }
}
