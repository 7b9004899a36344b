//! `wattle up --from-peer`: a new node takes what the network has forgotten from others' HTTP interfaces.
//!
//! None of them is trusted: the replica takes over only what the committee's certificate asks for, and asks the next
//! one if somebody gives something else. Here is only the way to them, and what is told of the progress.

use crate::cli::client::{ClientError, NodeClient};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use replica::{Joining, Progress, Upstream, Watch};
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where nodes answer joining ones.
const PATH: &str = "/api/v1/sync";
/// Nodes that can be named.
pub(crate) const PEERS_MAX: usize = 64;

/// How to join from these nodes, in this order; not at all if there are none.
///
/// # Errors
/// [`ClientError`] for the first that is no address of a node, or cannot be asked as it should.
pub(crate) fn from_peers(urls: &[String]) -> Result<Joining, ClientError> {
    if urls.is_empty() {
        return Ok(Joining::default());
    }
    let mut upstreams = Vec::with_capacity(urls.len());
    // a token is for one node: it is not shown to several
    let single = urls.len() == 1;
    for url in urls {
        let node = if single { NodeClient::new(url) } else { NodeClient::nameless(url) };
        upstreams.push(upstream(node?));
    }
    Ok(Joining { upstreams, watch: watch() })
}

fn upstream(node: NodeClient) -> Upstream {
    let name = node.base().to_owned();
    Upstream::new(&name, move |question| {
        let node = node.clone();
        async move {
            // the client blocks
            let asked = tokio::task::spawn_blocking(move || {
                let answer = node.post(PATH, &question, replica::ANSWER_BYTES_MAX as u64);
                answer.map_err(|why| tracing::warn!(node = node.base(), "a question of joining has no answer: {why}")).ok()
            });
            asked.await.ok().flatten()
        }
    })
}

/// Tells of the progress: with a bar where somebody looks, else in lines.
fn watch() -> Watch {
    let bar = ProgressBar::with_draw_target(None, target());
    // the template is a constant; without it the bar looks plain
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    let tenths = AtomicU64::new(0);
    Watch::new(move |progress| match progress {
        Progress::Summit { height, epoch } => {
            tenths.store(0, Ordering::Relaxed);
            bar.set_message("headers");
            bar.set_length(height);
            tracing::info!(height, epoch, "joining: the certificate of this milestone holds");
        }
        Progress::Headers { done, of } => {
            bar.set_position(done);
            let tenth = (done.saturating_mul(10)).checked_div(of).unwrap_or(10);
            if tenths.swap(tenth, Ordering::Relaxed) != tenth {
                tracing::info!(done, of, "joining: headers");
            }
        }
        Progress::State => tracing::info!("joining: the state is the certified one"),
        Progress::Done => {
            bar.finish_and_clear();
            tracing::info!("joined: the rest comes from the peers");
        }
    })
}

fn target() -> ProgressDrawTarget {
    match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_starts() {
        let urls = |urls: &[&str]| urls.iter().map(|u| (*u).to_owned()).collect::<Vec<_>>();
        assert!(from_peers(&urls(&["http://10.0.0.7:8080", "http://n2:8080/"])).is_ok_and(|j| j.upstreams.len() == 2));
        assert!(from_peers(&urls(&[])).is_ok_and(|j| j.upstreams.is_empty()));
        assert!(from_peers(&urls(&["10.0.0.7:8080"])).is_err());
    }
}
