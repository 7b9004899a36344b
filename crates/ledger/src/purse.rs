//! Purses, and all that the state keeps of requests, services and rewards. The rules are those of `docs/spec/wallet.md`.
//!
//! ```text
//!  account ──Fund──▶ purse ──request──▶ another purse
//!     ▲                │ └──Buy──▶ purchase ──Settle──▶ the provider's purse, or back
//!     └────Redeem──────┘                      minted for shares and votes ──▶ purse
//! ```

use protocol::codec::{Reader, put_varint};
use protocol::request::first_state;
use protocol::{Decode, DecodeError, Encode, Id, NetworkId, PublicKey, Request, Silence, Terms};

/// Requests that are registered at a time: the next one takes the place of the oldest.
pub const REGISTERED_MAX: u64 = 65_536;
/// Numbers by which a request may be ahead of its purse.
pub const AHEAD_MAX: u64 = 4_096;
/// Roots of an issuer's last paid batches that are remembered.
pub const PAID_ROOTS_MAX: usize = 16;

/// The side of a wallet that its requests debit.
/// ```text
/// number LEB128 | State [32] | balance LEB128
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purse {
    /// Requests of it that were executed.
    pub number: u64,
    /// The State that its next request must name.
    pub state: Id,
    /// Sub-units it can spend.
    pub balance: u64,
}

impl Purse {
    /// A purse that the ledger has not heard of.
    #[must_use]
    pub fn unheard(network: &NetworkId, wallet: &PublicKey) -> Self {
        Self { number: 0, state: first_state(network, wallet), balance: 0 }
    }
}

impl Encode for Purse {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.number);
        self.state.encode_to(out);
        put_varint(out, self.balance);
    }
}

impl Decode for Purse {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            number: reader.varint("a purse's number")?,
            state: Id::decode_from(reader)?,
            balance: reader.varint("a purse's balance")?,
        })
    }
}

/// The coins outside accounts and stakes, and how many requests were ever registered.
/// ```text
/// funded | redeemed | minted | circulating | registered        (LEB128)
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coins {
    /// DCoin that accounts put into purses.
    pub funded: u64,
    /// DCoin that went back.
    pub redeemed: u64,
    /// Sub-units that shares and votes earned.
    pub minted: u64,
    /// Sub-units in purses and purchases.
    pub circulating: u64,
    /// Requests registered so far.
    pub registered: u64,
}

impl Encode for Coins {
    fn encode_to(&self, out: &mut Vec<u8>) {
        for number in [self.funded, self.redeemed, self.minted, self.circulating, self.registered] {
            put_varint(out, number);
        }
    }
}

impl Decode for Coins {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            funded: reader.varint("the coins funded")?,
            redeemed: reader.varint("the coins redeemed")?,
            minted: reader.varint("the coins minted")?,
            circulating: reader.varint("the coins circulating")?,
            registered: reader.varint("the requests registered")?,
        })
    }
}

/// A request with the votes that the ledger has counted, or that certified it.
/// ```text
/// voters u128 | request
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The places of its voters in the committee of the request's epoch, as bits.
    pub voters: u128,
    /// The request.
    pub request: Request,
}

impl Encode for Tally {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.voters.to_be_bytes());
        self.request.encode_to(out);
    }
}

impl Decode for Tally {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { voters: u128::from_be_bytes(reader.array("a tally's voters")?), request: Request::decode_from(reader)? })
    }
}

/// What a wallet, as an issuer and as a voter, earned in an epoch, in sub-units; and what it was paid for.
/// ```text
/// epoch | shares | votes | n ≤ 16 × root [32]        (LEB128)
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earnings {
    /// The epoch of which the next two speak.
    pub epoch: u64,
    /// For shares that it issued.
    pub shares: u64,
    /// For its votes.
    pub votes: u64,
    /// Roots of the last batches whose shares were paid, oldest first.
    pub roots: Vec<Id>,
}

impl Encode for Earnings {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.epoch);
        put_varint(out, self.shares);
        put_varint(out, self.votes);
        put_varint(out, self.roots.len() as u64);
        self.roots.iter().for_each(|r| r.encode_to(out));
    }
}

impl Decode for Earnings {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (epoch, shares) = (reader.varint("an earning's epoch")?, reader.varint("an earning's shares")?);
        let votes = reader.varint("an earning's votes")?;
        let n = reader.length(PAID_ROOTS_MAX, 32, "an earning's roots")?;
        let roots = (0..n).map(|_| Id::decode_from(reader)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { epoch, shares, votes, roots })
    }
}

/// A service.
/// ```text
/// provider [32] | open u8 | name | terms
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The wallet that offers it.
    pub provider: PublicKey,
    /// Whether it can be bought.
    pub open: bool,
    /// What the provider calls it.
    pub name: protocol::Name,
    /// What it does and costs; the last that held, if it is closed.
    pub terms: Terms,
}

impl Encode for Service {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.provider.encode_to(out);
        out.push(u8::from(self.open));
        self.name.encode_to(out);
        self.terms.encode_to(out);
    }
}

impl Decode for Service {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            provider: PublicKey::decode_from(reader)?,
            open: reader.flag("whether a service is open")?,
            name: protocol::Name::decode_from(reader)?,
            terms: Terms::decode_from(reader)?,
        })
    }
}

/// A purchase that has not ended: it holds its price.
/// ```text
/// requester [32] | provider [32] | price LEB128 | due ms u64 | silence u8
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// Who bought.
    pub requester: PublicKey,
    /// Who is to deliver.
    pub provider: PublicKey,
    /// What it holds, in sub-units.
    pub price: u64,
    /// Until when the provider may report, in milliseconds since 1970, by the milestones' time.
    pub due_ms: u64,
    /// What happens then.
    pub silence: Silence,
}

impl Encode for Purchase {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.requester.encode_to(out);
        self.provider.encode_to(out);
        put_varint(out, self.price);
        out.extend_from_slice(&self.due_ms.to_be_bytes());
        self.silence.encode_to(out);
    }
}

impl Decode for Purchase {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            requester: PublicKey::decode_from(reader)?,
            provider: PublicKey::decode_from(reader)?,
            price: reader.varint("a purchase's price")?,
            due_ms: reader.u64("a purchase's due")?,
            silence: Silence::decode_from(reader)?,
        })
    }
}

/// Who has said that it votes no more.
/// ```text
/// epoch LEB128 | members u128
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Farewells {
    /// In which epoch.
    pub epoch: u64,
    /// The places of these members in its committee, as bits.
    pub members: u128,
}

impl Farewells {
    /// The members that said so in this epoch.
    #[must_use]
    pub const fn of(&self, epoch: u64) -> u128 {
        if self.epoch == epoch { self.members } else { 0 }
    }
}

impl Encode for Farewells {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.epoch);
        out.extend_from_slice(&self.members.to_be_bytes());
    }
}

impl Decode for Farewells {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { epoch: reader.varint("an end's epoch")?, members: u128::from_be_bytes(reader.array("an end's members")?) })
    }
}
