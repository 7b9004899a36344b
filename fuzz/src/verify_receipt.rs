//! Receipts: nobody makes another one of a good one.

use crate::draw::Draw;
use protocol::receipt::Anchor;
use protocol::{Decode, Encode, Genesis, Handover, Id, Receipt};
use std::sync::OnceLock;

#[path = "../../crates/protocol/tests/sample/mod.rs"]
mod sample;

/// Changes made to one receipt.
const CHANGES_MAX: usize = 8;

/// A genesis, and all receipts under it that are good: the fuzzer has no key to make more.
struct Known {
    genesis: Genesis,
    receipts: [Receipt; 3],
    texts: [String; 3],
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let receipts = [sample::receipt(), sample::anchored_receipt(), sample::handed_over_receipt()];
        let texts = receipts.each_ref().map(Receipt::to_json);
        Known { genesis: sample::genesis(), receipts, texts }
    })
}

/// The first byte chooses: the rest is a receipt's JSON; or changes of a good one's JSON; or changes of a good one's
/// parts. Whatever can be read is good only if it is one of those known to be, and a receipt that was built is read
/// again as it was written.
///
/// Returns whether there was a receipt to judge.
///
/// # Panics
/// If another receipt is good, or a known one is not.
pub fn verify_receipt(data: &[u8]) -> bool {
    let mut draw = Draw::new(data);
    match draw.byte() % 4 {
        0 => std::str::from_utf8(draw.rest()).is_ok_and(judge_text),
        1 => {
            let which = draw.below(3);
            changed_text(&known().texts[which], &mut draw).is_some_and(|text| judge_text(&text))
        }
        _ => {
            let which = draw.below(3);
            let receipt = changed_parts(known().receipts[which].clone(), &mut draw);
            assert_eq!(Receipt::from_json(&receipt.to_json()).as_ref(), Ok(&receipt));
            judge(&receipt);
            true
        }
    }
}

/// Good if and only if it is known.
fn judge(receipt: &Receipt) {
    let verdict = receipt.verify(&known().genesis);
    let good = known().receipts.contains(receipt);
    match &verdict {
        Ok(verified) => assert_eq!((good, &verified.reading), (true, &receipt.reading), "a receipt that nobody issued is good"),
        Err(why) => assert!(!good && !why.to_string().is_empty(), "a good receipt is refused: {why}"),
    }
}

fn judge_text(text: &str) -> bool {
    match Receipt::from_json(text) {
        Ok(receipt) => {
            judge(&receipt);
            true
        }
        Err(why) => {
            assert!(!why.to_string().is_empty());
            false
        }
    }
}

fn changed_text(text: &str, draw: &mut Draw<'_>) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..CHANGES_MAX {
        if draw.is_empty() {
            break;
        }
        change(&mut bytes, draw);
    }
    String::from_utf8(bytes).ok()
}

/// Changes parts of a receipt, each in its encoding, where that gives a part again.
fn changed_parts(mut receipt: Receipt, draw: &mut Draw<'_>) -> Receipt {
    for _ in 0..CHANGES_MAX {
        if draw.is_empty() {
            break;
        }
        match draw.byte() % 16 {
            0 => change_part(&mut receipt.reading, draw),
            1 => receipt.salt[draw.below(32)] ^= draw.byte(),
            2 => receipt.leaf_index = draw.u64() as u32,
            3 => change_path(&mut receipt.batch_path, draw),
            4 | 5 => change_part(&mut receipt.message, draw),
            6 => receipt.message_index = draw.u64(),
            7 => change_path(&mut receipt.message_path, draw),
            8 | 9 => change_part(&mut receipt.milestone, draw),
            10 => receipt.anchor = known().receipts[draw.below(3)].anchor.clone(),
            11 => receipt.finalization = known().receipts[draw.below(3)].finalization.clone(),
            12 => receipt.anchor = Some(Anchor { milestone: receipt.milestone.clone(), history_path: receipt.message_path.clone() }),
            13 => {
                if let Some(anchor) = &mut receipt.anchor {
                    change_part(&mut anchor.milestone, draw);
                    change_path(&mut anchor.history_path, draw);
                }
            }
            14 => change_handovers(&mut receipt.handovers, draw),
            _ => change_part(&mut receipt.finalization, draw),
        }
    }
    receipt
}

/// Takes the handovers of another receipt, drops or doubles one, or changes one.
fn change_handovers(handovers: &mut Vec<Handover>, draw: &mut Draw<'_>) {
    let at = draw.below(handovers.len().max(1));
    match (draw.byte() % 4, handovers.get(at).cloned()) {
        (0, _) => handovers.clone_from(&known().receipts[draw.below(3)].handovers),
        (1, Some(_)) => drop(handovers.remove(at)),
        (2, Some(again)) => handovers.push(again),
        (_, Some(_)) => change_part(&mut handovers[at], draw),
        (_, None) => {}
    }
}

fn change_part<T: Encode + Decode>(part: &mut T, draw: &mut Draw<'_>) {
    let mut bytes = part.encode();
    change(&mut bytes, draw);
    if let Ok(changed) = T::decode(&bytes) {
        *part = changed;
    }
}

/// Flips a bit, or sets, inserts or removes a byte.
fn change(bytes: &mut Vec<u8>, draw: &mut Draw<'_>) {
    if bytes.is_empty() {
        return;
    }
    // two bytes for the place, however short the part is
    let at = usize::from(draw.u16()) % bytes.len();
    match draw.byte() % 4 {
        0 => bytes[at] ^= 1 << (draw.byte() % 8),
        1 => bytes[at] = draw.byte(),
        2 => bytes.insert(at, draw.byte()),
        _ => {
            bytes.remove(at);
        }
    }
}

/// Shortens a path, makes it longer, turns it round, or changes one of its hashes.
fn change_path(path: &mut Vec<Id>, draw: &mut Draw<'_>) {
    match draw.byte() % 4 {
        0 => path.truncate(path.len().saturating_sub(1)),
        1 => path.push(Id([draw.byte(); 32])),
        2 => path.reverse(),
        _ => {
            let at = draw.below(path.len().max(1));
            if let Some(id) = path.get_mut(at) {
                id.0[draw.below(32)] ^= draw.byte();
            }
        }
    }
}
