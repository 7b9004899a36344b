//! Who may ask for what: tokens, this machine, pages of other origins, and how much.
//!
//! ```text
//! request ─▶ outer: address within its limit? ─ preflight ─▶ route ─▶ require: token? scope? token within its limit? ─▶ handler
//!                └──────── headers that every answer has ◀──────────────────────────┘
//! ```
//! # Rules
//! - A token comes in `Authorization: Bearer` only: what stands in a path or query gets into logs.
//! - A token that is wrong is refused even where none is needed: whoever shows one means it.
//! - Without a token only programs on this machine get in, if `[http] open` says so, with the scopes read and act. What a
//!   proxy passes on is not of this machine. Nor may a page of another origin use the browser of somebody who sits here: the
//!   `Host` must be a name of this machine (else a name could be bound to it anew), and an `Origin` must be the same.
//! - A page of another origin may use the interface only with a token, and only if its origin is in `[http] allow_origins`.

use super::AppState;
use super::limits::{Buckets, customer};
use super::problem::Problem;
use crate::clock::now_us;
use crate::config::{HttpConfig, Open};
use crate::tokens::{Invalid, Scope, Tokens};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long an answer may take to begin, and a body to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer in plain text that becomes a problem.
const PLAIN_BYTES_MAX: usize = 4096;
/// Headers that say that a proxy passed the request on.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];
/// What pages of allowed origins may do.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
/// Headers that they may send,
const HEADERS: &str = "Authorization, Content-Type, If-None-Match, Last-Event-ID";
/// and see.
const EXPOSED: &str = "ETag, Link, Location, Retry-After, WWW-Authenticate";
/// For how many seconds a browser may remember that.
const PREFLIGHT_S: &str = "600";

/// Who is connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client(pub(super) SocketAddr);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// What people call the token; none without one.
    pub(super) name: Option<String>,
    /// What it may do.
    pub(super) scopes: Vec<Scope>,
    /// Whether it got in without a token.
    pub(super) open: bool,
}

/// What decides.
pub(super) struct Gate {
    tokens: Arc<Tokens>,
    open: Open,
    origins: Vec<HeaderValue>,
    addresses: Buckets<IpAddr>,
    holders: Buckets<String>,
}

impl Gate {
    /// As the configuration says.
    pub(super) fn new(config: &HttpConfig, tokens: Arc<Tokens>) -> Self {
        Self {
            tokens,
            open: config.open,
            origins: config.allow_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect(),
            addresses: Buckets::new(config.requests_per_second),
            holders: Buckets::new(config.requests_per_second),
        }
    }

    /// The tokens.
    pub(super) fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// Who asks, if it may.
    fn admit(&self, client: SocketAddr, headers: &HeaderMap, need: Scope) -> Result<Caller, Problem> {
        let caller = match bearer(headers)? {
            Some(text) => self.holder(text)?,
            None => self.nameless(client, headers)?,
        };
        match caller.scopes.iter().any(|own| *own >= need) {
            true => Ok(caller),
            false => Err(Problem::forbidden(
                format!("this needs the scope {need}: make a token for it with `wattle token create --scopes {need}`"),
                Some("Bearer realm=\"wattle\", error=\"insufficient_scope\""),
            )),
        }
    }

    /// Who shows a token.
    fn holder(&self, text: &str) -> Result<Caller, Problem> {
        let token = self.tokens.check(text, now_us() / 1_000).map_err(|why| {
            Problem::unauthorized(match why {
                Invalid::Malformed => "this is no token: a token begins with wattle_, `wattle token create` makes one",
                Invalid::Unknown => "this token is not known here, or was revoked: `wattle token list` shows those that are",
                Invalid::Expired => "this token has expired: `wattle token create` makes another",
            })
        })?;
        if !self.holders.take(&token.id) {
            return Err(Problem::busy("this token asks too often: [http] requests_per_second says how often it may"));
        }
        let scopes = Scope::ALL.into_iter().filter(|scope| token.allows(*scope)).collect();
        Ok(Caller { name: Some(token.name), scopes, open: false })
    }

    /// Who shows none.
    fn nameless(&self, client: SocketAddr, headers: &HeaderMap) -> Result<Caller, Problem> {
        let forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
        if self.open != Open::Loopback || !local(client.ip()) || forwarded {
            return Err(Problem::unasked("this needs a token in `Authorization: Bearer`: `wattle token create` makes one"));
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        if !host.is_none_or(names_this_machine) {
            let why = "without a token this machine must be called by its own name, such as localhost: the Host is another";
            return Err(Problem::forbidden(why, None));
        }
        let foreign = headers.get(header::ORIGIN).is_some_and(|origin| !same_origin(origin, host));
        if foreign || headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
            return Err(Problem::forbidden("a page of another origin needs a token, and an entry in [http] allow_origins", None));
        }
        Ok(Caller { name: None, scopes: vec![Scope::Read, Scope::Act], open: true })
    }

    /// Whether whoever got in with these headers to look would get in now: a token may have been revoked, or have expired.
    pub(super) fn still_admits(&self, headers: &HeaderMap) -> bool {
        match bearer(headers) {
            Ok(Some(text)) => self.tokens.check(text, now_us() / 1_000).is_ok_and(|token| token.allows(Scope::Read)),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// The origin of the page that asks, if it is allowed.
    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        headers.get(header::ORIGIN).filter(|origin| self.origins.contains(origin)).cloned()
    }
}

/// What stands in front of every path: limits of addresses, other origins, and the headers that every answer has.
pub(super) async fn outer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let client = client_of(&request);
    let gate = state.gate();
    let origin = gate.allowed_origin(request.headers());
    let preflight = request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let api = request.uri().path().starts_with("/api/");
    let mut response = match (local(client.ip()) || gate.addresses.take(&customer(client.ip())), &origin) {
        (false, _) => Problem::busy("this address asks too often: [http] requests_per_second says how often it may").into_response(),
        (true, Some(_)) if preflight => StatusCode::NO_CONTENT.into_response(),
        (true, _) => as_problem(next.run(request).await).await,
    };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| drop(headers.insert(name, HeaderValue::from_static(value)));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    if origin.is_some() {
        set(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        set(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        set(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_S);
    }
    if !gate.origins.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    if api && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// What stands in front of a path that needs a scope.
pub(super) async fn require(State((state, need)): State<(AppState, Scope)>, mut request: Request, next: Next) -> Response {
    let admitted = state.gate().admit(client_of(&request).0, request.headers(), need);
    match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            in_time(request, next).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// What stands in front of a process that has no ledger node, and so no [`AppState`]: everything but `/healthz` needs the scope read.
pub(super) async fn require_read(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let client = client_of(&request);
    if !(local(client.ip()) || gate.addresses.take(&customer(client.ip()))) {
        return Problem::busy("this address asks too often: [http] requests_per_second says how often it may").into_response();
    }
    if request.uri().path() == "/healthz" {
        return in_time(request, next).await;
    }
    let admitted = gate.admit(client.0, request.headers(), Scope::Read);
    match admitted {
        Ok(_) => in_time(request, next).await,
        Err(problem) => problem.into_response(),
    }
}

/// Answers in time, or says that it took too long.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    let late = || {
        Problem::late(format!("no answer within {} s: the request was too slow to arrive, or the node is busy", REQUEST_TIMEOUT.as_secs()))
    };
    tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| late().into_response())
}

/// Who is connected. Nobody's address if that is not known, so that it is not taken for this machine.
fn client_of(request: &Request) -> Client {
    let nobody = Client(SocketAddr::from(([0, 0, 0, 0], 0)));
    request.extensions().get::<Client>().copied().unwrap_or(nobody)
}

impl Client {
    fn ip(self) -> IpAddr {
        self.0.ip()
    }
}

/// Whether an address is of this machine.
pub(super) fn local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// The token of a request, if it shows one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = shown.next() else { return Ok(None) };
    let malformed = || Problem::unauthorized("the header must be one `Authorization: Bearer TOKEN`");
    if shown.next().is_some() {
        return Err(malformed());
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(Some(token.trim())) } else { Err(malformed()) }
}

/// Whether a `Host` is a name of this machine that nobody else can bind.
fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(local)
}

/// Whether an `Origin` is where the request goes to.
fn same_origin(origin: &HeaderValue, host: Option<&str>) -> bool {
    let place = origin.to_str().ok().and_then(|text| text.split_once("://")).map(|(_, place)| place);
    place.is_some() && place == host
}

/// A refusal of the HTTP library in plain text, as a problem.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("text/plain");
    if !(status.is_client_error() || status.is_server_error()) || !kind.starts_with("text/plain") {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, PLAIN_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut problem = Problem::of(status, if text.is_empty() { "it cannot be answered".to_owned() } else { text }).into_response();
    if let Some(allow) = parts.headers.get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1:40000";
    const THERE: &str = "192.0.2.7:40000";

    fn gate(open: Open, rate: u32) -> (tempfile::TempDir, Gate) {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Arc::new(Tokens::new(dir.path().join("tokens.json")));
        let config = HttpConfig {
            open,
            requests_per_second: rate,
            allow_origins: vec!["https://dashboard.example".to_owned()],
            ..HttpConfig::default()
        };
        (dir, Gate::new(&config, tokens))
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn verdict(gate: &Gate, from: &str, list: &[(&'static str, &str)], need: Scope) -> Result<Caller, u16> {
        gate.admit(from.parse().unwrap(), &headers(list), need).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn without_a_token_only_this_machine_gets_in_and_only_if_it_may() {
        let (_dir, open) = gate(Open::Loopback, 0);
        let (_other, shut) = gate(Open::None, 0);
        assert!(verdict(&open, HERE, &[], Scope::Act).unwrap().open);
        assert!(verdict(&open, "[::1]:5", &[("host", "[::1]:8080")], Scope::Read).is_ok());
        assert_eq!(verdict(&open, HERE, &[], Scope::Admin), Err(403));
        assert_eq!(verdict(&open, THERE, &[], Scope::Read), Err(401));
        assert_eq!(verdict(&shut, HERE, &[], Scope::Read), Err(401));
        for forwarded in FORWARDED {
            let list = HeaderMap::from_iter([(HeaderName::from_static(forwarded), HeaderValue::from_static("192.0.2.9"))]);
            assert_eq!(open.admit(HERE.parse().unwrap(), &list, Scope::Read).unwrap_err().status(), 401, "{forwarded}");
        }
    }

    #[test]
    fn pages_of_others_cannot_use_a_browser_that_sits_here() {
        let (_dir, gate) = gate(Open::Loopback, 0);
        let own = [("host", "localhost:8080"), ("origin", "http://localhost:8080")];
        assert!(verdict(&gate, HERE, &own, Scope::Act).is_ok());
        for list in [
            [("host", "localhost:8080"), ("origin", "https://evil.example")],
            [("host", "localhost:8080"), ("origin", "null")],
            [("host", "evil.example"), ("origin", "http://evil.example")],
            [("host", "127.0.0.1.evil.example"), ("accept", "*/*")],
            [("host", "localhost:8080"), ("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(verdict(&gate, HERE, &list, Scope::Read), Err(403), "{list:?}");
        }
        let origin = headers(&[("origin", "https://dashboard.example")]);
        assert!(gate.allowed_origin(&origin).is_some());
        assert!(gate.allowed_origin(&headers(&[("origin", "https://dashboard.example.evil")])).is_none());
    }

    #[test]
    fn tokens_open_what_their_scopes_say() {
        let (_dir, gate) = gate(Open::Loopback, 0);
        let (reads, _) = gate.tokens().create("reader", &[Scope::Read], 0, None).unwrap();
        let (over, _) = gate.tokens().create("over", &[Scope::Admin], 0, Some(1)).unwrap();
        let shown = |token: &str| format!("Bearer {token}");
        let caller = verdict(&gate, THERE, &[("authorization", &shown(&reads))], Scope::Read).unwrap();
        assert_eq!((caller.name.as_deref(), caller.open, caller.scopes.as_slice()), (Some("reader"), false, [Scope::Read].as_slice()));
        assert_eq!(verdict(&gate, THERE, &[("authorization", &shown(&reads))], Scope::Act), Err(403));
        assert_eq!(verdict(&gate, THERE, &[("authorization", &shown(&over))], Scope::Read), Err(401));
        // a wrong token is refused where none is needed
        let basic = "Basic d2F0dGxl".to_owned();
        for bad in [shown("nothing"), shown(&reads.replace('a', "b")), basic, "Bearer".to_owned(), format!("{} x", shown(&reads))] {
            if bad != shown(&reads) {
                assert_eq!(verdict(&gate, HERE, &[("authorization", &bad)], Scope::Read), Err(401), "{bad}");
            }
        }
        let mut twice = headers(&[("authorization", &shown(&reads))]);
        twice.append(header::AUTHORIZATION, shown(&reads).parse().unwrap());
        assert_eq!(gate.admit(HERE.parse().unwrap(), &twice, Scope::Read).unwrap_err().status(), 401);
    }

    #[test]
    fn who_listens_is_sent_away_when_the_token_is_revoked() {
        let (_dir, gate) = gate(Open::Loopback, 1);
        let (text, token) = gate.tokens().create("a", &[Scope::Read], 0, None).unwrap();
        let shown = headers(&[("authorization", &format!("Bearer {text}"))]);
        // it takes nothing from the token's share
        assert!((0..5).all(|_| gate.still_admits(&shown)));
        gate.tokens().revoke(&token.id).unwrap();
        assert!(!gate.still_admits(&shown) && gate.still_admits(&HeaderMap::new()));
    }

    #[test]
    fn a_token_has_its_share() {
        let (_dir, gate) = gate(Open::None, 2);
        let (token, _) = gate.tokens().create("a", &[Scope::Read], 0, None).unwrap();
        let shown = format!("Bearer {token}");
        let answers: Vec<_> = (0..100).map(|_| verdict(&gate, THERE, &[("authorization", &shown)], Scope::Read).map(drop)).collect();
        assert!(answers.iter().take(2).all(Result::is_ok) && answers.contains(&Err(429)), "{answers:?}");
    }
}
