//! Services that act, with real processes: a provider's node, a machine that checks certificates itself, and a buyer
//! (SRV-1 to SRV-10).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use protocol::service::service_id;
use protocol::{Action, Draft, Encode as _, Id, Name, NetworkId, Operation, Order, SecretKey, ServiceKind, Silence, Terms};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use support::{CONFIRM_TIMEOUT, NODE_TIMEOUT, Net, Process, get, now_us, until, wattle};

const PRICE: u64 = 2_000_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Four nodes. Node 1 serves z1 and provides the service; node 2's wallet buys.
struct World {
    net: Net,
    network: NetworkId,
    provider: SecretKey,
    buyer: SecretKey,
    service: Id,
}

impl World {
    fn new(report_ms: u64, silence: Silence) -> Self {
        let mut net = Net::init(4, &[]);
        net.configure(1, "\n[services]\nanswer_ms = 1000\n");
        (1..=4).for_each(|k| net.start(k));
        (1..=4).for_each(|k| net.wait_ready(k));
        let key = |k| {
            let seed: Id = std::fs::read_to_string(net.node_dir(k).join("node.key")).unwrap().trim().parse().unwrap();
            SecretKey::from_seed(&seed.0)
        };
        let (provider, buyer) = (key(1), key(2));
        let name = Name::new("espresso").unwrap();
        let service = service_id(&provider.public_key(), &name);
        let world = Self { network: net.genesis().network(), net, provider, buyer, service };
        let kind = ServiceKind::Actuate("z1/espresso/act/brew".parse().unwrap());
        let terms = Terms { kind, price: PRICE, report_ms, silence };
        world.order(1, &world.provider, Action::Service { name, terms: Some(terms) });
        world.order(2, &world.buyer, Action::Fund { amount: 10 });
        let path = format!("/api/v1/services/{service}");
        until("the service is known at node2", CONFIRM_TIMEOUT, || world.get(2, &path).is_some_and(|s| s["open"] == true));
        until("the buyer has coins", CONFIRM_TIMEOUT, || world.purse(&world.buyer)["available"] == json!(5 * PRICE));
        world
    }

    fn get(&self, k: u16, path: &str) -> Option<Value> {
        get(&self.net.http(k), path).filter(|(code, _)| *code == 200).and_then(|(_, text)| serde_json::from_str(&text).ok())
    }

    /// Whether node 2 says that there is no such thing.
    fn is_gone(&self, path: &str) -> bool {
        get(&self.net.http(2), path).is_some_and(|(code, _)| code == 404)
    }

    fn post(&self, k: u16, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.net.http(k));
        let mut response = ureq::post(&url).content_type("application/json").send(body.to_string()).expect("it is taken");
        serde_json::from_str(&response.body_mut().read_to_string().unwrap()).unwrap()
    }

    fn purse(&self, key: &SecretKey) -> Value {
        self.get(2, &format!("/api/v1/wallets/{}", key.public_key())).unwrap_or_default()["purse"].clone()
    }

    fn order(&self, k: u16, key: &SecretKey, action: Action) {
        let wallet = self.get(k, &format!("/api/v1/wallets/{}", key.public_key())).unwrap();
        let order = Order::sign(&self.network, key, wallet["state"].as_str().unwrap().parse().unwrap(), action);
        self.post(k, "/api/v1/orders", &json!({ "orders": [hex(&order.encode())] }));
    }

    /// Buys an espresso at node 2, and waits until that is final.
    fn buy(&self) -> Id {
        let purse = self.purse(&self.buyer);
        let from_ms = now_us() / 1_000;
        let draft = Draft {
            state: purse["next_state"].as_str().unwrap().parse().unwrap(),
            number: purse["next_number"].as_u64().unwrap(),
            epoch: purse["epoch"].as_u64().unwrap(),
            operation: Operation::Buy { service: self.service, argument: b"lungo".to_vec() },
            price: PRICE,
            from_ms,
            until_ms: from_ms + 60_000,
        };
        let request = draft.sign(&self.network, &self.buyer, 1, 1 << 20).unwrap().unwrap();
        self.post(2, "/api/v1/spends", &json!({ "requests": [hex(&request.encode())] }));
        let path = format!("/api/v1/spends/{}", request.id());
        until("the purchase is final", CONFIRM_TIMEOUT, || self.get(2, &path).is_some_and(|s| s["status"] == "final"));
        request.id()
    }

    /// A machine at z1, with more arguments.
    fn machine(&self, more: &[&str]) -> Machine {
        let mut command = wattle();
        command.args(["demo", "espresso", "--json", "--broker", &self.net.mqtt(), "--service", &self.service.to_string()]);
        command.args(["--price", "2", "--genesis"]).arg(self.net.genesis_file()).args(more);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (output, events) = (child.stdout.take().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let told = events.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                told.lock().unwrap().push(serde_json::from_str::<Value>(&line).unwrap()["event"].as_str().unwrap().to_owned());
            }
        });
        let machine = Machine { events, _process: Process(child) };
        until("the machine is ready", NODE_TIMEOUT, || machine.count("ready") == 1);
        machine
    }
}

struct Machine {
    events: Arc<Mutex<Vec<String>>>,
    _process: Process,
}

impl Machine {
    fn count(&self, event: &str) -> usize {
        self.events.lock().unwrap().iter().filter(|e| *e == event).count()
    }
}

/// SRV-6, SRV-9: the provider's node is killed after the purchase is final and while the machine brews. Afterwards the purchase is
/// settled, the provider paid, and one cup was brewed.
#[test]
fn a_killed_provider_has_it_brewed_once() {
    let mut world = World::new(120_000, Silence::Refund);
    let machine = world.machine(&["--brew", "2s"]);
    let before = world.purse(&world.provider)["balance"].as_u64().unwrap();
    let id = world.buy();
    until("the machine brews", CONFIRM_TIMEOUT, || machine.count("brewing") == 1);
    world.net.kill(1);
    world.net.start(1);
    world.net.wait_ready(1);
    let path = format!("/api/v1/purchases/{id}");
    until("the purchase is settled", CONFIRM_TIMEOUT, || world.is_gone(&path));
    let paid = || world.purse(&world.provider)["balance"].as_u64().is_some_and(|now| now >= before + PRICE);
    until("the provider is paid", CONFIRM_TIMEOUT, paid);
    // a second cup shows that everything before it was handled
    let id = world.buy();
    let path = format!("/api/v1/purchases/{id}");
    until("the second purchase is settled", CONFIRM_TIMEOUT, || world.is_gone(&path));
    until("the second cup is told of", CONFIRM_TIMEOUT, || machine.count("brewed") >= 2);
    assert_eq!((machine.count("brewing"), machine.count("brewed")), (2, 2), "{:?}", machine.events.lock().unwrap());
}

/// SRV-9: nobody brews, or the machine is out of order: the buyer gets the price back, whatever silence would say.
#[test]
fn who_does_not_deliver_pays_back() {
    let world = World::new(15_000, Silence::Pay);
    // what votes earn comes on top
    let has_all = || world.purse(&world.buyer)["balance"].as_u64().is_some_and(|balance| balance >= 5 * PRICE);
    for broken in [false, true] {
        let machine = broken.then(|| world.machine(&["--broken"]));
        let id = world.buy();
        assert!(broken || !world.is_gone(&format!("/api/v1/purchases/{id}")), "it was settled before anybody answered");
        until("the purchase has ended", CONFIRM_TIMEOUT, || world.is_gone(&format!("/api/v1/purchases/{id}")));
        until("the buyer has the price back", CONFIRM_TIMEOUT, has_all);
        if let Some(machine) = machine {
            until("the machine says that it is broken", CONFIRM_TIMEOUT, || machine.count("failed") >= 1);
            assert_eq!(machine.count("brewed"), 0);
        }
    }
}
