//! A site under abuse, and its honest client.

pub use super::secured::until;
use super::secured::{Ca, Secured, connect, settings, user, with_tls, write_users};
use super::wire::Raw;
use mqtt::access::Role;
use rumqttc::v5::mqttbytes::v5::PubAckReason;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Where the abuser may publish.
pub const OWN: &str = "root/device/s1/m1/sense/t";
/// Between two publishes of the honest client.
const PACE: Duration = Duration::from_millis(10);

/// A site whose users are the devices m1, which is abused, and m2, which is honest.
pub struct Target {
    pub site: Secured,
    pub ca: Ca,
    honest: Honest,
}

impl Target {
    /// rmqtt's own listener, on the loopback interface.
    pub async fn direct() -> Self {
        Self::at("127.0.0.1:0").await
    }

    /// Listeners behind the front, as whoever comes from outside finds them.
    pub async fn fronted() -> Self {
        Self::at("0.0.0.0:0").await
    }

    async fn at(bind: &str) -> Self {
        let (ca, dir) = (Ca::new("devices"), tempfile::tempdir().unwrap());
        write_users(&dir, vec![user("m1", Role::Device), user("m2", Role::Device)]);
        let mut security = settings(&dir);
        with_tls(&mut security, &dir, &ca);
        let site = Secured::start_at(bind, dir, security).await;
        let honest = Honest::start(&site).await;
        let target = Self { site, ca, honest };
        // so that the password of m1 is known from now on, and verifying it takes no time
        drop(target.admitted(4, "warm-up").await);
        target
    }

    pub fn address(&self, scheme: &str) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.site.address(scheme).port()))
    }

    /// A connection that says nothing yet.
    pub async fn open(&self) -> Raw<TcpStream> {
        Raw::open(self.address("mqtt")).await
    }

    /// A connection of m1.
    pub async fn admitted(&self, level: u8, client_id: &str) -> Raw<TcpStream> {
        Raw::admitted(self.address("mqtt"), level, client_id, "m1").await
    }

    /// Everything of a kind that was refused.
    pub fn refused(&self, kind: &str) -> u64 {
        self.site.broker.access().refused.iter().filter(|(k, ..)| *k == kind).map(|(.., count)| count).sum()
    }

    /// The honest client was served all the time, and only what it published, and `kept` of the abuser, is in the log.
    pub async fn stays_well(self, kept: u64) {
        let published = self.honest.finish().await;
        assert!(published > 0);
        assert_eq!(self.site.log.end(), published + kept);
        // whoever comes now is served
        let mut late = connect(self.site.plain("late", Some("m2"))).await.unwrap();
        assert_eq!(late.publish("root/device/s1/m2/sense/late").await, PubAckReason::Success);
        self.site.broker.stop().await;
    }
}

/// A client that publishes all the time. It fails if one publish is not acknowledged, or its connection ends.
pub struct Honest {
    stop: oneshot::Sender<()>,
    task: JoinHandle<u64>,
}

impl Honest {
    async fn start(site: &Secured) -> Self {
        let mut client = connect(site.plain("honest", Some("m2"))).await.unwrap();
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut kept = 0;
            while stopped.try_recv().is_err() {
                assert_eq!(client.publish("root/device/s1/m2/sense/t").await, PubAckReason::Success);
                kept += 1;
                tokio::time::sleep(PACE).await;
            }
            kept
        });
        Self { stop, task }
    }

    /// Stops, and tells how many it published.
    async fn finish(self) -> u64 {
        let _ = self.stop.send(());
        self.task.await.expect("the honest client was not served")
    }
}
