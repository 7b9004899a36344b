//! Who subscribes to what at this broker: the router, watched.
//!
//! Every way in which a subscription can appear or vanish (SUBSCRIBE, UNSUBSCRIBE, the end of a session, a take-over) ends in
//! `Router::add` or `Router::remove`; hooks miss some. So the router only notes that a filter may have changed, and a task
//! looks at what is true. Nothing is counted, so nothing drifts.
//!
//! Subscriptions of links are not routed by rmqtt: what is for a broker below goes through the spool. Nor are those of
//! services in an area that they keep (`keepers`).

use crate::client::lock;
use crate::roles::{Area, Service};
use crate::tiers::Tiers;
use crate::tiers::board::Holders;
use crate::tiers::passport::LINK_PREFIX;
use async_trait::async_trait;
use protocol::Name;
use rmqtt::context::ServerContext;
use rmqtt::router::{DefaultRouter, Router};
use rmqtt::types::{
    AllRelationsMap, HashMap, Id, NodeId, Route, SubRelationsMap, SubsSearchParams, SubsSearchResult, SubscriptionOptions, TopicName,
};
use rmqtt::utils::Counter;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Filters that may have changed.
#[derive(Default)]
pub(super) struct Dirty {
    filters: Mutex<BTreeSet<String>>,
    some: Notify,
}

impl Dirty {
    fn mark(&self, filter: &str) {
        lock(&self.filters).insert(filter.to_owned());
        self.some.notify_one();
    }
}

/// rmqtt's own router, and the note of what changed.
pub(super) struct WatchedRouter {
    inner: DefaultRouter,
    /// Nobody looks if it is not there.
    dirty: Option<Arc<Dirty>>,
    /// The site whose services keep what is published.
    services_of: Option<Name>,
}

impl WatchedRouter {
    pub(super) fn new(scx: &ServerContext, dirty: Arc<Dirty>) -> Self {
        Self { inner: DefaultRouter::new(Some(scx.clone())), dirty: Some(dirty), services_of: None }
    }

    /// For a broker whose clients' publishes are kept by the services of `site`.
    pub(super) fn of_services(scx: &ServerContext, site: Name) -> Self {
        Self { inner: DefaultRouter::new(Some(scx.clone())), dirty: None, services_of: Some(site) }
    }

    /// Whether a subscription is somebody else's to serve.
    fn is_apart(&self, filter: &str, client_id: &str) -> bool {
        let service = |site: &Name| Service::of(client_id, site).is_some() && Area::of_filter(filter, site).is_some();
        client_id.starts_with(LINK_PREFIX) || self.services_of.as_ref().is_some_and(service)
    }

    fn mark(&self, filter: &str) {
        if let Some(dirty) = &self.dirty {
            dirty.mark(filter);
        }
    }
}

/// Tells `tiers` of every change, for ever.
pub(super) async fn watch(scx: ServerContext, tiers: Arc<Tiers>, dirty: Arc<Dirty>) {
    loop {
        dirty.some.notified().await;
        let filters = std::mem::take(&mut *lock(&dirty.filters));
        for filter in filters {
            let holders = {
                let router = scx.extends.router().await;
                router.relations().get(filter.as_str()).map(|relations| holders(relations.value())).unwrap_or_default()
            };
            tiers.set_local(&filter, holders);
        }
    }
}

fn holders(relations: &HashMap<rmqtt::types::ClientId, (Id, SubscriptionOptions)>) -> Holders {
    let mut holders = Holders::default();
    for (_, options) in relations.values() {
        match options.shared_group() {
            None => holders.clients += 1,
            Some(group) if group.contains(char::is_control) => {}
            Some(group) => {
                holders.groups.insert(group.to_string());
            }
        }
    }
    holders
}

#[async_trait]
impl Router for WatchedRouter {
    async fn add(&self, topic_filter: &str, id: Id, opts: SubscriptionOptions) -> Result<(), rmqtt::Error> {
        if self.is_apart(topic_filter, &id.client_id) {
            return Ok(());
        }
        let added = self.inner.add(topic_filter, id, opts).await;
        self.mark(topic_filter);
        added
    }

    async fn remove(&self, topic_filter: &str, id: Id) -> Result<bool, rmqtt::Error> {
        if self.is_apart(topic_filter, &id.client_id) {
            return Ok(true);
        }
        let removed = self.inner.remove(topic_filter, id).await;
        self.mark(topic_filter);
        removed
    }

    // The rest is passed on.

    async fn matches(&self, id: Id, topic: &TopicName) -> Result<SubRelationsMap, rmqtt::Error> {
        self.inner.matches(id, topic).await
    }

    async fn is_online(&self, node_id: NodeId, client_id: &str) -> bool {
        self.inner.is_online(node_id, client_id).await
    }

    async fn gets(&self, limit: usize) -> Vec<Route> {
        self.inner.gets(limit).await
    }

    async fn get(&self, topic: &str) -> Result<Vec<Route>, rmqtt::Error> {
        self.inner.get(topic).await
    }

    async fn query_subscriptions(&self, q: &SubsSearchParams) -> Vec<SubsSearchResult> {
        self.inner.query_subscriptions(q).await
    }

    async fn topics_tree(&self) -> usize {
        self.inner.topics_tree().await
    }

    fn topics(&self) -> Counter {
        self.inner.topics()
    }

    fn routes(&self) -> Counter {
        self.inner.routes()
    }

    fn merge_topics(&self, topics_map: &HashMap<NodeId, Counter>) -> Counter {
        self.inner.merge_topics(topics_map)
    }

    fn merge_routes(&self, routes_map: &HashMap<NodeId, Counter>) -> Counter {
        self.inner.merge_routes(routes_map)
    }

    async fn list_topics(&self, top: usize) -> Vec<String> {
        self.inner.list_topics(top).await
    }

    async fn list_relations(&self, top: usize) -> Vec<serde_json::Value> {
        self.inner.list_relations(top).await
    }

    fn relations(&self) -> &AllRelationsMap {
        self.inner.relations()
    }
}
