//! `wattle user`: the file of users that the site's broker knows.

use super::output::{note, print, print_json, table};
use super::{Exit, Failure, terminal};
use mqtt::access::{AccessError, PASSWORD_BYTES_MAX, Role, UserEntry, UserFile, hash_password};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// `wattle user`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A password is asked for without showing it, or read as the first line of standard input; never given on the command line.
A running broker notices that the file has changed.

Examples:
  wattle user add m1 --file users.toml
  wattle user add fog --service --publish 'root/fog/{site}/#' --subscribe 'root/device/{site}/#'
  openssl rand -base64 24 | wattle user passwd m1
  wattle user disable m1
  wattle user list")]
pub(crate) struct Arguments {
    /// What to do
    #[command(subcommand)]
    what: What,
    /// The file of users: broker.access.users in the configuration
    #[arg(long, value_name = "FILE", default_value = "users.toml", global = true)]
    file: PathBuf,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Add a user; the file is made if there is none
    Add(Add),
    /// Remove a user
    Remove(Named),
    /// Give a user another password
    Passwd(Named),
    /// Keep a user out
    Disable(Named),
    /// Let a disabled user in again
    Enable(Named),
    /// Who there is
    List(List),
}

/// `wattle user add`.
#[derive(Debug, clap::Args)]
struct Add {
    /// The name to log in with; without another role, the device called so
    name: String,
    /// It is this device: ID, or SITE/ID
    #[arg(long, value_name = "DEVICE", conflicts_with_all = ["service", "gateway", "link"])]
    device: Option<String>,
    /// It is a part of the system or an application, and may do only what is granted here
    #[arg(long, conflicts_with_all = ["gateway", "link"])]
    service: bool,
    /// It is a gateway that speaks for devices
    #[arg(long, conflicts_with = "link")]
    gateway: bool,
    /// It is a broker below ours, for this site or part of the tree of sites
    #[arg(long, value_name = "SITE")]
    link: Option<String>,
    /// It may publish under this filter; may be repeated
    #[arg(long, value_name = "FILTER")]
    publish: Vec<String>,
    /// It may subscribe to this filter and what it holds; may be repeated
    #[arg(long, value_name = "FILTER")]
    subscribe: Vec<String>,
    /// It has no password: it logs in by a certificate, or by a token
    #[arg(long)]
    no_password: bool,
}

/// A user.
#[derive(Debug, clap::Args)]
struct Named {
    /// The name to log in with
    name: String,
}

/// `wattle user list`.
#[derive(Debug, clap::Args)]
struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Reads, changes and writes the file.
///
/// # Errors
/// [`Failure`]: usage (2) if the file cannot be read or written, or the user is none; refused (1) if there is such a user
/// already, or none.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = arguments.file.as_path();
    match &arguments.what {
        What::Add(add) => {
            let mut file = if path.exists() { load(path)? } else { UserFile::default() };
            if file.find(&add.name).is_some() {
                return Err(refused(&add.name, path, "there is such a user", "use `wattle user passwd`, or remove it first"));
            }
            let mut user = entry(add);
            // what is wrong with the user is said before a password is asked for
            file.users.push(user.clone());
            check(&file, path)?;
            if !add.no_password {
                user.password = Some(hashed()?);
                file.users.pop();
                file.users.push(user);
            }
            save(&file, path, &format!("{} was added", add.name))
        }
        What::Remove(Named { name }) => {
            let mut file = load(path)?;
            let before = file.users.len();
            file.users.retain(|user| user.name != *name);
            if file.users.len() == before {
                return Err(nobody(name, path));
            }
            save(&file, path, &format!("{name} was removed"))
        }
        What::Passwd(Named { name }) => {
            let mut file = load(path)?;
            let user = file.find(name).ok_or_else(|| nobody(name, path))?;
            user.password = Some(hashed()?);
            save(&file, path, &format!("{name} has another password"))
        }
        What::Disable(Named { name }) => switch(path, name, true),
        What::Enable(Named { name }) => switch(path, name, false),
        What::List(List { json }) => list(&load(path)?, *json),
    }
}

fn entry(add: &Add) -> UserEntry {
    let role = match (add.service, add.gateway, &add.link) {
        (true, ..) => Role::Service,
        (_, true, _) => Role::Gateway,
        (.., Some(_)) => Role::Link,
        _ => Role::Device,
    };
    UserEntry {
        name: add.name.clone(),
        role,
        device: add.device.clone(),
        site: add.link.clone(),
        publish: add.publish.clone(),
        subscribe: add.subscribe.clone(),
        ..UserEntry::default()
    }
}

fn switch(path: &Path, name: &str, disabled: bool) -> Result<(), Failure> {
    let mut file = load(path)?;
    file.find(name).ok_or_else(|| nobody(name, path))?.disabled = disabled;
    save(&file, path, &format!("{name} is {}", if disabled { "disabled" } else { "enabled" }))
}

fn list(file: &UserFile, json: bool) -> Result<(), Failure> {
    let state = |user: &UserEntry| match (user.disabled, &user.password) {
        (true, _) => "disabled",
        (false, Some(_)) => "password",
        (false, None) => "certificate or token",
    };
    if json {
        let users = file.users.iter().map(|user| {
            serde_json::json!({
                "name": user.name, "role": user.role, "device": user.device, "site": user.site, "disabled": user.disabled,
                "publish": user.publish, "subscribe": user.subscribe, "password": user.password.is_some(),
            })
        });
        return print_json(&users.collect::<Vec<_>>());
    }
    let rows = file.users.iter().map(|user| {
        let role = serde_json::to_value(user.role).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        let of = user.device.clone().or_else(|| user.site.clone()).unwrap_or_default();
        vec![user.name.clone(), role, of, state(user).to_string(), user.publish.join(" "), user.subscribe.join(" ")]
    });
    print(&table(&["user", "role", "of", "logs in by", "publishes", "subscribes"], rows.collect()))
}

fn load(path: &Path) -> Result<UserFile, Failure> {
    UserFile::load(path).map_err(|e| failed(&e))
}

fn check(file: &UserFile, path: &Path) -> Result<(), Failure> {
    file.check().map_err(|why| Failure::new(Exit::Usage, why, path.display(), "see `wattle user add --help`"))
}

fn save(file: &UserFile, path: &Path, done: &str) -> Result<(), Failure> {
    file.save(path).map_err(|e| failed(&e))?;
    note(done);
    Ok(())
}

fn failed(error: &AccessError) -> Failure {
    let todo = "name the file with --file; `wattle user add` makes one";
    Failure::said(Exit::Usage, format!("{error}; {todo}"))
}

fn refused(name: &str, path: &Path, what: &str, todo: &str) -> Failure {
    Failure::new(Exit::Refused, format!("{what}: {name}"), path.display(), todo)
}

fn nobody(name: &str, path: &Path) -> Failure {
    refused(name, path, "there is no such user", "see `wattle user list`")
}

/// The hash of a password that is asked for, or read from standard input.
fn hashed() -> Result<String, Failure> {
    let password = match std::io::stdin().is_terminal() {
        true => terminal::asked("Password", true, PASSWORD_BYTES_MAX, "give the password on standard input instead")?,
        false => terminal::line(std::io::stdin().lock(), "standard input", PASSWORD_BYTES_MAX)?,
    };
    hash_password(password.as_bytes()).map_err(|e| Failure::new(Exit::Usage, e, "standard input", "give the password as one line"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn typed(words: &[&str], path: &Path) -> Result<(), Failure> {
        let file = path.to_str().unwrap();
        let line = Line::try_parse_from(["user"].iter().chain(words).chain(&["--file", file])).unwrap();
        run(&line.arguments)
    }

    #[test]
    fn a_user_is_added_disabled_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        assert_eq!(typed(&["list"], &path).unwrap_err().exit, Exit::Usage);
        typed(&["add", "m1", "--no-password"], &path).unwrap();
        typed(&["add", "fog", "--service", "--publish", "root/fog/{site}/#", "--no-password"], &path).unwrap();
        typed(&["add", "up", "--link", "loc1", "--no-password"], &path).unwrap();
        assert_eq!(typed(&["add", "m1", "--no-password"], &path).unwrap_err().exit, Exit::Refused);
        typed(&["disable", "m1"], &path).unwrap();
        let file = UserFile::load(&path).unwrap();
        assert_eq!(
            file.users.iter().map(|u| (u.name.as_str(), u.role, u.disabled)).collect::<Vec<_>>(),
            [("m1", Role::Device, true), ("fog", Role::Service, false), ("up", Role::Link, false),]
        );
        typed(&["enable", "m1"], &path).unwrap();
        typed(&["remove", "up"], &path).unwrap();
        let error = typed(&["remove", "up"], &path).unwrap_err();
        assert!(error.exit == Exit::Refused && error.to_string().contains("users.toml"), "{error}");
        typed(&["list"], &path).unwrap();
        typed(&["list", "--json"], &path).unwrap();
        let error = typed(&["add", "x", "--service", "--publish", "a/#/b", "--no-password"], &path).unwrap_err();
        assert!(error.exit == Exit::Usage && error.to_string().contains("a/#/b"), "{error}");
        assert_eq!(UserFile::load(&path).unwrap().users.len(), 2);
    }

    #[test]
    fn passwords_are_not_for_the_command_line() {
        let words = ["user", "add", "m1", "secret"];
        assert!(Line::try_parse_from(words).is_err());
        assert!(Line::try_parse_from(["user", "add", "m1", "--password", "secret"]).is_err());
    }
}
