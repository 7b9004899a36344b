//! The rules of the board against models, and whole trees of boards without a socket.

use super::super::passport::Passport;
use super::super::seen::Seen;
use super::*;
use proptest::prelude::*;

const T: &str = "root/fog/agg2/loc1/ID1/sense/type1";

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn place(text: &str) -> Place {
    Place { scope: scope(text), parent: !text.is_empty(), up: vec!["root/fog/#".into()], ..Place::default() }
}

fn clients(clients: usize) -> Holders {
    Holders { clients, groups: BTreeSet::new() }
}

fn groups(names: &[&str]) -> Holders {
    Holders { clients: 0, groups: names.iter().map(ToString::to_string).collect() }
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(ToString::to_string).collect()
}

fn join(board: &mut Board, id: &str, scope_text: &str, shared: bool) {
    let link = board.link_mut(id);
    (link.scope, link.weight, link.shared, link.connected) = (scope(scope_text), 1, shared, true);
}

fn ask(board: &mut Board, id: &str, group: Option<&str>, filter: &str) {
    board.link_mut(id).filters.insert((group.map(str::to_owned), filter.to_owned()));
}

fn up(served: &[&str]) -> Way {
    Way { link: None, served: served.iter().map(ToString::to_string).collect(), groups: None }
}

fn down(id: &str) -> Way {
    Way { link: Some(id.into()), served: vec![], groups: None }
}

/// TIER-4: the first subscriber sends a foreign filter up, the last one that goes takes it back.
#[test]
fn the_first_sends_up_and_the_last_takes_back() {
    let mut board = Board::new(place("agg1/loc1"));
    for n in [1, 2, 3, 2, 1] {
        board.set_local(T, clients(n));
        assert_eq!(board.wanted(), set(&[T]), "{n} subscribers");
    }
    assert!(board.set_local(T, clients(0)));
    assert!(!board.set_local(T, clients(0)), "nothing changed");
    assert_eq!(board.wanted(), set(&[]));
}

/// TIER-4: what is satisfied below does not go up; what names no site or no area of ours neither.
#[test]
fn own_sites_and_strange_filters_stay() {
    let mut board = Board::new(place("agg1"));
    join(&mut board, "l", "agg1/loc1", false);
    for stays in ["root/fog/agg1/loc2/#", "root/+/agg1/#", "#", "root/#", "other/fog/agg2/x", "$SYS/#"] {
        board.set_local(stays, clients(1));
        ask(&mut board, "l", None, stays);
    }
    assert_eq!(board.wanted(), set(&[]));
    for goes in ["root/fog/#", "root/fog/+/loc1/#", "root/node/agg2/loc1/tangle"] {
        ask(&mut board, "l", None, goes);
    }
    assert_eq!(board.wanted(), set(&["root/fog/#", "root/fog/+/loc1/#", "root/node/agg2/loc1/tangle"]));
    let mut top = Board::new(place(""));
    top.set_local("root/fog/#", clients(1));
    assert_eq!(top.wanted(), set(&[]), "there is no parent");
}

/// TIER-4: a group of a broker that is alone in its scope is its own affair; the filter goes up as any other.
#[test]
fn groups_go_up_plain_or_by_name() {
    let mut alone = Board::new(place("agg1/loc1"));
    alone.set_local(T, groups(&["g"]));
    assert_eq!(alone.wanted(), set(&[T]));
    let mut shared = Board::new(Place { shared: true, ..place("agg1/loc1") });
    shared.set_local("root/fog/agg1/loc1/#", Holders { clients: 1, ..groups(&["g", "h"]) });
    let own = ["root/fog/agg1/loc1/#", "$share/g/root/fog/agg1/loc1/#", "$share/h/root/fog/agg1/loc1/#"];
    assert_eq!(shared.wanted(), set(&own), "who shares a scope satisfies nothing alone");
}

/// TIER-5, TIER-7: up what is configured or asked for, of our own sites, and never back where it came from.
#[test]
fn the_ways_of_a_publish() {
    let mut board = Board::new(place("agg1"));
    join(&mut board, "a", "agg1/loc1", false);
    join(&mut board, "b", "agg1/loc2", false);
    let own = "root/fog/agg1/loc1/d/sense/t";
    assert_eq!(board.route(Source::Below("a"), own, &[]), [up(&[])]);
    ask(&mut board, "a", None, "root/fog/#");
    ask(&mut board, "b", None, "root/fog/agg1/#");
    ask(&mut board, "b", None, "root/+/agg1/loc1/#");
    assert_eq!(board.route(Source::Below("a"), own, &[]), [down("b"), up(&[])], "once, however many filters match");
    assert_eq!(board.route(Source::Here, own, &[]), [down("a"), down("b"), up(&[])]);
    assert_eq!(board.route(Source::Above, T, &[]), [down("a")], "what comes from above never goes up");
    let tangle = "root/node/agg1/loc1/tangle";
    assert_eq!(board.route(Source::Below("a"), tangle, &[]), [down("b")], "not configured, not asked for");
    assert!(board.set_asked(vec!["root/node/+/loc1/tangle".into()]));
    assert_eq!(board.route(Source::Below("a"), tangle, &[]), [down("b"), up(&[])]);
    assert_eq!(board.route(Source::Here, "root/fog/agg2/x/d/sense/t", &[]), [down("a")], "not of our sites: not up");
}

/// TIER-6.
#[test]
fn a_broker_below_is_asked_for_what_others_want_of_it() {
    let mut board = Board::new(place("agg1"));
    join(&mut board, "a", "agg1/loc1", false);
    join(&mut board, "b", "agg1/loc2", false);
    board.set_local("root/node/agg1/+/tangle", clients(1));
    ask(&mut board, "a", None, "root/node/agg1/loc1/tangle");
    ask(&mut board, "b", None, "root/fog/agg1/loc1/#");
    board.set_asked(vec!["root/device/+/loc1/#".into(), "root/fog/agg1/loc2/#".into()]);
    assert_eq!(board.asked_of("a"), ["root/device/+/loc1/#", "root/fog/agg1/loc1/#", "root/node/agg1/+/tangle"]);
    assert_eq!(board.asked_of("b"), ["root/fog/agg1/loc2/#", "root/node/agg1/+/tangle"]);
    assert!(board.asked_of("nobody").is_empty());
    for n in 0..=ASKED_MAX {
        board.set_local(&format!("root/fog/agg1/loc2/{n}/#"), clients(1));
    }
    assert_eq!(board.asked_of("b"), ["root/+/agg1/loc2/#"]);
}

/// TIER-13: two brokers of one site, a service with `$share/work/…` at both.
#[test]
fn a_group_gets_each_publish_once_across_the_brokers_of_a_site() {
    let mut parent = Board::new(place("agg1"));
    for id in ["x", "y"] {
        join(&mut parent, id, "agg1/loc1", true);
        ask(&mut parent, id, Some("work"), "root/fog/#");
    }
    parent.link_mut("y").weight = 3;
    let mut turns = BTreeMap::new();
    for _ in 0..40 {
        let ways = parent.route(Source::Above, T, &[]);
        assert_eq!(ways.len(), 1);
        assert_eq!(ways[0].groups, Some(vec!["work".to_string()]));
        *turns.entry(ways[0].link.clone().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(turns, BTreeMap::from([("x".to_string(), 10), ("y".to_string(), 30)]), "by weight");

    // A publish that entered at x and was given to the group there.
    let own = "root/fog/agg1/loc1/d/sense/t";
    let served = ["work".to_string()];
    assert_eq!(parent.route(Source::Below("x"), own, &served), [up(&[])]);
    // One that entered at x, where nobody of the group is.
    let ways = parent.route(Source::Below("x"), own, &[]);
    assert_eq!(ways[0], Way { groups: Some(vec!["work".into()]), ..down("y") });
    // A client of y's own gets it as well, and then it says that it is not for the group.
    ask(&mut parent, "y", None, "root/fog/agg1/#");
    assert_eq!(parent.route(Source::Below("x"), own, &served)[0], Way { groups: Some(vec![]), ..down("y") });
    // Who is away gets nothing while another is there.
    parent.link_mut("y").connected = false;
    for _ in 0..5 {
        assert_eq!(parent.route(Source::Above, T, &[])[0].link.as_deref(), Some("x"));
    }
    // Groups of the same name at another site are other groups.
    join(&mut parent, "z", "agg1/loc9", true);
    ask(&mut parent, "z", Some("work"), "root/fog/#");
    assert_eq!(parent.route(Source::Above, T, &[]).len(), 2);
}

#[test]
fn the_broker_of_a_shared_scope_says_which_groups_it_served() {
    let mut board = Board::new(Place { shared: true, ..place("agg1/loc1") });
    board.set_local("root/fog/#", groups(&["work"]));
    board.set_local("root/fog/agg1/+/d/#", groups(&["more"]));
    board.set_local("root/node/#", groups(&["other"]));
    assert_eq!(board.route(Source::Here, "root/fog/agg1/loc1/d/sense/t", &[]), [up(&["more", "work"])]);
}

/// One broker of a tree without sockets.
struct Node {
    id: String,
    board: Board,
    seen: Seen,
    parent: Option<usize>,
    below: Vec<usize>,
}

/// A tree of brokers: what one says to another is carried at once, or as often as a test wants.
struct Tree {
    nodes: Vec<Node>,
    /// What each broker's clients got: topic and sequence.
    got: Vec<Vec<(String, u64)>>,
    loops: usize,
}

impl Tree {
    fn new(brokers: &[(&str, Option<usize>)]) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        for (n, (text, parent)) in brokers.iter().enumerate() {
            let place = Place { parent: parent.is_some(), ..place(text) };
            nodes.push(Node { id: format!("{n:016x}"), board: Board::new(place), seen: Seen::default(), parent: *parent, below: vec![] });
            if let Some(parent) = parent {
                nodes[*parent].below.push(n);
                join(&mut nodes[*parent].board, &n.to_string(), text, false);
            }
        }
        Self { got: vec![vec![]; nodes.len()], nodes, loops: 0 }
    }

    /// Subscriptions up, what is asked for down, until nothing changes.
    fn settle(&mut self) {
        for _ in 0..2 * self.nodes.len() {
            for n in 0..self.nodes.len() {
                let wanted: BTreeSet<LinkFilter> = self.nodes[n].board.wanted().into_iter().map(|f| (None, f)).collect();
                if let Some(parent) = self.nodes[n].parent {
                    self.nodes[parent].board.link_mut(&n.to_string()).filters = wanted;
                }
                for child in self.nodes[n].below.clone() {
                    let asked = self.nodes[n].board.asked_of(&child.to_string());
                    self.nodes[child].board.set_asked(asked);
                }
            }
        }
    }

    fn publish(&mut self, at: usize, topic: &str, sequence: u64, copies: usize) {
        let passport = Passport::new(&self.nodes[at].id.clone(), sequence, 1);
        self.carry(at, None, topic, passport, copies);
    }

    /// `copies`: how often each link delivers what it carries.
    fn carry(&mut self, at: usize, from: Option<usize>, topic: &str, passport: Passport, copies: usize) {
        let node = &mut self.nodes[at];
        if from.is_some() {
            if !passport.may_enter(&node.id) {
                self.loops += 1;
                return;
            }
            if node.seen.has(&passport.origin, passport.sequence) {
                return;
            }
            node.seen.take(&passport.origin, passport.sequence);
        }
        let link = from.map(|f| f.to_string());
        let source = match (from, &link) {
            (Some(from), _) if Some(from) == node.parent => Source::Above,
            (Some(_), Some(link)) => Source::Below(link),
            _ => Source::Here,
        };
        let ways = node.board.route(source, topic, &[]);
        if node.board.local.keys().any(|filter| scope::matches(filter, topic)) {
            self.got[at].push((topic.to_string(), passport.sequence));
        }
        for way in ways {
            let to = way.link.map_or_else(|| self.nodes[at].parent.unwrap(), |id| id.parse().unwrap());
            let (_, _, properties) = super::super::passport::properties(passport.leave(&self.nodes[at].id, topic, b"", &[], None));
            for _ in 0..copies {
                let arrived = Passport::read(properties.iter().map(|(k, v)| (k.as_str(), v.as_str()))).unwrap().unwrap();
                self.carry(to, Some(at), topic, arrived, copies);
            }
        }
    }
}

/// The paper's Figure 10, step by step: D111 at LB11 wants T of agg2/loc1.
#[test]
fn the_nine_steps() {
    // 0 CB, 1 AB1, 2 AB2, 3 LB11, 4 LB21
    let mut tree = Tree::new(&[("", None), ("agg1", Some(0)), ("agg2", Some(0)), ("agg1/loc1", Some(1)), ("agg2/loc1", Some(2))]);
    tree.nodes[3].board.set_local(T, clients(1)); // 1: D111 subscribes via LB11
    assert_eq!(tree.nodes[3].board.wanted(), set(&[T])); // 2: LB11 via AB1
    tree.settle();
    assert_eq!(tree.nodes[1].board.wanted(), set(&[T])); // 3: AB1 via CB
    assert_eq!(tree.nodes[0].board.wanted(), set(&[]));
    assert_eq!((tree.nodes[2].board.wanted(), tree.nodes[4].board.wanted()), (set(&[]), set(&[])));
    tree.publish(4, T, 1, 1); // 4: F21 publishes via LB21
    assert_eq!(tree.nodes[4].board.route(Source::Here, T, &[]), [up(&[])]); // 5: LB21 to AB2
    assert_eq!(tree.nodes[2].board.route(Source::Below("4"), T, &[]), [up(&[])]); // 6: AB2 to CB
    assert_eq!(tree.nodes[0].board.route(Source::Below("2"), T, &[]), [down("1")]); // 7: CB notifies AB1
    assert_eq!(tree.nodes[1].board.route(Source::Above, T, &[]), [down("3")]); // 8: AB1 to LB11
    assert_eq!(tree.got[3], [(T.to_string(), 1)]); // 9: LB11 to D111
    assert!(tree.got.iter().enumerate().all(|(n, got)| n == 3 || got.is_empty()), "nobody else");
}

/// TIER-9: brokers that are wired in a circle by mistake.
#[test]
fn a_circle_is_cut() {
    let mut tree = Tree::new(&[("", None), ("", Some(0)), ("", Some(1))]);
    tree.nodes[0].parent = Some(2);
    tree.nodes[2].below.push(0);
    tree.nodes[0].board = Board::new(Place { parent: true, ..place("") });
    for n in 0..3 {
        tree.nodes[n].board.place.up = vec!["root/#".into()];
        tree.nodes[n].board.set_local("root/fog/#", clients(1));
        let below = tree.nodes[n].below.clone();
        below.iter().for_each(|b| join(&mut tree.nodes[n].board, &b.to_string(), "", false));
    }
    tree.publish(1, "root/fog/a/d/sense/t", 9, 1);
    assert_eq!(tree.got.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    assert!(tree.loops > 0);
}

fn filter() -> impl Strategy<Value = String> {
    let level = |names: &[&'static str]| prop::sample::select(names.to_vec());
    (
        level(&["fog", "node", "+"]),
        level(&["agg1", "agg2", "+"]),
        level(&["loc1", "loc2", "+"]),
        level(&["d/sense/t", "+/sense/t", "#", "tangle"]),
    )
        .prop_map(|(area, aggregation, local, rest)| format!("root/{area}/{aggregation}/{local}/{rest}"))
}

proptest! {
    /// Every broker's clients get each publish that matches a filter of theirs exactly once and in order, wherever it was
    /// published, however often the links repeat it; nothing that nobody wants goes anywhere.
    #[test]
    fn every_subscriber_gets_it_once(
        subscriptions in prop::collection::vec((0usize..7, filter(), 0usize..3), 0..8),
        publishes in prop::collection::vec((3usize..7, prop::sample::select(vec!["fog", "node"])), 1..10),
        copies in 1usize..3,
    ) {
        let sites = ["agg1/loc1", "agg1/loc2", "agg2/loc1", "agg2/loc2"];
        let mut tree = Tree::new(&[
            ("", None), ("agg1", Some(0)), ("agg2", Some(0)),
            (sites[0], Some(1)), (sites[1], Some(1)), (sites[2], Some(2)), (sites[3], Some(2)),
        ]);
        for node in &mut tree.nodes {
            node.board.place.up.clear(); // only what is asked for
        }
        let mut local: BTreeMap<(usize, String), usize> = BTreeMap::new();
        for (at, filter, count) in &subscriptions {
            local.insert((*at, filter.clone()), *count);
            tree.nodes[*at].board.set_local(filter, clients(*count));
            tree.settle(); // on the way to the last state there are others
        }
        tree.settle();
        let mut expected = vec![vec![]; 7];
        for (sequence, (at, area)) in (1u64..).zip(&publishes) {
            let rest = if *area == "fog" { "d/sense/t" } else { "tangle" };
            let topic = format!("root/{area}/{}/{rest}", sites[at - 3]);
            for (reader, got) in expected.iter_mut().enumerate() {
                if local.iter().any(|((n, filter), count)| *n == reader && *count > 0 && scope::matches(filter, &topic)) {
                    got.push((topic.clone(), sequence));
                }
            }
            tree.publish(*at, &topic, sequence, copies);
        }
        prop_assert_eq!(&tree.got, &expected);
        prop_assert_eq!(tree.loops, 0);
        // The last state holds no trace of the ones before.
        for (at, node) in tree.nodes.iter().enumerate().filter(|(_, node)| node.board.wanted().is_empty()) {
            if let Some(parent) = node.parent {
                prop_assert!(tree.nodes[parent].board.link(&at.to_string()).unwrap().filters.is_empty());
            }
        }
    }
}
