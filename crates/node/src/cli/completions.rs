//! `wattle completions` and `wattle man`: made from what the command line is, so that they cannot be wrong about it.

use super::output::{print, write};
use super::{Failure, arguments};
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::path::{Path, PathBuf};

/// How the program is called.
const PROGRAM: &str = "wattle";

/// `wattle completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle completions bash > ~/.local/share/bash-completion/completions/wattle
  wattle completions zsh > ~/.zfunc/_wattle                  with ~/.zfunc in fpath
  wattle completions fish > ~/.config/fish/completions/wattle.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// `wattle man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle man ~/.local/share/man/man1 && man wattle-up")]
pub(crate) struct Manual {
    /// The directory; it is made if need be, and pages of the same names are written anew
    dir: PathBuf,
}

/// Prints what a shell needs to complete the command line.
///
/// # Errors
/// [`Failure`] if stdout cannot be written.
pub(crate) fn completions(arguments: &Completions) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut arguments::Arguments::command(), PROGRAM, &mut text);
    write(&String::from_utf8_lossy(&text)).map(drop)
}

/// Writes a page for each command and prints how many.
///
/// # Errors
/// [`Failure`] if the directory cannot be written.
pub(crate) fn manual(arguments: &Manual) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| Failure::file(&arguments.dir, error, "name a directory that can be written");
    std::fs::create_dir_all(&arguments.dir).map_err(|e| failed(&e))?;
    let pages = pages(&arguments.dir).map_err(|e| failed(&e))?;
    print(&format!("{pages} pages in {}", arguments.dir.display()))
}

/// Writes the pages, and says how many there are.
fn pages(dir: &Path) -> std::io::Result<usize> {
    clap_mangen::generate_to(arguments::Arguments::command(), dir)?;
    let names = std::fs::read_dir(dir)?.filter_map(Result::ok).map(|entry| entry.file_name());
    Ok(names.filter(|name| name.to_str().is_some_and(|name| name.starts_with(PROGRAM) && name.ends_with(".1"))).count())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut arguments::Arguments::command(), PROGRAM, &mut text);
            let text = String::from_utf8(text).unwrap();
            for command in ["doctor", "backup", "milestones"] {
                assert!(text.contains(command), "{shell} does not know {command}");
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        assert!(pages(dir.path()).unwrap() > 30);
        for page in ["wattle.1", "wattle-up.1", "wattle-service-buy.1"] {
            assert!(dir.path().join(page).is_file(), "{page} is missing");
        }
    }
}
