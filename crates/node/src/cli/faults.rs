//! What happens when this program has a bug: one line, and an end that loses nothing.

use super::{Exit, output};

/// Makes a panic in any thread end the process with one line and code 4. A node that went on with a dead
/// task would look alive and do nothing; one that ends is started again by its supervisor, and what it
/// acknowledged is on disk.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let what = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let what = what.unwrap_or("no message").replace('\n', " ");
        let at = info.location().map_or_else(|| "unknown place".to_owned(), |l| format!("{}:{}", l.file(), l.line()));
        output::note(&format!(
            "wattle: internal fault: {what} ({at}): the data directory is safe to reopen; see that its disk is neither full nor \
             read-only, run `wattle check DIR`, and report this line if it was not the disk"
        ));
        std::process::exit(i32::from(Exit::Fault.code()));
    }));
}
