//! Mode C: a button of z1 switches a lamp of z2. The request travels on the ledger, and so does what the lamp then says.

use crate::place::{Failed, PATIENCE, Place, now_us};
use mqtt::{Publisher, Received, Subscriber};
use protocol::Value;
use sdk::{Signer, request_to_json};
use serde_json::Value as Json;

/// The next message, within the patience of an example.
async fn next(subscriber: &mut Subscriber, what: &str) -> Result<Received, Failed> {
    let message = tokio::time::timeout(PATIENCE, subscriber.recv()).await.map_err(|_| format!("{what} did not come"))?;
    Ok(message.ok_or("the broker closed the connection")?)
}

/// Presses the button, obeys as the lamp, and waits until both are on the ledger.
pub fn run(place: &Place) -> Result<String, Failed> {
    tokio::runtime::Runtime::new()?.block_on(press(place))
}

async fn press(place: &Place) -> Result<String, Failed> {
    let mut lamp = Subscriber::connect(&place.mqtt2, "lamp", &["root/fog/z2/lamp/act/#"], 1).await?;
    let mut answers = Subscriber::connect(&place.mqtt, "button-answers", &["root/node/z1/button/requested"], 1).await?;

    // the button
    let number = place.next_number("button")?;
    let mut signer = Signer::new(place.genesis()?.network(), place.key("button")?, "z1/button".parse()?, number);
    let request = signer.request(&"z2/lamp/act/power".parse()?, now_us(), None, Value::Boolean(true))?;
    let button = Publisher::connect(&place.mqtt, "button").await?;
    let payload = request_to_json(&request).ok_or("a truth value has a JSON form")?;
    button.publish(&signer.request_topic(), payload.into_bytes(), 1).await?;
    button.close().await;

    // the lamp: it obeys, and says so
    let command: Json = loop {
        let command: Json = serde_json::from_slice(&next(&mut lamp, "the command").await?.payload)?;
        if command.pointer("/0/number").and_then(Json::as_u64) == Some(number) {
            break command;
        }
    };
    let text = |pointer: &str| command.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
    let height = command.pointer("/0/height").and_then(Json::as_u64).unwrap_or_default();
    let done_ms = now_us() / 1_000;
    let body = Publisher::connect(&place.mqtt2, "lamp-body").await?;
    body.publish("root/device/z2/lamp/act/power", format!("{{\"v\":true,\"t\":{done_ms}}}").into_bytes(), 1).await?;
    body.close().await;

    // the button hears how it went
    let mut heard = Vec::new();
    while heard.last().is_none_or(|state| state != "delivered") {
        let notice: Json = serde_json::from_slice(&next(&mut answers, "the answer").await?.payload)?;
        let state = notice.pointer("/state").and_then(Json::as_str).unwrap_or_default().to_owned();
        if notice.pointer("/n").and_then(Json::as_u64) == Some(number) {
            if state == "refused" || state == "declined" {
                return Err(format!("the request was {state}: {notice}").into());
            }
            heard.push(state);
        }
    }
    let reference = format!("z2/lamp/act/power@{}", done_ms.saturating_mul(1_000));
    let there = place.clone();
    let asked = reference.clone();
    let (_, verified) = tokio::task::spawn_blocking(move || there.receipt(&there.http2, &asked)).await??;
    Ok(format!(
        "C: {} asked for z2/lamp/act/power (message {}, milestone {height}; {}); {reference} = {} is on the ledger",
        text("/0/from"),
        text("/0/message"),
        heard.join(", "),
        verified.reading.value
    ))
}
