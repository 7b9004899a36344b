//! What a connected client sends against the protocol: found here where rmqtt does not look, told from other ends where it does.

use rmqtt::types::{Publish, Reason};

/// How the reasons begin for which rmqtt closes a client that sent what the protocol forbids. Others are no fault of the
/// client, or counted elsewhere.
const FAULTS: [&str; 15] = [
    "Invalid protocol",
    "Invalid length",
    "Malformed packet",
    "Unsupported protocol level",
    "Connect frame's reserved flag is set",
    "Invalid connect flags",
    "ConnectAck frame's reserved flag is set",
    "Invalid client id",
    "Unsupported packet type",
    "Packet id is required",
    "Max size exceeded",
    "Invalid topic filter",
    "Invalid topic name",
    "utf8 error",
    "Received an unimplemented message",
];

/// What in a publish is against the protocol, beyond what rmqtt itself closes a connection for (3.3 of MQTT 5).
pub(super) fn fault(publish: &Publish) -> Option<&'static str> {
    let bad = |topic: &str| topic.contains(['+', '#', '\0']);
    if bad(&publish.topic) {
        return Some("a topic holds neither wildcards nor NUL");
    }
    let properties = publish.properties.as_ref()?;
    if properties.topic_alias.is_some() {
        return Some("this broker offers no topic aliases");
    }
    if publish.topic.is_empty() {
        return Some("it has no topic");
    }
    if !properties.subscription_ids.is_empty() {
        return Some("a client's publish has no subscription identifier");
    }
    if properties.response_topic.as_ref().is_some_and(|topic| bad(topic)) {
        return Some("a response topic holds neither wildcards nor NUL");
    }
    None
}

/// Whether a connection ended because its client sent what the protocol forbids.
pub(super) fn is_fault(reason: &Reason) -> bool {
    match reason {
        Reason::ProtocolError(_) | Reason::InflightWindowFull | Reason::SubscribeFailed(_) | Reason::UnsubscribeFailed(_) => true,
        Reason::Error(why) => FAULTS.iter().any(|fault| why.starts_with(*fault)),
        Reason::Reasons(all) => all.iter().any(is_fault),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmqtt::codec::error::DecodeError;

    #[test]
    fn faults_of_clients_are_told_from_other_ends() {
        for error in [
            DecodeError::InvalidProtocol,
            DecodeError::InvalidLength,
            DecodeError::MalformedPacket,
            DecodeError::UnsupportedProtocolLevel,
            DecodeError::ConnectReservedFlagSet,
            DecodeError::InvalidConnectFlags,
            DecodeError::ConnAckReservedFlagSet,
            DecodeError::InvalidClientId,
            DecodeError::UnsupportedPacketType,
            DecodeError::PacketIdRequired,
            DecodeError::MaxSizeExceeded { size: 2, max: 1 },
            DecodeError::InvalidTopicFilter,
            DecodeError::InvalidTopicName,
            DecodeError::Utf8Error,
        ] {
            let text = error.to_string();
            assert!(is_fault(&Reason::Reasons(vec![Reason::from(text.clone())])), "{text}");
        }
        let broken = DecodeError::Io("connection reset by peer".into()).to_string();
        for reason in [Reason::from(broken), Reason::ConnectRemoteClose, Reason::ConnectKicked(true), Reason::ConnectKeepaliveTimeout] {
            assert!(!is_fault(&reason), "{reason}");
        }
    }
}
