//! Configurations that load, and what is said of those that do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::*;
use std::time::Duration;

/// What a file with this text is.
pub(super) fn load(text: &str) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wattle.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

fn refusal(text: &str) -> String {
    let message = load(text).unwrap_err().to_string();
    assert!(!message.contains('\n'), "more than one line: {message}");
    assert!(message.contains("wattle.toml"), "no file in: {message}");
    message
}

#[test]
fn the_documented_default_is_the_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wattle.toml");
    let loaded = Config::load(&path).unwrap();
    assert_eq!(loaded, Config { base: path.parent().unwrap().to_path_buf(), ..Config::default() });
}

#[test]
fn the_documented_default_documents_every_key() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wattle.toml")).unwrap();
    for line in Config::default().to_toml().lines().filter(|l| !l.is_empty() && *l != "[ledger.peers]") {
        assert!(text.lines().any(|l| l == line), "wattle.toml lacks {line:?}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let key = "ab".repeat(32);
    let peer = PeerConfig { key: key.clone(), address: loopback(7701) };
    let mut config = Config { site: Some(SiteConfig { name: "z1".into(), roles: None }), ..Config::default() };
    config.broker = Some(BrokerConfig { embedded: Some(loopback(1883)), ..BrokerConfig::default() });
    config.ledger.peers.insert("n1".into(), peer);
    let mut again = load(&config.to_toml()).unwrap();
    assert!(again.base.is_absolute());
    assert_eq!(again.peers().into_iter().collect::<Vec<_>>(), [(key.parse().unwrap(), loopback(7701))]);
    again.base = PathBuf::new();
    assert_eq!(again, config);
}

#[test]
fn retention_is_everything_unless_limited() {
    assert_eq!(Config::default().ledger.retention.retention(), replica::Retention::default());
    let config = load("[ledger.retention]\nmax_age_days = 2\n").unwrap();
    let age = Some(Duration::from_secs(172_800));
    assert_eq!(config.ledger.retention.retention(), replica::Retention { age, bytes: None });
    let config = load("[ledger.retention]\nmax_bytes = 16777216\n").unwrap();
    assert_eq!(config.ledger.retention.retention(), replica::Retention { age: None, bytes: Some(16 << 20) });
    assert_eq!(load(&config.to_toml()).unwrap().ledger, config.ledger);
    for (bad, key) in [("max_age_days = 0", "max_age_days"), ("max_age_days = 36501", "max_age_days"), ("max_bytes = 1", "max_bytes")] {
        assert!(refusal(&format!("[ledger.retention]\n{bad}\n")).contains(&format!("ledger.retention.{key}")));
    }
    assert!(refusal("[ledger.retention]\nmax_days = 1\n").contains("max_days"));
}

#[test]
fn who_earns_from_readings() {
    let key = |seed: u8| protocol::SecretKey::from_seed(&[seed; 32]).public_key();
    let own = key(1);
    let (two, three) = (key(2), key(3));
    let ledger = |text: &str| format!("[ledger]\n{text}");
    let share = |device: &str, wallet: &str| format!("[[ledger.shares]]\ndevice = \"{device}\"\nwallet = \"{wallet}\"\n");
    let named = format!("wallet = \"{two}\"\n");
    let config = load(&format!("{}{}", ledger(&named), share("z1/m1", &three.to_string()))).unwrap();
    assert_eq!(load(&config.to_toml()).unwrap().ledger, config.ledger);
    let device: protocol::DeviceName = "z1/m1".parse().unwrap();
    assert_eq!(config.earners(own), crate::site::Earners::new(Some(two), [(device, three)]));
    assert_eq!(Config::default().earners(own), crate::site::Earners::new(Some(own), []));
    assert_eq!(load(&ledger("wallet = \"none\"\n")).unwrap().earners(own), crate::site::Earners::new(None, []));
    for bad in ["wallet = \"me\"\n".to_owned(), format!("wallet = \"01{}\"\n", "0".repeat(62))] {
        assert!(refusal(&ledger(&bad)).contains("ledger.wallet"), "{bad}");
    }
    let twice = share("z1/m1", &two.to_string()).repeat(2);
    assert!(refusal(&twice).contains("twice"));
    assert!(refusal(&share("m1", &two.to_string())).contains("ledger.shares[0].device"));
    assert!(refusal(&share("z1/m1", "x")).contains("ledger.shares[0].wallet"));
    let many: String = (0..64u8).map(|n| share(&format!("z1/m{n}"), &key(n + 10).to_string())).collect();
    assert!(refusal(&many).contains("different wallets"));
}

#[test]
fn a_place_in_the_tree_of_brokers() {
    let with = |tier: &str| format!("[site]\nname = \"agg1/loc1\"\n[broker]\nembedded = \"127.0.0.1:1883\"\n[tier]\n{tier}");
    let config = load(&with("parent = \"mqtt://agg1.example\"\n")).unwrap();
    assert_eq!(config.tier.clone().unwrap().up, ["root/fog/#"]);
    assert_eq!(load(&config.to_toml()).unwrap().tier, config.tier);
    let place = config.tier.unwrap().resolve("agg1/loc1", Path::new("/"), "spool".into(), 7).unwrap();
    assert_eq!((place.scope.to_string().as_str(), place.limits.min_free_bytes), ("agg1/loc1", 7));
    for (tier, says) in [
        ("parent = \"tcp://x\"\n", "tier.parent"),
        ("parent = \"mqtts://x\"\n", "(ca)"),
        ("parent = \"mqtt://x\"\nca = \"ca.pem\"\n", "tier.parent"),
        ("parent = \"mqtt://x\"\nusername = \"u\"\n", "tier.username"),
        ("parent = \"mqtt://x\"\nscope = \"\"\n", "needs a scope"),
        ("scope = \"a//b\"\n", "tier.scope"),
        ("children = [\"agg2\"]\n", "not below"),
        ("up = [\"#\"]\n", "root/<device"),
        ("spool_bytes = 1\n", "tier.spool_bytes"),
        ("parnet = \"mqtt://x\"\n", "parnet"),
    ] {
        assert!(refusal(&with(tier)).contains(says), "{tier}");
    }
    assert!(refusal("[tier]\n").contains("only an embedded broker"));
    assert!(refusal("[site]\nname = \"a/act\"\n").contains("site.name"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "pass word\n").unwrap();
    let tier = TierSettings {
        parent: Some("mqtt://x".into()),
        username: Some("loc1".into()),
        password_file: Some("secret".into()),
        ..TierSettings::default()
    };
    let login = tier.resolve("agg1/loc1", dir.path(), "spool".into(), 0).unwrap().parent.unwrap().login;
    assert_eq!(login, Some(("loc1".to_string(), "pass word".to_string())));
    let missing = TierSettings { password_file: Some("none".into()), ..tier }.resolve("agg1/loc1", dir.path(), "spool".into(), 0);
    assert!(missing.unwrap_err().to_string().contains("tier.password_file"));
}

#[test]
fn pipelines_need_a_site() {
    let config = load("[site]\nname = \"z1\"\n[fog]\npipelines = \"pipelines.toml\"\n").unwrap();
    assert_eq!(config.pipelines_file().unwrap(), config.base.join("pipelines.toml"));
    assert_eq!(load(&config.to_toml()).unwrap().fog, config.fog);
    assert!(refusal("[fog]\npipelines = \"pipelines.toml\"\n").contains("fog.pipelines"));
    let small = "[site]\nname = \"z1\"\n[fog]\npipelines = \"p.toml\"\nintake_limit_bytes = 1\n";
    assert!(refusal(small).contains("fog.intake_limit_bytes"));
    assert!(refusal("[fog]\npipeline = \"x\"\n").contains("pipeline"));
}

#[test]
fn requests_and_roaming() {
    let with = |more: &str| format!("[site]\nname = \"z1\"\n[broker]\nembedded = \"127.0.0.1:1883\"\n{more}");
    let rules = "[requests]\nmax_age_s = 60\n[[requests.allow]]\nfrom = \"z1/+\"\nto = \"z2/lamp/act/#\"\n\
         [[requests.accept]]\nfrom = \"z2/+\"\nto = \"z1/#\"\nunsigned = true\n[roaming]\nhosts = [\"z2\"]\nvisitors = [\"a/b\"]\n";
    let config = load(&with(rules)).unwrap();
    let requests = config.requests.clone().unwrap();
    assert_eq!((requests.max_age_s, requests.hold_s, requests.allow.len(), requests.accept.len()), (60, 600, 1, 1));
    let again = load(&config.to_toml()).unwrap();
    assert_eq!((again.requests, again.roaming), (config.requests.clone(), config.roaming.clone()));
    for (more, says) in [
        ("[requests]\nmax_age_s = 0\n", "requests.max_age_s"),
        ("[[requests.allow]]\nfrom = \"z1/#/x\"\nto = \"z2/#\"\n", "requests.allow"),
        ("[[requests.accept]]\nfrom = \"z1/x\"\n", "missing field"),
        ("[roaming]\nhosts = [\"z1\"]\n", "roaming.hosts"),
        ("[roaming]\nvisitors = [\"a//b\"]\n", "roaming.visitors"),
    ] {
        assert!(refusal(&with(more)).contains(says), "{more}");
    }
    assert!(refusal("[requests]\n").contains("[broker]"));
    assert!(refusal("[site]\nname = \"z1\"\n[broker]\nexternal = \"mqtt://x\"\n[roaming]\n").contains("embedded broker"));
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = Config { base: "/etc/wattle".into(), ..Config::default() };
    assert_eq!(config.ledger_dir(), Path::new("/etc/wattle/data/ledger"));
    let mut config = config;
    config.node.data_dir = "/var/lib/wattle".into();
    assert_eq!(config.index_file(), Path::new("/var/lib/wattle/index.sqlite"));
}

#[test]
fn errors_name_file_place_and_reason() {
    assert!(refusal("[node]\nname = \"a\"\nnmae = \"b\"\n").contains("line 3: nmae: unknown field `nmae`"));
    assert!(refusal("[ledger]\nlisten = \"nowhere\"\n").contains("line 2: listen:"));
    assert!(refusal("[ledger\n").contains(": line "));
    assert!(refusal("[node]\nname = \"a/b\"\n").contains("node.name"));
    assert!(refusal("[ledger]\nbatch_readings_max = 0\n").contains("ledger.batch_readings_max: 0 is outside 1 to 4096"));
    assert!(refusal("[broker]\nembedded = \"127.0.0.1:1883\"\n").contains("needs a [site]"));
    assert!(refusal("[site]\nname = \"z1\"\n[broker]\n").contains("exactly one of"));
    assert!(refusal("[site]\nname = \"z1\"\n[broker]\nexternal = \"tcp://x\"\n").contains("broker.external"));
    assert!(refusal("[ledger.peers.n1]\nkey = \"12\"\naddress = \"127.0.0.1:1\"\n").contains("ledger.peers.n1.key"));
    let key = "ab".repeat(32);
    let twice = ["n1", "n2"].map(|n| format!("[ledger.peers.{n}]\nkey = \"{key}\"\naddress = \"127.0.0.1:1\"\n")).concat();
    assert!(refusal(&twice).contains("ledger.peers.n2.key: it is also the key of n1"));
    let missing = Config::load(Path::new("/nowhere/wattle.toml")).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/wattle.toml") && missing.contains("wattle init"));
}
