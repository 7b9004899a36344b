//! The listener for clients with a pre-shared key: DTLS 1.2, `TLS_PSK_WITH_AES_128_CCM_8` (SN-70 to SN-74). The only file
//! that names `dimpl`.
//!
//! Rules:
//! - The identity of the key is the client id (SN-72); a message that came by DTLS is handed on with it.
//! - Nothing is kept of an address before it sent a ClientHello. Associations that are not through are few, and the oldest
//!   goes when there are too many; the engine itself asks for a cookie first (RFC 6347 §4.2.1).
//! - A client that begins anew from the address of a standing association replaces it when it is through, not before:
//!   a forged ClientHello harms nobody (RFC 6347 §4.2.8).
//!
//! ```text
//! UDP ─▶ association of the address ─ApplicationData─▶ Decrypted ─▶ gateway
//!    ◀── records ◀──────────────────────────────────── Plaintext ◀── outlet
//! ```

use super::config::SnError;
use super::keys::PskKeys;
use super::peer::Plaintext;
use dimpl::{Config, Dtls, Output, PskResolver};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Associations that may be in their handshake.
const HANDSHAKES_MAX: usize = 256;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// An association without a word for so long is dropped: longer than a client can sleep.
const SILENCE_MAX: Duration = Duration::from_secs(28 * 3600);
/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(100);
/// Bytes of a datagram.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// What a record adds to a message, and more.
const RECORD_BYTES: usize = 128;
/// The length of a record's head.
const RECORD_HEAD: usize = 13;
/// Content types of records.
const HANDSHAKE: u8 = 22;
const CHANGE_CIPHER_SPEC: u8 = 20;
/// The handshake message that begins one.
const CLIENT_HELLO: u8 = 1;

/// A message, and whose key it came with.
#[derive(Debug)]
pub(super) struct Decrypted {
    pub(super) address: SocketAddr,
    pub(super) identity: Arc<str>,
    pub(super) bytes: Vec<u8>,
}

/// Looks keys up, and remembers for whom it did last. One task uses it, one packet at a time.
struct Resolver {
    keys: PskKeys,
    last: Mutex<Option<Arc<str>>>,
}

impl Resolver {
    fn last(&self) -> std::sync::MutexGuard<'_, Option<Arc<str>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PskResolver for Resolver {
    fn resolve(&self, identity: &[u8]) -> Option<Vec<u8>> {
        let identity = std::str::from_utf8(identity).ok()?;
        let key = self.keys.key(identity)?.to_vec();
        *self.last() = Some(identity.into());
        Some(key)
    }
}

/// One peer's association.
struct Association {
    dtls: Dtls,
    identity: Option<Arc<str>>,
    connected: bool,
    began: Instant,
    heard: Instant,
    wake: Option<Instant>,
    /// The peer begins anew; this one stands until that is through.
    next: Option<Box<Association>>,
}

impl Association {
    fn new(config: &Arc<Config>, now: Instant) -> Self {
        let dtls = Dtls::new_12_psk(config.clone(), now);
        Self { dtls, identity: None, connected: false, began: now, heard: now, wake: None, next: None }
    }
}

/// What an association has to say after it was touched.
#[derive(Default)]
struct Said {
    records: Vec<Vec<u8>>,
    messages: Vec<Vec<u8>>,
    over: bool,
}

/// The listener.
pub(super) struct Listener {
    socket: UdpSocket,
    config: Arc<Config>,
    resolver: Arc<Resolver>,
    associations: HashMap<SocketAddr, Association>,
    max: usize,
    buffer: Vec<u8>,
}

impl Listener {
    /// A listener on `socket` for as many as `max` peers.
    pub(super) fn new(socket: UdpSocket, keys: PskKeys, max: usize, packet_bytes_max: usize) -> Result<Self, SnError> {
        let resolver = Arc::new(Resolver { keys, last: Mutex::new(None) });
        let config = Config::builder()
            .mtu(packet_bytes_max + RECORD_BYTES)
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .with_psk_server(None, resolver.clone())
            .build()
            .map_err(|error| SnError::Dtls(format!("{error:?}")))?;
        let buffer = vec![0; packet_bytes_max + 2 * RECORD_BYTES];
        Ok(Self { socket, config: Arc::new(config), resolver, associations: HashMap::new(), max, buffer })
    }

    /// Until nobody can send any more. What cannot be handed on at once is dropped: the peer sends it again.
    pub(super) async fn run(mut self, mut plaintexts: mpsc::Receiver<Plaintext>, decrypted: mpsc::Sender<Decrypted>) {
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = self.socket.recv_from(&mut datagram) => match received {
                    Ok((length, address)) => self.receive(address, datagram.get(..length).unwrap_or_default(), &decrypted),
                    Err(error) => tracing::debug!(%error, "receiving failed"),
                },
                plaintext = plaintexts.recv() => match plaintext {
                    Some((address, identity, bytes)) => self.send(address, &identity, &bytes),
                    None => break,
                },
                _ = ticks.tick() => self.tick(&decrypted),
            }
        }
        self.close();
    }

    /// A datagram of a peer.
    fn receive(&mut self, address: SocketAddr, datagram: &[u8], decrypted: &mpsc::Sender<Decrypted>) {
        let now = Instant::now();
        let hello = is_client_hello(datagram);
        let known = self.associations.contains_key(&address);
        if !known && (!hello || !self.make_room()) {
            return;
        }
        let association = self.associations.entry(address).or_insert_with(|| Association::new(&self.config, now));
        if hello && association.connected && association.next.is_none() {
            association.next = Some(Box::new(Association::new(&self.config, now)));
        }
        let handshake = matches!(datagram.first(), Some(&(HANDSHAKE | CHANGE_CIPHER_SPEC)));
        let touched = if handshake && association.next.is_some() {
            let Some(next) = association.next.as_deref_mut() else { return };
            next
        } else {
            association
        };
        touched.heard = now;
        let said = touch(touched, &mut self.buffer, &self.resolver, now, |dtls| dtls.handle_packet(datagram).is_ok());
        self.after(address, said, decrypted);
    }

    /// Encrypts a message for whoever has the key of `identity`, if that is still who is at this address.
    fn send(&mut self, address: SocketAddr, identity: &str, bytes: &[u8]) {
        let standing = self.associations.get_mut(&address);
        let Some(association) = standing.filter(|a| a.connected && a.identity.as_deref() == Some(identity)) else { return };
        let now = Instant::now();
        let said = touch(association, &mut self.buffer, &self.resolver, now, |dtls| dtls.send_application_data(bytes).is_ok());
        self.put_out(address, &said.records);
        if said.over {
            self.associations.remove(&address);
        }
    }

    /// Timers: retransmissions of handshakes, handshakes that take too long, associations that are silent.
    fn tick(&mut self, decrypted: &mpsc::Sender<Decrypted>) {
        let now = Instant::now();
        let due = |a: &Association| a.wake.is_some_and(|wake| wake <= now);
        let addresses: Vec<SocketAddr> = self
            .associations
            .iter()
            .filter(|(_, a)| due(a) || a.next.as_deref().is_some_and(due) || now.duration_since(a.heard) > SILENCE_MAX)
            .map(|(address, _)| *address)
            .collect();
        for address in addresses {
            let Some(association) = self.associations.get_mut(&address) else { continue };
            if now.duration_since(association.heard) > SILENCE_MAX {
                self.associations.remove(&address);
                continue;
            }
            let touched = if association.next.as_deref().is_some_and(due) {
                let Some(next) = association.next.as_deref_mut() else { continue };
                next
            } else {
                association
            };
            let said = touch(touched, &mut self.buffer, &self.resolver, now, |_| true);
            self.after(address, said, decrypted);
        }
    }

    /// Sends and hands on what an association, or the one that is to replace it, has said.
    fn after(&mut self, address: SocketAddr, said: Said, decrypted: &mpsc::Sender<Decrypted>) {
        self.put_out(address, &said.records);
        let Some(association) = self.associations.get_mut(&address) else { return };
        match association.next.take() {
            Some(next) if next.connected => *association = *next,
            Some(next) if !said.over => association.next = Some(next),
            Some(_) => {} // the next is over; or the standing one, which fails when it is used again
            None if said.over => {
                self.associations.remove(&address);
                return;
            }
            None => {}
        }
        if let Some(identity) = &association.identity {
            for bytes in said.messages {
                // full: as if it was lost on the way
                let _ = decrypted.try_send(Decrypted { address, identity: identity.clone(), bytes });
            }
        }
    }

    fn put_out(&self, address: SocketAddr, records: &[Vec<u8>]) {
        for record in records {
            if let Err(error) = self.socket.try_send_to(record, address) {
                tracing::debug!(%error, %address, "a record was not sent");
            }
        }
    }

    /// Makes room for one more, if it can.
    fn make_room(&mut self) -> bool {
        let handshaking = self.associations.iter().filter(|(_, a)| !a.connected);
        let (count, oldest) = handshaking.fold((0usize, None::<(Instant, SocketAddr)>), |(count, oldest), (address, a)| {
            let older = oldest.is_none_or(|(began, _)| a.began < began);
            (count + 1, if older { Some((a.began, *address)) } else { oldest })
        });
        if (count >= HANDSHAKES_MAX || self.associations.len() >= self.max)
            && let Some((_, address)) = oldest
        {
            self.associations.remove(&address);
        }
        self.associations.len() < self.max
    }

    /// Tells every peer that it is over.
    fn close(mut self) {
        let now = Instant::now();
        for (address, mut association) in std::mem::take(&mut self.associations) {
            let said = touch(&mut association, &mut self.buffer, &self.resolver, now, |dtls| dtls.close().is_ok());
            self.put_out(address, &said.records);
        }
    }
}

/// Whether a datagram begins with the first fragment of a ClientHello in the clear.
fn is_client_hello(datagram: &[u8]) -> bool {
    let epoch_0 = matches!(datagram.get(3..5), Some([0, 0]));
    datagram.first() == Some(&HANDSHAKE) && epoch_0 && datagram.get(RECORD_HEAD) == Some(&CLIENT_HELLO)
}

/// Does something with an association, and collects what it says then.
fn touch(
    association: &mut Association,
    buffer: &mut Vec<u8>,
    resolver: &Resolver,
    now: Instant,
    act: impl FnOnce(&mut Dtls) -> bool,
) -> Said {
    let mut said = Said::default();
    *resolver.last() = None;
    // every error is fatal to the association, which must not be asked any more then
    if association.dtls.handle_timeout(now).is_err() || !act(&mut association.dtls) {
        said.over = true;
        return said;
    }
    loop {
        match association.dtls.poll_output(buffer) {
            Output::Packet(record) => said.records.push(record.to_vec()),
            Output::ApplicationData(message) => said.messages.push(message.to_vec()),
            Output::Connected => association.connected = true,
            Output::CloseNotify => said.over = true,
            Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
            Output::Timeout(wake) => {
                association.wake = Some(wake);
                break;
            }
            _ => {}
        }
    }
    if let Some(identity) = resolver.last().take() {
        association.identity = Some(identity);
    }
    said
}
