//! Requests, votes and certificates that are wrong: each has no effect, and the ledger or a validator says why.

use crate::requests::{balance, carry, cast, certificate, certify, fund, pay, purse, request, request_in, vote};
use crate::world::{VALIDATORS, World};
use ledger::{Ahead, OrderError, RequestError, judge, judging, read_coins, read_registered};
use protocol::{Body, Certificate, CertificateError, Id, Reason, Request, UNITS_PER_COIN};

const UNIT: u64 = UNITS_PER_COIN;
const A: u8 = 4;
const B: u8 = 5;
const C: u8 = 6;

fn state_error(world: &World) -> OrderError {
    let purse = purse(world, A);
    OrderError::Request(RequestError::State { number: purse.number, expected: purse.state })
}

#[test]
fn requests_of_stale_and_unknown_states_are_refused() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let unknown = request_in(&world, A, (0, Id([9; 32])), pay(B), UNIT);
    assert_eq!(carry(&mut world, &[&unknown]), [state_error(&world)]);
    let first = request(&world, A, pay(B), UNIT);
    assert_eq!(certify(&mut world, &first), 1);
    let stale = request_in(&world, A, (0, first.state), pay(C), UNIT);
    assert_eq!(carry(&mut world, &[&stale]), [state_error(&world)]);
    assert_eq!(world.send(Body::Certificates(vec![certificate(&world, &stale)]))[0].why, state_error(&world), "however many voted");
    let ahead = Ahead::of(&purse(&world, A));
    let verdict = judge(&world.brought(&judging(&stale)), &world.rules(), Some(&ahead), &stale, 0).unwrap();
    assert_eq!(verdict, Some(Reason::State { number: 1, state: first.next_state() }));
    assert_eq!((balance(&world, A), balance(&world, C)), (9 * UNIT, 0));
}

/// More than f Byzantine members could certify a request on a State that is nobody's: it waits, and is never executed.
#[test]
fn a_request_of_an_unknown_future_state_is_never_executed() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let astray = request_in(&world, A, (1, Id([9; 32])), pay(C), UNIT);
    assert_eq!(certify(&mut world, &astray), 0);
    let first = request(&world, A, pay(B), UNIT);
    assert_eq!(certify(&mut world, &first), 1);
    assert_eq!((purse(&world, A).number, balance(&world, C)), (1, 0));
    let second = request(&world, A, pay(B), UNIT);
    assert_eq!(certify(&mut world, &second), 1, "the place is not taken by it");
    assert_eq!(balance(&world, B), 2 * UNIT);
}

#[test]
fn what_a_purse_does_not_hold_is_never_spent() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let before = purse(&world, A);
    for price in [10 * UNIT + 1, u64::MAX / 2, u64::MAX] {
        let huge = request(&world, A, pay(B), price);
        assert_eq!(certify(&mut world, &huge), 0, "{price}");
        assert_eq!(world.send(Body::Certificates(vec![certificate(&world, &huge)])), [], "it holds, and has no effect");
    }
    assert_eq!((purse(&world, A), balance(&world, B)), (before, 0));
    for v in VALIDATORS {
        assert_eq!(balance(&world, v), 0, "votes for what is not executed earn nothing");
    }
}

#[test]
fn certificates_of_doubled_foreign_or_moved_votes_are_refused() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let (one, other) = (request(&world, A, pay(B), UNIT), request(&world, A, pay(C), UNIT));
    let whole = certificate(&world, &one);
    let refused = |world: &mut World, certificate: Certificate| {
        let refusals = world.send(Body::Certificates(vec![certificate]));
        assert_eq!((refusals.len(), balance(world, A)), (1, 10 * UNIT));
        match refusals[0].why.clone() {
            OrderError::Request(RequestError::Certificate(why)) => why,
            why => panic!("refused for another reason: {why}"),
        }
    };
    let with = |change: &dyn Fn(&mut Certificate)| {
        let mut changed = whole.clone();
        change(&mut changed);
        changed
    };
    let doubled = with(&|c| c.votes[1] = c.votes[0].clone());
    assert_eq!(refused(&mut world, doubled), CertificateError::Order);
    // a vote in another member's place
    let renamed = with(&|c| {
        c.votes[2] = c.votes[1].clone();
        c.votes[2].voter = 2;
    });
    assert!(matches!(refused(&mut world, renamed), CertificateError::Signature(_)));
    let stranger = with(&|c| c.votes[2].voter = 77);
    assert_eq!(refused(&mut world, stranger), CertificateError::Stranger(77));
    // votes for one request under another of the same State
    let moved = with(&|c| c.request = other.clone());
    assert!(matches!(refused(&mut world, moved), CertificateError::Signature(_)));
    // a vote that was cast for the rival
    let mixed = with(&|c| c.votes[0] = cast(&world, voter(&world, c.votes[0].voter), &other));
    assert!(matches!(refused(&mut world, mixed), CertificateError::Signature(_)));
    let unsigned = with(&|c| c.request.signature = protocol::Signature([0; 64]));
    assert_eq!(refused(&mut world, unsigned), CertificateError::Request);
    let none = with(&|c| c.votes.clear());
    assert_eq!(refused(&mut world, none), CertificateError::Votes { found: 0, needed: 3 });
    assert_eq!(world.send(Body::Certificates(vec![whole])), [], "as it was it holds");
    assert_eq!(balance(&world, A), 9 * UNIT);
}

/// The seed of the validator at a place in the committee.
fn voter(world: &World, place: u8) -> u8 {
    let key = world.genesis.committee.validators()[usize::from(place)].key;
    VALIDATORS.into_iter().find(|v| crate::world::public(*v) == key).unwrap()
}

#[test]
fn work_of_one_request_serves_no_other() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let first = request(&world, A, pay(B), UNIT);
    let verdict = |r: &Request| judge(&world.brought(&judging(r)), &world.rules(), None, r, 0).unwrap();
    assert_eq!(verdict(&first), None);
    let mut lacking = 0;
    for price in 1..=32 {
        // the nonce of another, under another price: nobody signed that either
        match verdict(&Request { price, ..first.clone() }) {
            Some(Reason::Work { needed: 1 }) => lacking += 1,
            found => assert_eq!(found, Some(Reason::Signature)),
        }
    }
    assert!(lacking > 16, "of sixteen nonces about one fits another request");
}

#[test]
fn requests_without_work_take_no_place() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let first = request(&world, A, pay(B), UNIT);
    let lazy = (0..).map(|nonce| Request { nonce, ..first.clone() }).find(|r| r.work() == 0).unwrap();
    assert_eq!(carry(&mut world, &[&lazy]), [OrderError::Request(RequestError::Work { needed: 1 })]);
    assert_eq!(read_registered(&world.state(), lazy.id()), Ok(None));
    assert_eq!(read_coins(&world.state()).unwrap().registered, 0);
    // whoever shows it is not held up by others in its message
    assert_eq!(carry(&mut world, &[&lazy, &first]).len(), 1);
    assert_eq!(read_coins(&world.state()).unwrap().registered, 1);
    let voted: usize = VALIDATORS.into_iter().map(|v| vote(&mut world, v, &[first.id(), lazy.id()]).executed.len()).sum();
    assert_eq!((voted, balance(&world, B)), (1, UNIT));
}

#[test]
fn votes_after_the_execution_change_nothing() {
    let mut world = World::new();
    fund(&mut world, A, 10);
    let first = request(&world, A, pay(B), UNIT);
    let late = certificate(&world, &first);
    assert_eq!(certify(&mut world, &first), 1);
    let values = (purse(&world, A), balance(&world, B), VALIDATORS.map(|v| balance(&world, v)));
    for v in VALIDATORS {
        assert_eq!(vote(&mut world, v, &[first.id()]).executed, []);
    }
    assert_eq!(world.send(Body::Certificates(vec![late]))[0].why, state_error(&world));
    assert_eq!((purse(&world, A), balance(&world, B), VALIDATORS.map(|v| balance(&world, v))), values, "nobody is paid twice");
}
