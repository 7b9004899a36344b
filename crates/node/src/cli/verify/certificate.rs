//! `wattle verify --certificate`: checks the certificate of a wallet's request offline.

use super::{load_genesis, read};
use crate::cli::amount::coins;
use crate::cli::output::{print, print_json, short, time_ms};
use crate::cli::{Exit, Failure};
use protocol::{Certificate, CertificateProof, CertificateProofError, Certified, Genesis, Name, Operation, Request};
use serde_json::{Value, json};
use std::path::Path;

/// Checks and prints.
///
/// # Errors
/// [`Failure`]: refused (1) if the certificate proves nothing, usage (2) if a file cannot be read.
pub(super) fn run(file: &Path, genesis: &Path, as_json: bool) -> Result<(), Failure> {
    let genesis = load_genesis(genesis)?;
    let text = read(file)?;
    let verified = proof(text.trim()).and_then(|proof| {
        let certified = proof.verify(&genesis)?;
        Ok((proof.certificate.request, certified))
    });
    match (verified, as_json) {
        (Ok((request, certified)), false) => print(&sentence(&request, &certified)),
        (Ok((request, certified)), true) => print_json(&object(&request, &certified, &genesis)),
        (Err(why), _) => {
            if as_json {
                print_json(&json!({ "verified": false, "reason": why.to_string() }))?;
            }
            let todo = "it is damaged, forged, or of another network than this genesis: ask for it again";
            Err(Failure::new(Exit::Refused, format!("certificate refused: {why}"), file.display(), todo))
        }
    }
}

/// A certificate with its way; or one in hexadecimal alone, which the genesis' own committee must have voted for.
fn proof(text: &str) -> Result<CertificateProof, CertificateProofError> {
    match text.starts_with('{') {
        true => CertificateProof::from_json(text),
        false => {
            let part = "the certificate";
            let certificate = Certificate::from_hex(text).map_err(|why| CertificateProofError::Decode { part, why })?;
            Ok(CertificateProof { certificate, handovers: Vec::new() })
        }
    }
}

fn purpose(operation: &Operation) -> String {
    match operation {
        Operation::Transfer { to } => format!("to wallet {to}"),
        Operation::Buy { service, argument } => match std::str::from_utf8(argument) {
            Ok("") | Err(_) => format!("for service {service}"),
            Ok(argument) => format!("for service {service} with {argument:?}"),
        },
        Operation::Redeem => "to its own account".to_owned(),
    }
}

/// What a verified certificate proves, in words.
fn sentence(request: &Request, certified: &Certified) -> String {
    let voters: Vec<&str> = certified.voters.iter().map(Name::as_str).collect();
    format!(
        "verified: wallet {} pays {} {}; its request {}, number {}, was certified in epoch {} by {} of {} validators ({} are needed): {}; \
         it is executed when a milestone has it",
        short(&request.wallet.to_string()),
        coins(request.price),
        purpose(&request.operation),
        certified.request,
        request.number,
        certified.epoch,
        voters.len(),
        certified.committee,
        certified.needed,
        voters.join(", "),
    )
}

/// The same as JSON.
fn object(request: &Request, certified: &Certified, genesis: &Genesis) -> Value {
    let operation = match &request.operation {
        Operation::Transfer { to } => json!({ "kind": "transfer", "to": to.to_string() }),
        Operation::Buy { service, argument } => {
            json!({ "kind": "buy", "service": service.to_string(), "argument": crate::hex::hex(argument) })
        }
        Operation::Redeem => json!({ "kind": "redeem" }),
    };
    json!({
        "verified": true,
        "request": certified.request.to_string(),
        "wallet": request.wallet.to_string(),
        "number": request.number,
        "state": request.state.to_string(),
        "epoch": certified.epoch,
        "operation": operation,
        "price": request.price,
        "from": time_ms(request.from_ms),
        "until": time_ms(request.until_ms),
        "voters": certified.voters.iter().map(Name::as_str).collect::<Vec<_>>(),
        "committee": certified.committee,
        "needed": certified.needed,
        "network": genesis.network().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Id, PublicKey};

    #[test]
    fn people_learn_what_was_paid_for() {
        assert!(purpose(&Operation::Transfer { to: PublicKey([2; 32]) }).contains("0202"));
        let buy = |argument: &[u8]| purpose(&Operation::Buy { service: Id([3; 32]), argument: argument.to_vec() });
        assert!(buy(b"double\n").ends_with("with \"double\\n\""), "{}", buy(b"double\n"));
        assert!(!buy(b"").contains("with") && !buy(&[0xff]).contains("with"));
    }

    #[test]
    fn text_that_is_no_certificate_is_refused() {
        for text in ["", "{}", "01", "zz", "[]"] {
            assert!(proof(text).is_err(), "{text} was accepted");
        }
    }
}
