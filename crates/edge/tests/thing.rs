//! Thing Descriptions of real devices, and what is wrong with others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use edge::thing::{Fault, THING_BYTES_MAX, Thing, ThingError, check};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

fn things() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/things")
}

fn small() -> Value {
    json!({
        "@context": "https://www.w3.org/2022/wot/td/v1.1",
        "title": "Meter",
        "id": "urn:example:meter",
        "securityDefinitions": { "none": { "scheme": "nosec" } },
        "security": "none",
        "properties": { "power": { "type": "number", "unit": "W", "forms": [{ "href": "mqtt://z1/meter", "op": ["readproperty"] }] } },
    })
}

fn refused(thing: &Value) -> ThingError {
    check(thing.to_string().as_bytes()).unwrap_err()
}

fn at(thing: &Value) -> (String, Fault) {
    match refused(thing) {
        ThingError::At { at, fault } => (at, fault),
        other => panic!("{other}"),
    }
}

#[test]
fn descriptions_of_real_devices_have_the_verdict_of_the_schema() {
    let mut seen = 0;
    for entry in std::fs::read_dir(things()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "jsonld") {
            continue;
        }
        seen += 1;
        let verdict = check(&std::fs::read(&path).unwrap());
        match path.file_name().unwrap().to_str().unwrap().starts_with("Zion__") {
            true => {
                let ThingError::At { at, fault } = verdict.unwrap_err() else { panic!("another refusal") };
                assert!(at.starts_with("/actions/") && at.ends_with("/forms/0/response"), "{at}");
                assert_eq!(fault, Fault::Missing("contentType"));
            }
            false => assert!(verdict.is_ok(), "{}: {verdict:?}", path.display()),
        }
    }
    assert_eq!(seen, 12);
}

#[test]
fn what_is_read_is_told() {
    let told = check(small().to_string().as_bytes()).unwrap();
    assert_eq!(told, Thing { title: "Meter".into(), id: Some("urn:example:meter".into()), affordances: [1, 0, 0] });
}

#[test]
fn each_required_member_is_missed_by_name() {
    for name in ["@context", "title", "security", "securityDefinitions"] {
        let mut thing = small();
        thing.as_object_mut().unwrap().remove(name);
        assert_eq!(at(&thing), ("/".to_owned(), Fault::Missing(name)));
    }
    let mut thing = small();
    thing["properties"]["power"].as_object_mut().unwrap().remove("forms");
    assert_eq!(at(&thing), ("/properties/power".to_owned(), Fault::Missing("forms")));
}

#[test]
fn a_refusal_says_where_and_what() {
    let with = |pointer: &str, value: Value| {
        let mut thing = small();
        *thing.pointer_mut(pointer).unwrap() = value;
        at(&thing)
    };
    let word = |text: &str| Fault::Word(text.to_owned());
    assert_eq!(with("/title", json!(7)), ("/title".into(), Fault::Kind("text")));
    assert_eq!(with("/@context", json!("https://example.org")), ("/@context".into(), Fault::Context));
    assert_eq!(with("/@context", json!([{ "x": "y" }])).1, Fault::Context);
    assert_eq!(with("/security", json!("other")), ("/security".into(), Fault::Undefined("other".into())));
    assert_eq!(with("/security", json!([])).1, Fault::Kind("a list with enough elements"));
    assert_eq!(with("/securityDefinitions", json!({})).1, Fault::Kind("an object with members"));
    assert_eq!(with("/securityDefinitions/none/scheme", json!("open")), ("/securityDefinitions/none/scheme".into(), word("open")));
    assert_eq!(with("/properties/power/type", json!("float")), ("/properties/power/type".into(), word("float")));
    assert_eq!(with("/properties/power/forms", json!([])).0, "/properties/power/forms");
    let op = with("/properties/power/forms/0/op", json!(["readproperty", "invokeaction"]));
    assert_eq!(op, ("/properties/power/forms/0/op/1".into(), word("invokeaction")));
    let mut model = small();
    model["@type"] = json!(["tm:ThingModel"]);
    assert_eq!(at(&model), ("/@type".into(), Fault::Model));
    let mut odd = small();
    odd["properties"]["a/b~c"] = json!(1);
    assert_eq!(at(&odd).0, "/properties/a~1b~0c");
}

#[test]
fn other_vocabularies_are_left_alone() {
    let mut thing = small();
    thing["@context"] = json!(["https://www.w3.org/2022/wot/td/v1.1", { "ace": "https://example.org/ace#" }]);
    thing["ace:anything"] = json!({ "forms": 7 });
    thing["securityDefinitions"]["ace"] = json!({ "scheme": "ace:ACESecurityScheme", "ace:as": 5 });
    assert!(check(thing.to_string().as_bytes()).is_ok());
}

#[test]
fn what_is_no_description_at_all_is_refused() {
    for bad in ["", "[]", "null", "{", "\"x\"", "{}x"] {
        assert!(matches!(check(bad.as_bytes()), Err(ThingError::Json(_))), "{bad}");
    }
    assert!(matches!(check(&[0xff]), Err(ThingError::Json(_))));
    assert_eq!(check(&vec![b' '; THING_BYTES_MAX + 1]), Err(ThingError::TooLarge(THING_BYTES_MAX + 1)));
    let nested = format!("{{\"properties\":{}1{}}}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    assert!(matches!(check(nested.as_bytes()), Err(ThingError::Json(_))), "the parser has a limit of its own");
    assert!(refused(&json!({ "title": "t", "@context": "x".repeat(5_000) })).to_string().len() < 500);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = check(&bytes);
    }

    /// One byte of a real description changed: the verdict is one or the other, and said in few words.
    #[test]
    fn changed_descriptions_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = std::fs::read(things().join("wot-experimental__robot-apikey.td.jsonld")).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Err(why) = check(&bytes) {
            prop_assert!(why.to_string().len() < 1_000);
        }
    }
}
