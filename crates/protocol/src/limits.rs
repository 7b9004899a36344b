//! Every bound of the wire formats, in one place, checked against each other at compile time.

/// Parents a message may name (design §4). The first is the issuer's own previous message, or the network's
/// root for its first.
pub const PARENTS_MAX: usize = 8;
/// Votes that may ride in one message.
pub const VOTES_MAX: usize = 1024;
/// Messages of one issuer that may wait for a milestone. An honest issuer stops there; what comes then it keeps.
/// Peers can hold as many pending, and reputation ([`crate::rate`]) counts what an issuer has beyond.
pub const OWN_UNCONFIRMED_MAX: u64 = 8_192;
/// Shares of a batch's reward that one message may list.
pub const SHARES_MAX: usize = 64;
/// Bytes of a `Data` body.
pub const DATA_BYTES_MAX: usize = 4096;
/// Readings in one batch.
pub const BATCH_READINGS_MAX: usize = 4096;
/// Bytes of an encoded batch (the off-chain payload of a `Readings` message).
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// Orders of wallets in one message.
pub const ORDERS_MAX: usize = 16;
/// Requests of wallets in one message.
pub const REQUESTS_MAX: usize = 64;
/// Bytes of the argument that a request has for the service it buys.
pub const ARGUMENT_BYTES_MAX: usize = 256;
/// Bytes of an encoded request of a wallet: keys, State, counters, operation, window, nonce, signature.
pub const WALLET_REQUEST_BYTES_MAX: usize = 1 + 2 * 32 + 3 * 10 + (1 + 32 + 2 + ARGUMENT_BYTES_MAX) + 3 * 8 + 64;
/// Longest window in which a request may be voted for, in milliseconds.
pub const WINDOW_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Votes in a certificate: the quorum of the largest committee, and all of a smaller one.
pub const CERTIFICATE_VOTES_MAX: usize = COMMITTEE_MAX;
/// Levels of the path of a vote.
pub const VOTE_PATH_MAX: usize = 10;
/// Certificates in one message.
pub const CERTIFICATES_MAX: usize = 16;
/// Bytes of all certificates in one message.
pub const CERTIFICATES_BYTES_MAX: usize = 60 * 1024;
/// Bytes of a validator's address.
pub const ADDRESS_BYTES_MAX: usize = 128;
/// Bytes of an encoded order: keys, State, signature, names, an address or the keys of gateways.
pub const ORDER_BYTES_MAX: usize = 512;
/// Gateways that a site may name: nodes that anchor its devices' readings.
pub const GATEWAYS_MAX: usize = 8;
/// Bytes of encoded evidence.
pub const EVIDENCE_BYTES_MAX: usize = 512;
/// Wallets with a balance in a genesis.
pub const WALLETS_MAX: usize = 4096;
/// Handovers in a receipt: epochs before the one whose committee certified it.
pub const HANDOVERS_MAX: usize = 4096;
/// Bytes of one level of a topic: a device, a data type; and of a site's name with all its levels.
pub const NAME_BYTES_MAX: usize = 64;
/// Levels of a site's name.
pub const SITE_LEVELS_MAX: usize = 4;
/// Bytes of a reading's text or byte value.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a unit's symbol.
pub const UNIT_BYTES_MAX: usize = 16;
/// Tips one milestone may name.
pub const TIPS_MAX: usize = 64;
/// Members of a committee.
pub const COMMITTEE_MAX: usize = 128;
/// Hashes of an inclusion path: a tree of 2^64 leaves needs no more.
pub const PATH_MAX: usize = 64;
/// Messages one milestone may confirm. What does not fit waits for the next.
pub const CUT_MESSAGES_MAX: usize = 16 * 1024;
/// Bytes of an encoded message.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an encoded milestone.
pub const MILESTONE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an encoded reading, its device's key and signature included.
pub const READING_BYTES_MAX: usize = 3 * (NAME_BYTES_MAX + 1) + VALUE_BYTES_MAX + UNIT_BYTES_MAX + 160;
/// Bytes of the text or byte value of a request between devices: it is on the ledger itself.
pub const REQUEST_VALUE_BYTES_MAX: usize = 1024;
/// Bytes of an encoded request between devices, with key and signature.
pub const REQUEST_BYTES_MAX: usize = 1 + 5 * (NAME_BYTES_MAX + 1) + 1 + 8 + 10 + 2 + UNIT_BYTES_MAX + 3 + REQUEST_VALUE_BYTES_MAX + 97;
/// Records that sites tell each other in one `Data` body.
pub const RECORDS_MAX: usize = 32;
/// Bytes of the reason why a site does not take a request.
pub const ANSWER_REASON_BYTES_MAX: usize = 200;
/// Bytes of a topic or filter that is handed over with a device.
pub const ROAMING_TOPIC_BYTES_MAX: usize = 300;
/// Filters that are handed over with a device.
pub const HANDOVER_FILTERS_MAX: usize = 8;
/// Messages that are handed over with a device.
pub const PARCELS_MAX: usize = 64;
/// Bytes of the payload of a message that is handed over with a device.
pub const PARCEL_PAYLOAD_BYTES_MAX: usize = 2048;

const _: () = assert!(5 + 1 + REQUEST_BYTES_MAX <= DATA_BYTES_MAX);
const _: () = assert!(5 + 40 + PARCEL_PAYLOAD_BYTES_MAX + ROAMING_TOPIC_BYTES_MAX <= DATA_BYTES_MAX);
const _: () = assert!(5 + 256 + HANDOVER_FILTERS_MAX * (ROAMING_TOPIC_BYTES_MAX + 3) <= DATA_BYTES_MAX);
const _: () = assert!(PARENTS_MAX * 32 + VOTES_MAX * 32 + SHARES_MAX * 40 + DATA_BYTES_MAX + 512 <= MESSAGE_BYTES_MAX);
const _: () = assert!(PARENTS_MAX * 32 + VOTES_MAX * 32 + ORDERS_MAX * ORDER_BYTES_MAX + EVIDENCE_BYTES_MAX + 512 <= MESSAGE_BYTES_MAX);
const _: () = assert!(1 + 2 * 32 + 1 + (NAME_BYTES_MAX + 1) + 1 + (ADDRESS_BYTES_MAX + 2) + 64 <= ORDER_BYTES_MAX);
const _: () = assert!(1 + 2 * 32 + 1 + (NAME_BYTES_MAX + 1) + 1 + GATEWAYS_MAX * 32 + 64 <= ORDER_BYTES_MAX);
// a device is registered: two names, role, key and possession, a Thing Description's hash
const _: () = assert!(1 + 2 * 32 + 1 + 2 * (NAME_BYTES_MAX + 1) + 1 + 97 + 33 + 64 <= ORDER_BYTES_MAX);
// a message with certificates has no votes
const _: () = assert!(PARENTS_MAX * 32 + VOTES_MAX * 32 + REQUESTS_MAX * WALLET_REQUEST_BYTES_MAX + 512 <= MESSAGE_BYTES_MAX);
const _: () = assert!(PARENTS_MAX * 32 + CERTIFICATES_BYTES_MAX + 512 <= MESSAGE_BYTES_MAX);
// one certificate of the largest committee has room, with every vote in a full message
const _: () =
    assert!(WALLET_REQUEST_BYTES_MAX + 8 + CERTIFICATE_VOTES_MAX * (1 + 10 + 32 + 5 + VOTE_PATH_MAX * 32 + 64) <= CERTIFICATES_BYTES_MAX);
const _: () = assert!(VOTES_MAX <= 1 << VOTE_PATH_MAX);
// a service is registered: a name and a device's topic
const _: () = assert!(1 + 2 * 32 + 1 + (NAME_BYTES_MAX + 1) + 2 + (3 * (NAME_BYTES_MAX + 1) + 1) + 19 + 64 <= ORDER_BYTES_MAX);
const _: () = assert!(TIPS_MAX * 32 + COMMITTEE_MAX * 32 + 512 <= MILESTONE_BYTES_MAX);
const _: () = assert!(READING_BYTES_MAX <= BATCH_BYTES_MAX);
const _: () = assert!(TIPS_MAX >= PARENTS_MAX);
