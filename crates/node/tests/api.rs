//! The HTTP interface against real processes: who gets in, what it bears, pages, exports, events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::{CONFIRM_TIMEOUT, Net, get, run, table, until};

/// Listeners to events at a time.
const LISTENERS: usize = 1_000;
/// How long a socket may be silent before a test gives up.
const SILENCE: Duration = Duration::from_secs(60);

/// A node whose configuration has `open = "none"` and more.
fn closed(more: &str) -> Net {
    let mut net = Net::init(1, &[]);
    let text = std::fs::read_to_string(net.config(1)).unwrap();
    let open = "open = \"loopback\"\n";
    assert!(text.contains(open), "{text}");
    std::fs::write(net.config(1), text.replace(open, &format!("open = \"none\"\n{more}"))).unwrap();
    net.start(1);
    net.wait_ready(1);
    net
}

fn token(net: &Net, scopes: &str, expires: &str) -> String {
    let config = net.config(1);
    let words = ["token", "create", "--name", scopes, "--scopes", scopes, "--expires", expires, "--config", config.to_str().unwrap()];
    run(&words).ok().trim().to_owned()
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.body))
    }

    /// Asserts that it is a problem of this status.
    fn problem(&self, status: u16) {
        assert_eq!((self.status, self.header("content-type")), (status, Some("application/problem+json")), "{}", self.body);
        assert_eq!(self.json()["status"], status);
    }
}

/// Sends bytes and reads an answer to its end.
fn raw(net: &Net, request: &[u8]) -> Answer {
    let mut stream = connect(net);
    let _ = stream.write_all(request); // a node may answer before all is sent
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).expect("a status");
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n.to_owned(), v.trim().to_owned())).collect();
    Answer { status, headers, body: body.to_owned() }
}

fn connect(net: &Net) -> TcpStream {
    let stream = TcpStream::connect(net.http(1).trim_start_matches("http://")).expect("a connection");
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.set_write_timeout(Some(SILENCE)).unwrap();
    stream
}

/// One request with more header lines, and a body.
fn ask(net: &Net, method: &str, path: &str, lines: &[&str], body: &str) -> Answer {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    // HTTP/1.0, so that the body comes in one piece
    raw(net, format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n{lines}\r\n{body}").as_bytes())
}

#[test]
fn tokens_open_what_their_scopes_say() {
    let net = closed("");
    let (reads, acts, admin) = (token(&net, "read", "1d"), token(&net, "act", "never"), token(&net, "admin", "1h"));
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let status = |method: &str, path: &str, line: &str, body: &str| {
        let lines: Vec<&str> = Some(line).filter(|line| !line.is_empty()).into_iter().collect();
        ask(&net, method, path, &lines, body).status
    };
    for (method, path, body, allowed) in [
        ("GET", "/api/v1/status", "", [401, 200, 200, 200]),
        ("GET", "/metrics", "", [401, 200, 200, 200]),
        ("GET", "/healthz", "", [200, 200, 200, 200]),
        ("GET", "/api/openapi.json", "", [200, 200, 200, 200]),
        ("GET", "/", "", [200, 200, 200, 200]),
        ("GET", "/console/js/api.js", "", [200, 200, 200, 200]),
        ("POST", "/api/v1/orders", "{}", [401, 403, 400, 400]),
        ("POST", "/api/v1/spends", "{}", [401, 403, 400, 400]),
        ("GET", "/api/v1/tokens", "", [401, 403, 403, 200]),
        ("GET", "/api/v1/settings", "", [401, 403, 403, 200]),
        ("DELETE", "/api/v1/tokens/00000000", "", [401, 403, 403, 404]),
    ] {
        let lines = [String::new(), bearer(&reads), bearer(&acts), bearer(&admin)];
        let found = lines.map(|line| status(method, path, &line, body));
        assert_eq!(found, allowed, "{method} {path}: without, read, act, admin");
    }
    // what is no token is refused with a challenge, and never echoed
    let wrong = format!("wattle_{}_{}", "0".repeat(8), "0".repeat(64));
    for line in [bearer(&wrong), bearer("x"), bearer(""), "Authorization: Basic eDp5".to_owned(), "Authorization:".to_owned()] {
        let answer = ask(&net, "GET", "/api/v1/status", &[&line], "");
        answer.problem(401);
        assert!(answer.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")), "{line}");
        assert!(!answer.body.contains("0000"), "{}", answer.body);
    }
    // the session says who asks
    let session = ask(&net, "GET", "/api/v1/session", &[&bearer(&acts)], "").json();
    assert_eq!(
        (&session["name"], &session["open"], session["scopes"].to_string()),
        (&"act".into(), &false.into(), "[\"read\",\"act\"]".to_owned())
    );
    // a token made over HTTP counts at once, until it is revoked by the command line
    let made = ask(&net, "POST", "/api/v1/tokens", &[&bearer(&admin)], "{\"name\":\"page\",\"scopes\":[\"read\"],\"expires_s\":60}");
    assert_eq!(made.status, 201, "{}", made.body);
    let (text, id) = (made.json()["token"].as_str().unwrap().to_owned(), made.json()["id"].as_str().unwrap().to_owned());
    assert_eq!(status("GET", "/api/v1/status", &bearer(&text), ""), 200);
    run(&["token", "revoke", &id, "--config", net.config(1).to_str().unwrap()]).ok();
    assert_eq!(status("GET", "/api/v1/status", &bearer(&text), ""), 401);
    run(&["token", "revoke", &id, "--config", net.config(1).to_str().unwrap()]).refused(1, &[&id, "token list"]);
    // an expired one
    let brief = ask(&net, "POST", "/api/v1/tokens", &[&bearer(&admin)], "{\"name\":\"brief\",\"scopes\":[\"read\"],\"expires_s\":1}");
    let brief = bearer(brief.json()["token"].as_str().unwrap());
    until("the token expires", CONFIRM_TIMEOUT, || status("GET", "/api/v1/status", &brief, "") == 401);
    assert!(ask(&net, "GET", "/api/v1/status", &[&brief], "").body.contains("expired"));
    // the command line shows its token
    let file = net.dir.path().join("a.token");
    std::fs::write(&file, format!("{reads}\n")).unwrap();
    run(&["status", "--node", &net.http(1)]).refused(1, &["401"]);
    run(&["--token-file", file.to_str().unwrap(), "status", "--node", &net.http(1)]).ok();
    run(&["status", "--node", &net.http(1), "--token-file", "no.token"]).refused(2, &["no.token", "--token-file"]);
}

#[test]
fn pages_of_other_origins_stay_out_unless_they_are_let_in() {
    let net = Net::running(1);
    let status = |lines: &[&str]| ask(&net, "GET", "/api/v1/status", lines, "").status;
    assert_eq!(status(&[]), 200);
    assert_eq!(status(&["Origin: https://evil.example"]), 403);
    assert_eq!(raw(&net, b"GET /api/v1/status HTTP/1.0\r\nHost: evil.example\r\n\r\n").status, 403);
    assert_eq!(status(&["X-Forwarded-For: 192.0.2.7"]), 401);
    assert_eq!(ask(&net, "GET", "/api/v1/status", &[], "").header("access-control-allow-origin"), None);

    let net = closed("allow_origins = [\"https://dashboard.example\"]\n");
    let bearer = format!("Authorization: Bearer {}", token(&net, "read", "1h"));
    let answer = ask(&net, "GET", "/api/v1/status", &[&bearer, "Origin: https://dashboard.example"], "");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("https://dashboard.example")));
    let preflight = ["Origin: https://dashboard.example", "Access-Control-Request-Method: GET"];
    let answer = ask(&net, "OPTIONS", "/api/v1/status", &preflight, "");
    assert_eq!(answer.status, 204);
    assert!(answer.header("access-control-allow-headers").is_some_and(|headers| headers.contains("Authorization")));
    let answer = ask(&net, "GET", "/api/v1/status", &[&bearer, "Origin: https://evil.example"], "");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn what_makes_no_sense_is_a_problem_and_hurts_nobody() {
    let net = Net::running(1);
    for (method, path, status) in [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/messages/%FF", 400),
        ("GET", "/api/v1/messages/..%2f..%2fetc%2fpasswd", 400),
        ("GET", "/api/v1/messages?cursor=x", 400),
        ("GET", "/api/v1/messages?limit=0", 400),
        ("GET", "/api/v1/messages?from=yesterday", 400),
        ("GET", "/api/v1/messages?standing=gone", 400),
        ("GET", "/api/v1/messages?body=order", 400),
        ("GET", "/api/v1/spends?status=done", 400),
        ("GET", "/api/v1/readings?topic=a&device=b", 400),
        ("GET", "/api/v1/readings/export?format=xml", 400),
        ("GET", "/api/v1/receipts", 400),
        ("GET", "/api/v1/events?kinds=everything", 400),
        ("GET", "/api/v1/devices?limit=x", 400),
        ("PATCH", "/api/v1/status", 405),
        ("DELETE", "/api/v1/messages", 405),
    ] {
        ask(&net, method, path, &[], "").problem(status);
    }
    // line breaks cannot be smuggled into headers
    let answer = ask(&net, "GET", "/api/v1/messages/a%0d%0aX-Injected:%201", &[], "");
    answer.problem(400);
    assert_eq!(answer.header("x-injected"), None);
    // bodies that are too large, said or sent
    let huge = "0".repeat(9 << 20);
    for path in ["/api/v1/orders", "/api/v1/spends", "/api/v1/receipts/verify"] {
        let mut stream = connect(&net);
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", huge.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(huge.as_bytes()));
        let mut text = [0; 12];
        // a node that has said no closes the connection, which may overtake what it said
        if stream.read_exact(&mut text).is_ok() {
            assert!(matches!(&text, b"HTTP/1.1 413" | b"HTTP/1.1 400"), "{path}: {}", String::from_utf8_lossy(&text));
        }
    }
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(raw(&net, format!("GET /healthz HTTP/1.0\r\n{many}\r\n").as_bytes()).status, 431);
    let long = format!("GET /healthz HTTP/1.0\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let _ = connect(&net).write_all(long.as_bytes()); // it may be closed before all is sent
    assert_eq!(get(&net.http(1), "/healthz").map(|(status, _)| status), Some(200));
}

#[test]
fn a_client_that_says_nothing_is_sent_away_and_others_are_served() {
    let net = closed("connections = 2\nlisteners = 2\n");
    // two that begin and do not go on take all places, for a while
    let mut slow: Vec<TcpStream> = (0..2).map(|_| connect(&net)).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: loc").unwrap();
    }
    assert_eq!(ask(&net, "GET", "/healthz", &[], "").status, 200);
    for mut stream in slow {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("it is closed, not left open");
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    }
}

#[test]
fn a_token_has_its_share_of_requests() {
    // one a second, so that a slow machine asks too often, too
    let net = closed("requests_per_second = 1\n");
    let bearer = format!("Authorization: Bearer {}", token(&net, "read", "1h"));
    let answers: Vec<Answer> = (0..50).map(|_| ask(&net, "GET", "/api/v1/session", &[&bearer], "")).collect();
    assert_eq!(answers[0].status, 200);
    let refused = answers.iter().find(|answer| answer.status != 200).expect("none was too many");
    refused.problem(429);
    assert!(refused.header("retry-after").is_some());
}

/// All entries of a list, page by page.
fn all(net: &Net, path: &str, name: &str, limit: usize) -> Vec<Value> {
    let (mut entries, mut cursor) = (Vec::new(), String::new());
    loop {
        let joint = if path.contains('?') { '&' } else { '?' };
        let (status, text) = get(&net.http(1), &format!("{path}{joint}limit={limit}{cursor}")).expect("an answer");
        assert_eq!(status, 200, "{text}");
        let page: Value = serde_json::from_str(&text).unwrap();
        let list = page[name].as_array().expect("a list");
        assert!(list.len() <= limit);
        entries.extend(list.clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return entries,
        }
    }
}

#[test]
fn pages_and_exports_cover_everything_once() {
    let net = Net::running(1);
    let file = net.dir.path().join("table.csv");
    let names = table(&file, 300);
    net.replay(&file, &[]);
    net.wait_confirmed(300);
    until("all is indexed", CONFIRM_TIMEOUT, || all(&net, "/api/v1/readings", "readings", 1000).len() == 300);
    let ids = |list: &[Value]| list.iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let readings = ids(&all(&net, "/api/v1/readings", "readings", 1000));
    assert_eq!(readings.iter().collect::<BTreeSet<_>>().len(), 300);
    for limit in [7, 100] {
        assert_eq!(ids(&all(&net, "/api/v1/readings", "readings", limit)), readings, "pages of {limit}");
    }
    // of one device, of a span, by export
    let (from, to) = (1_470_009_600_000_000_u64 + 50_000, 1_470_009_600_000_000_u64 + 200_000);
    for filter in
        ["", "device=z1/m3", "topic=z1/m3/sense/power", &format!("from={from}&to={to}"), &format!("device=z1/m3&from={from}&to={to}")]
    {
        let listed = ids(&all(&net, &format!("/api/v1/readings?{filter}"), "readings", 20));
        assert!(!listed.is_empty(), "{filter}");
        let (_, lines) = get(&net.http(1), &format!("/api/v1/readings/export?format=ndjson&{filter}")).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(ids(&lines), listed, "{filter}");
        let (_, text) = get(&net.http(1), &format!("/api/v1/readings/export?format=csv&{filter}")).unwrap();
        let columns: Vec<&str> = text.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(columns, listed, "{filter}");
    }
    assert_eq!(all(&net, &format!("/api/v1/readings?from={from}&to={to}"), "readings", 1000).len(), 150);
    assert_eq!(all(&net, "/api/v1/readings?device=z1/nobody", "readings", 10).len(), 0);
    // the ledger's own lists; what is new meanwhile stands before the first page
    let messages = all(&net, "/api/v1/messages?standing=confirmed&body=readings", "messages", 3);
    let distinct: BTreeSet<String> = ids(&messages).into_iter().collect();
    assert_eq!(distinct.len(), messages.len());
    let anchored: u64 = messages.iter().filter_map(|m| m["readings"].as_u64()).sum();
    assert_eq!(anchored, 300);
    let milestones = all(&net, "/api/v1/milestones", "milestones", 5);
    let heights: Vec<u64> = milestones.iter().map(|m| m["height"].as_u64().unwrap()).collect();
    assert!(heights.windows(2).all(|pair| pair[0] == pair[1] + 1), "{heights:?}");
    // receipts by device and time, and what they prove
    let (status, text) = get(&net.http(1), "/api/v1/receipts?device=z1/m0&time=2016-08-01T00:00:00Z").unwrap();
    assert_eq!(status, 200, "{text}");
    let receipts: Value = serde_json::from_str(&text).unwrap();
    let receipt = receipts["receipts"][0]["receipt"].to_string();
    let verdict = ask(&net, "POST", "/api/v1/receipts/verify", &[], &receipt).json();
    assert_eq!((&verdict["valid"], &verdict["topic"]), (&true.into(), &"z1/m0/sense/power".into()), "{verdict}");
    let forged = receipt.replacen("\"salt\":\"", "\"salt\":\"A", 1);
    assert_ne!(forged, receipt);
    assert_eq!(ask(&net, "POST", "/api/v1/receipts/verify", &[], &forged).json()["valid"], false);
    // what does not change is not sent twice
    let path = format!("/api/v1/receipts/{}", names[0].replace('@', "%40"));
    let tag = ask(&net, "GET", &path, &[], "").header("etag").expect("a tag").to_owned();
    let again = ask(&net, "GET", &path, &[&format!("If-None-Match: {tag}")], "");
    if again.status != 304 {
        // a later certificate may have come
        assert_ne!(again.header("etag"), Some(tag.as_str()));
    }
}

/// A listener to events.
struct Listener {
    lines: BufReader<TcpStream>,
}

impl Listener {
    fn new(net: &Net, query: &str, last_id: Option<&str>) -> Self {
        let mut stream = connect(net);
        let last_id = last_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        stream.write_all(format!("GET /api/v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{last_id}\r\n").as_bytes()).unwrap();
        let mut lines = BufReader::new(stream);
        let mut first = String::new();
        lines.read_line(&mut first).expect("an answer");
        assert!(first.starts_with("HTTP/1.1 200"), "{first}");
        Self { lines }
    }

    /// The next event of a kind: its id and data.
    fn next(&mut self, kind: &str) -> (String, Value) {
        let (mut id, mut event) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).expect("an event in time") > 0, "the stream has ended");
            match line.trim_end().split_once(": ") {
                Some(("id", text)) => id = text.to_owned(),
                Some(("event", text)) => event = text.to_owned(),
                Some(("data", text)) if event == kind => return (id, serde_json::from_str(text).unwrap()),
                _ => {}
            }
        }
    }
}

#[test]
fn a_listener_that_comes_back_misses_nothing_or_is_told() {
    let net = Net::running(1);
    let file = net.dir.path().join("table.csv");
    table(&file, 40);
    let mut listener = Listener::new(&net, "?kinds=milestone", None);
    let mut samples = Listener::new(&net, "?kinds=message,reading", None);
    net.replay(&file, &["--rate", "50"]);
    let (id, first) = listener.next("milestone");
    let height = first["height"].as_u64().unwrap();
    drop(listener);
    net.wait_confirmed(40);
    let mut again = Listener::new(&net, "?kinds=milestone", Some(&id));
    let (_, second) = again.next("milestone");
    assert_eq!(second["height"].as_u64(), Some(height + 1), "nothing was missed");
    let (_, message) = samples.next("message");
    assert!(message["sampled"].as_u64().is_some_and(|n| n >= 1) && message["parents"].is_array(), "{message}");
    let (_, gap) = Listener::new(&net, "", Some("1-1")).next("gap");
    assert!(gap["missed"].is_null(), "{gap}");
}

#[test]
fn a_listener_whose_token_is_revoked_is_sent_away() {
    let net = closed("");
    let text = token(&net, "read", "1h");
    let mut stream = connect(&net);
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {text}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).expect("an answer");
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    let number = text.split('_').nth(1).expect("a token has a number");
    run(&["token", "revoke", number, "--config", net.config(1).to_str().unwrap()]).ok();
    let revoked = Instant::now();
    while lines.read_line(&mut line).expect("the stream goes on or ends") > 0 {
        assert!(revoked.elapsed() < CONFIRM_TIMEOUT, "it goes on");
        line.clear();
    }
}

#[test]
fn a_thousand_listen_and_one_too_many_is_told() {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: files.maximum, ..files };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("more files");
    let mut net = Net::init(1, &[]);
    let text = std::fs::read_to_string(net.config(1)).unwrap();
    let more = format!("open = \"loopback\"\nlisteners = {LISTENERS}\n");
    std::fs::write(net.config(1), text.replace("open = \"loopback\"\n", &more)).unwrap();
    net.start(1);
    net.wait_ready(1);
    let mut listeners: Vec<Listener> = (0..LISTENERS).map(|_| Listener::new(&net, "?kinds=milestone", None)).collect();
    let refused = ask(&net, "GET", "/api/v1/events", &[], "");
    refused.problem(503);
    assert!(refused.header("retry-after").is_some() && refused.body.contains("listeners"), "{}", refused.body);
    let file = net.dir.path().join("table.csv");
    table(&file, 5);
    net.replay(&file, &[]);
    for listener in &mut listeners {
        assert!(listener.next("milestone").1["height"].as_u64().is_some());
    }
    drop(listeners);
    until("places are free again", CONFIRM_TIMEOUT, || {
        let (mut stream, mut first) = (connect(&net), [0; 12]);
        let asked = stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        asked.is_ok() && stream.read_exact(&mut first).is_ok() && first == *b"HTTP/1.1 200"
    });
}

/// Whether a value has the form that a schema says, as far as the document uses JSON Schema.
fn fits(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(to) = schema["$ref"].as_str() {
        return fits(document, document.pointer(to.trim_start_matches('#')).expect("a form"), value, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fit = any.iter().any(|schema| fits(document, schema, value, at).is_ok());
        return if fit { Ok(()) } else { Err(format!("{at}: {value} is none of {any:?}")) };
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return Err(format!("{at}: {value} is not of {}", schema["enum"]));
    }
    let good = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        _ => true,
    };
    if !good {
        return Err(format!("{at}: {value} is no {}", schema["type"]));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let field = value.get(name).ok_or_else(|| format!("{at}: there is no {name}"))?;
        fits(document, &schema["properties"][name], field, &format!("{at}/{name}"))?;
    }
    for (index, entry) in value.as_array().into_iter().flatten().enumerate().filter(|_| schema["items"].is_object()) {
        fits(document, &schema["items"], entry, &format!("{at}/{index}"))?;
    }
    Ok(())
}

#[test]
fn answers_have_the_form_that_the_document_says() {
    let net = Net::running(1);
    let file = net.dir.path().join("table.csv");
    let names = table(&file, 10);
    net.replay(&file, &[]);
    net.wait_confirmed(10);
    let reading = net.wait_reading(&names[0]);
    let document: Value = serde_json::from_str(&get(&net.http(1), "/api/openapi.json").unwrap().1).unwrap();
    let validators: Value = serde_json::from_str(&get(&net.http(1), "/api/v1/validators").unwrap().1).unwrap();
    let key = validators["validators"][0]["key"].as_str().unwrap();
    let example = |path: &str| {
        let path = path.replace("{reference}", reading["id"].as_str().unwrap()).replace("{height}", "1");
        let path = path.replace("{kind}", "validators").replace("{key}", key).replace("{validator}", key);
        if path.contains("/messages/") { path.replace("{id}", reading["message"].as_str().unwrap()) } else { path }
    };
    let mut checked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let schema = &methods["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let path = example(path);
        if schema.is_null() || path.contains('{') {
            continue;
        }
        let (status, text) = get(&net.http(1), &path).expect("an answer");
        // admin's paths, and lists of parts that this node has not
        if matches!(status, 403 | 404 | 409) || path == "/api/v1/receipts" {
            continue;
        }
        assert_eq!(status, 200, "{path}: {text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        fits(&document, schema, &value, &path).unwrap();
        checked += 1;
    }
    assert!(checked >= 18, "only {checked} answers were looked at");
    let (status, page) = get(&net.http(1), "/api").unwrap();
    assert!(status == 200 && page.contains("/api/v1/readings/export") && !page.contains("<script"), "{page}");
}
