//! Who asks for what: clients here, brokers below, the parent's side; and what the parent has of us.

use super::{Tiers, lock};
use crate::spool::{Change, Durable, SpoolError};
use crate::tiers::board::{Holders, LINK_FILTERS_MAX, LinkFilter};
use crate::tiers::memory::{self, SUBSCRIBED};
use crate::tiers::passport::link_scope;
use crate::tiers::scope;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// What a broker below says of itself when it connects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello {
    pub(crate) weight: u32,
    pub(crate) shared: bool,
}

impl Tiers {
    /// Sets who has `filter` among the clients here.
    pub(crate) fn set_local(&self, filter: &str, holders: Holders) {
        if lock(&self.state).board.set_local(filter, holders) {
            self.tell();
        }
    }

    /// Sets what the parent's side asks for.
    pub(crate) fn set_asked(&self, asked: Vec<String>) {
        if lock(&self.state).board.set_asked(asked) {
            self.tell();
        }
    }

    /// The subscriptions we need at the parent.
    pub(crate) fn wanted(&self) -> BTreeSet<String> {
        lock(&self.state).board.wanted()
    }

    /// What the broker below is asked for.
    pub(crate) fn asked_of(&self, link: &str) -> Vec<String> {
        lock(&self.state).board.asked_of(link)
    }

    /// What the parent may have of us.
    pub(crate) fn subscribed(&self) -> BTreeSet<String> {
        lock(&self.subscribed).clone()
    }

    /// Remembers what the parent may have of us.
    pub(crate) fn remember_subscribed(&self, filters: &BTreeSet<String>) -> Result<Durable, SpoolError> {
        lock(&self.subscribed).clone_from(filters);
        let lines = filters.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        self.spool.submit(memory::note(SUBSCRIBED, Some(lines.into_bytes())))
    }

    /// Whether the parent is a broker of another kind: then its session collects for us while we are away.
    pub(in crate::tiers) fn parent_is_foreign(&self) -> bool {
        self.foreign.load(Ordering::Relaxed)
    }

    /// Remembers of which kind the parent is.
    pub(in crate::tiers) fn set_parent_foreign(&self, foreign: bool) {
        if self.foreign.swap(foreign, Ordering::Relaxed) != foreign {
            tracing::info!(foreign, "the parent is a broker of {} kind", if foreign { "another" } else { "our" });
            if let Err(error) = self.spool.mention(memory::note(memory::FOREIGN, foreign.then(Vec::new))) {
                tracing::warn!(%error, "the kind of the parent broker is not remembered");
            }
        }
    }

    /// Whether the broker with this client id may link here.
    pub(crate) fn may_link(&self, id: &str) -> bool {
        link_scope(id).is_some_and(|scope| self.config.children.contains(&scope))
    }

    /// A broker below has connected.
    pub(crate) fn link_connected(&self, id: &str, hello: Hello) {
        let Some(scope) = link_scope(id) else { return };
        {
            let mut state = lock(&self.state);
            let link = state.board.link_mut(id);
            (link.scope, link.weight, link.shared, link.connected) = (scope, hello.weight, hello.shared, true);
            let note = memory::link(id, link);
            if let Err(error) = self.spool.mention(Change { append: Vec::new(), notes: vec![note] }) {
                tracing::warn!(%id, %error, "a link is not remembered");
            }
        }
        self.tell();
    }

    /// A broker below has left. What it asked for stays, and is kept for it.
    pub(crate) fn link_left(&self, id: &str) {
        let mut state = lock(&self.state);
        if state.board.link(id).is_some() {
            state.board.link_mut(id).connected = false;
        }
    }

    /// A broker below has subscribed or unsubscribed. Gives what to wait for before it is acknowledged; nothing if nothing
    /// changes, or the filter is not one that may cross or is one too many.
    pub(crate) fn link_filter(&self, id: &str, filter: LinkFilter, wants: bool) -> Option<Durable> {
        let key = memory::filter_key(id, &filter);
        let durable = {
            let mut state = lock(&self.state);
            let link = state.board.link_mut(id);
            let group = filter.0.as_deref().unwrap_or_default();
            let fine = scope::crosses(&filter.1) && !group.contains(char::is_control) && link.filters.len() < LINK_FILTERS_MAX;
            if wants && !fine {
                tracing::warn!(%id, filter = %filter.1, "a link's subscription has no effect: it may not cross, or is one too many");
                return None;
            }
            let changes = if wants { link.filters.insert(filter) } else { link.filters.remove(&filter) };
            if !changes {
                return None;
            }
            self.spool.submit(memory::note(&key, wants.then(Vec::new)))
        };
        self.tell();
        durable.inspect_err(|error| tracing::warn!(%id, %error, "a link's subscription is not remembered")).ok()
    }
}
