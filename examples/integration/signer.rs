//! Mode B: a device with a key signs its readings itself; whoever carries them cannot change them.

use crate::place::{Failed, Place, now_us};
use mqtt::Publisher;
use protocol::{Direction, Encode as _, Name, Value};
use sdk::Signer;

/// Publishes one signed power reading and waits until the ledger has it.
pub fn run(place: &Place) -> Result<String, Failed> {
    let (key, number, time_us) = (place.key("meter")?, place.next_number("meter")?, now_us());
    let mut signer = Signer::new(place.genesis()?.network(), key, "z1/meter".parse()?, number);
    let power = Name::new("power")?;
    let signed = signer.sign((Direction::Sense, &power), time_us, Some("W"), Value::Number(412.5))?;
    let topic = signer.topic(Direction::Sense, &power);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let client = Publisher::connect(&place.mqtt, "meter").await?;
        client.publish(&topic, signed.encode(), 1).await?;
        client.close().await;
        Ok::<(), Failed>(())
    })?;
    let reference = format!("z1/meter/sense/power@{time_us}");
    let (_, verified) = place.receipt(&place.http, &reference)?;
    match verified.reading.signed {
        Some(by) if by.key == signer.public_key() => {
            Ok(format!("B: {reference} = {}, number {number}, is on the ledger; the key {} signed it", verified.reading.value, by.key))
        }
        _ => Err("the receipt does not show the device's signature".into()),
    }
}
