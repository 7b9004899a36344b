//! The file of users: names, hashes of passwords, what they are and may do.
//!
//! ```text
//! [devices]                              # what every device of the site may do on top of its own topics
//! subscribe = ["root/node/{site}/tangle"]
//!
//! [[user]]
//! name = "m1"                            # the device m1 of this site
//! role = "device"
//! password = "$argon2id$…"
//!
//! [[user]]
//! name = "dashboard"
//! role = "service"
//! subscribe = ["root/fog/{site}/#"]
//! password = "$argon2id$…"
//! ```
//! A user without a password can log in by a certificate with its name, or by a token with its name as subject.

use super::error::{AccessError, read_text};
use super::identity::{Identity, IdentityError};
use super::passwords::check_hash;
use super::policy::{Grants, check_patterns};
use protocol::Name;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Bytes of a file of users.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Users of one file.
pub const USERS_MAX: usize = 100_000;
/// Bytes of a user's name.
const NAME_BYTES_MAX: usize = 128;
/// The first line of a file that we write.
const HEAD: &str = "# Users of the site's broker. `wattle user` changes this file; passwords are Argon2id hashes.\n";

/// What a user is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A device of the site.
    #[default]
    Device,
    /// A part of the system or an application.
    Service,
    /// A gateway that speaks for devices.
    Gateway,
    /// A broker below this one.
    Link,
}

/// A user as the file has it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserEntry {
    /// The name to log in with.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Which device, if it is one: `device` or `site/device`; without it the one called like the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Which broker below a link is of: its scope, a site or the first levels of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Whether it is kept out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// Filters it may publish to, on top of what its role has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<String>,
    /// Filters it may subscribe to, on top of what its role has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribe: Vec<String>,
    /// The Argon2id hash of its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

impl fmt::Debug for UserEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserEntry").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A file of users, to be read, changed and written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserFile {
    /// What every device of the site may do on top of its own topics.
    #[serde(skip_serializing_if = "Grants::is_empty")]
    pub devices: Grants,
    /// The users.
    #[serde(rename = "user", skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserEntry>,
}

impl UserFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`AccessError`] if it cannot be read or is not a file of users.
    pub fn load(path: &Path) -> Result<Self, AccessError> {
        let text = read_text(path, FILE_BYTES_MAX)?;
        let file: Self = toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(start).filter(|b| *b == b'\n').count() + 1;
            // the message only: the parser's whole text would quote the line, and a hash with it
            AccessError::content(path, format!("line {line}: {}", error.message().split_whitespace().collect::<Vec<_>>().join(" ")))
        })?;
        file.check().map_err(|why| AccessError::content(path, why))?;
        Ok(file)
    }

    /// Writes the file, readable by its owner only, at once or not at all.
    ///
    /// # Errors
    /// [`AccessError`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), AccessError> {
        self.check().map_err(|why| AccessError::content(path, why))?;
        let text = toml::to_string_pretty(self).map_err(|e| AccessError::content(path, e))?;
        let new = path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(HEAD.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, path)
        };
        write().map_err(|e| AccessError::File { what: "write", path: path.into(), why: e.to_string() })
    }

    /// The user called `name`.
    #[must_use]
    pub fn find(&mut self, name: &str) -> Option<&mut UserEntry> {
        self.users.iter_mut().find(|user| user.name == name)
    }

    /// Whether it can be used, as far as can be said without knowing the site.
    ///
    /// # Errors
    /// What is wrong, and with which user.
    pub fn check(&self) -> Result<(), String> {
        if self.users.len() > USERS_MAX {
            return Err(format!("it has {} users, the limit is {USERS_MAX}", self.users.len()));
        }
        check_patterns(&self.devices, true).map_err(|why| format!("[devices]: {why}"))?;
        let mut names = HashSet::new();
        for user in &self.users {
            let at = |why: String| format!("user {:?}: {why}", user.name);
            if user.name.is_empty() || user.name.len() > NAME_BYTES_MAX || user.name.chars().any(char::is_control) {
                return Err(at(format!("a name has 1 to {NAME_BYTES_MAX} bytes and no control characters")));
            }
            if !names.insert(user.name.as_str()) {
                return Err(at("it is there twice".into()));
            }
            if let Some(hash) = &user.password {
                check_hash(hash).map_err(at)?;
            }
            if user.device.is_some() && user.role != Role::Device {
                return Err(at("only the role device has a device".into()));
            }
            if user.site.is_some() != (user.role == Role::Link) {
                return Err(at("the role link, and only it, has a site: the one of the broker below".into()));
            }
            if let Some(Err(why)) = user.site.as_deref().map(Name::site) {
                return Err(at(format!("its site: {why}")));
            }
            let grants = Grants { publish: user.publish.clone(), subscribe: user.subscribe.clone() };
            // a gateway speaks for devices in one connection and for itself in another, where {id} means nothing
            check_patterns(&grants, user.role == Role::Device).map_err(|why| at(why.to_string()))?;
        }
        Ok(())
    }
}

/// A user as the broker needs it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) identity: Identity,
    pub(super) grants: Grants,
    pub(super) hash: Option<String>,
    pub(super) disabled: bool,
}

/// The users of one site.
#[derive(Clone, Default)]
pub struct Users {
    by_name: BTreeMap<String, User>,
    /// Devices that a disabled user stands for.
    disabled: HashSet<Identity>,
    pub(super) devices: Grants,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("users", &self.by_name.len()).finish_non_exhaustive()
    }
}

impl Users {
    /// Reads the users of `site`.
    ///
    /// # Errors
    /// [`AccessError`] if the file cannot be read, is not a file of users, or names devices of another site.
    pub fn load(path: &Path, site: &Name) -> Result<Self, AccessError> {
        let file = UserFile::load(path)?;
        let mut users = Self { devices: file.devices, ..Self::default() };
        for entry in file.users {
            let identity = identity(&entry, site)
                .map_err(|why| AccessError::content(path, format!("user {:?}: its device: {why}; this is the site {site}", entry.name)))?;
            if entry.disabled && matches!(identity, Identity::Device { .. }) {
                users.disabled.insert(identity.clone());
            }
            let grants = Grants { publish: entry.publish, subscribe: entry.subscribe };
            users.by_name.insert(entry.name, User { identity, grants, hash: entry.password, disabled: entry.disabled });
        }
        Ok(users)
    }

    pub(super) fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    /// Whether a disabled user stands for this device.
    pub(super) fn is_disabled(&self, device: &Identity) -> bool {
        self.disabled.contains(device)
    }
}

fn identity(entry: &UserEntry, site: &Name) -> Result<Identity, IdentityError> {
    let name = entry.name.clone();
    Ok(match entry.role {
        Role::Device => return Identity::device(entry.device.as_deref().unwrap_or(&entry.name), site),
        Role::Service => Identity::Service { name },
        Role::Gateway => Identity::Gateway { name, device: None },
        Role::Link => {
            let site = Name::site(entry.site.as_deref().unwrap_or_default()).map_err(|_| IdentityError::Shape)?;
            Identity::Link { name, site }
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::passwords::hash_password;
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn site() -> Name {
        Name::new("z1").unwrap()
    }

    fn load(text: &str) -> Result<Users, AccessError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        std::fs::write(&path, text).unwrap();
        Users::load(&path, &site())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        let hash = hash_password(b"secret").unwrap();
        let device = UserEntry { name: "m1".into(), password: Some(hash.clone()), ..UserEntry::default() };
        let service = UserEntry {
            name: "fog".into(),
            role: Role::Service,
            publish: vec!["root/fog/{site}/#".into()],
            disabled: true,
            ..UserEntry::default()
        };
        let link = UserEntry { name: "up".into(), role: Role::Link, site: Some("agg1/loc1".into()), ..UserEntry::default() };
        let file = UserFile { users: vec![device, service, link], ..UserFile::default() };
        file.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(UserFile::load(&path).unwrap(), file);
        let users = Users::load(&path, &site()).unwrap();
        assert_eq!(users.get("m1").unwrap().identity, Identity::device("m1", &site()).unwrap());
        assert!(users.get("fog").unwrap().disabled);
        assert!(users.get("nobody").is_none());
        let shown = format!("{file:?} {users:?}");
        assert!(!shown.contains("argon2"), "{shown}");
    }

    #[test]
    fn a_bad_file_is_named_with_the_reason() {
        let user = "[[user]]\nname = \"m1\"\nrole = \"device\"\n";
        for (text, why) in [
            (format!("{user}{user}"), "twice"),
            (format!("{user}colour = 1\n"), "line 4"),
            (format!("{user}password = \"secret\"\n"), "hash"),
            (format!("{user}device = \"z2/m1\"\n"), "z2"),
            (format!("{user}site = \"z2\"\n"), "role link"),
            ("[[user]]\nname = \"up\"\nrole = \"link\"\nsite = \"a//b\"\n".to_string(), "its site"),
            (format!("{user}publish = [\"a/#/b\"]\n"), "last level"),
            ("[[user]]\nname = \"\"\nrole = \"device\"\n".to_string(), "1 to 128"),
            ("[[user]]\nname = \"x\"\nrole = \"king\"\n".to_string(), "line 3"),
            ("[[user]]\nname = \"x\"\nrole = \"service\"\nsubscribe = [\"root/{id}\"]\n".to_string(), "{id}"),
            ("[devices]\nsubscribe = [\"root/{who}\"]\n".to_string(), "[devices]"),
        ] {
            let error = load(&text).unwrap_err().to_string();
            assert!(error.contains("users.toml") && error.contains(why), "{text}: {error}");
            assert!(!error.contains('\n') && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_disabled_device_is_out_however_it_logs_in() {
        let users = load("[[user]]\nname = \"x\"\nrole = \"device\"\ndevice = \"m1\"\ndisabled = true\n").unwrap();
        assert!(users.is_disabled(&Identity::device("m1", &site()).unwrap()));
        assert!(!users.is_disabled(&Identity::device("x", &site()).unwrap()));
    }
}
