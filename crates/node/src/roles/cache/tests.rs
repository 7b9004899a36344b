use super::*;
use mqtt::LogConfig;
use protocol::Value;

fn site() -> Name {
    Name::new("z1").unwrap()
}

fn reading(n: u64) -> Reading {
    let topic = "z1/m1/sense/count".parse().unwrap();
    Reading { topic, time_us: 1_750_000_000_000_000 + n, sequence: None, unit: None, value: Value::Number(n as f64), signed: None }
}

fn arrived(topic: &str, payload: Vec<u8>) -> Arrived {
    Arrived { topic: topic.into(), payload, origin: None, dup: false, command: false, reading: None }
}

fn processed(n: u64) -> Arrived {
    let publish = mqtt::roles::fog_publish(&reading(n), now_us());
    arrived(&publish.topic, publish.payload)
}

fn notice(numbers: &[u64]) -> Arrived {
    let pairs: Vec<_> = numbers.iter().map(|n| (reading(*n).topic, reading(*n).time_us)).collect();
    arrived("root/node/z1/tangle", mqtt::notices::notices(&pairs).concat())
}

fn cache(dir: &std::path::Path, min_free_bytes: u64) -> Arc<Shared> {
    let log = SiteLog::open(dir, LogConfig { min_free_bytes, ..LogConfig::default() }).unwrap();
    Arc::new(Shared::new(site(), log, LogConfig::default().limit_bytes))
}

/// ROLE-8, ROLE-10
#[tokio::test]
async fn published_readings_are_forgotten_up_to_the_first_that_is_pending() {
    let dir = tempfile::tempdir().unwrap();
    let shared = cache(dir.path(), 0);
    for n in 0..5 {
        assert_eq!(shared.judge(processed(n)).await, Judgement::Settled);
    }
    shared.judge(processed(2)).await;
    assert_eq!((shared.log.end(), shared.stats(true).duplicates), (5, 1));
    for (numbers, forgotten, ahead) in [(vec![1, 3], 0, 2), (vec![0], 2, 1), (vec![9], 2, 2), (vec![2], 4, 1), (vec![4], 5, 1)] {
        shared.judge(notice(&numbers)).await;
        shared.forget().await.unwrap();
        assert_eq!((shared.log.forgotten(), shared.stats(true).ahead), (forgotten, ahead), "{numbers:?}");
    }
    assert_eq!(shared.stats(true).pending, 0);
}

/// ROLE-10
#[tokio::test]
async fn a_reading_that_never_will_be_published_is_forgotten_too() {
    let dir = tempfile::tempdir().unwrap();
    let shared = cache(dir.path(), 0);
    shared.judge(processed(0)).await;
    for said in [
        "{\"topic\":\"root/device/z1/m1/sense/count\",\"reason\":\"x\",\"bytes\":3}".to_owned(),
        format!("{{\"topic\":\"root/fog/z1/m1/sense/count\",\"reason\":\"x\",\"bytes\":1,\"time_us\":{}}}", reading(0).time_us),
    ] {
        assert_eq!(shared.log.forgotten(), 0);
        shared.judge(arrived("root/fog/z1/rejected", said.into_bytes())).await;
        shared.forget().await.unwrap();
    }
    assert_eq!(shared.log.forgotten(), 1);
}

/// ROLE-8
#[tokio::test]
async fn what_cannot_be_kept_is_not_acknowledged_and_what_means_nothing_is() {
    let dir = tempfile::tempdir().unwrap();
    // as if more had to stay free than any disk has
    let shared = cache(dir.path(), u64::MAX);
    assert_eq!(shared.judge(processed(0)).await, Judgement::Later);
    assert_eq!(shared.judge(arrived("root/fog/z1/m1/sense/count", b"{".to_vec())).await, Judgement::Settled);
    assert_eq!(shared.judge(Arrived { command: true, ..processed(1) }).await, Judgement::Settled);
    assert_eq!(shared.judge(arrived("root/fog/z2/m1/sense/count", b"1".to_vec())).await, Judgement::Settled);
    let stats = shared.stats(true);
    assert_eq!((stats.refused, stats.malformed, stats.kept, stats.pending), (1, 1, 0, 0));
}

/// ROLE-11
#[tokio::test]
async fn somebody_who_is_back_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let shared = cache(dir.path(), 0);
    shared.judge(arrived("root/node/z1/active", Vec::new())).await;
    tokio::time::timeout(Duration::from_secs(10), shared.ask.notified()).await.unwrap();
}
