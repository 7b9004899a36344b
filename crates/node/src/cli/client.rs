//! A node's HTTP API, seen from outside.

use super::output::note;
use super::{Exit, Failure, trust};
use serde::de::DeserializeOwned;
use std::fmt;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use thiserror::Error;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a refusal.
const PROBLEM_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a file with a token.
const TOKEN_BYTES_MAX: u64 = 4096;
/// Where a token stands if no file is named.
const TOKEN_VARIABLE: &str = "WATTLE_TOKEN";
/// The file with the token, if one was named on the command line.
static TOKEN_FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
/// Whether somebody was warned that a token goes in the clear.
static WARNED: AtomicBool = AtomicBool::new(false);

/// Where a node listens if nothing else is said.
pub(crate) const DEFAULT_NODE: &str = "http://127.0.0.1:8080";

/// Why a question to a node has no answer.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Not a URL this client can use.
    #[error("{0:?} is not the address of a node: --node: give http://HOST:PORT or https://HOST:PORT")]
    Url(String),
    /// The token cannot be had.
    #[error("no token ({why}): {from}: name a file whose first line is one by --token-file, or set WATTLE_TOKEN")]
    Token {
        /// Where it should be.
        from: String,
        /// What is wrong.
        why: String,
    },
    /// Nobody can be believed that a node is the one it says.
    #[error(
        "no authority to believe ({why}): {from}: name a file with the certificate of the node's authority (PEM) by --ca, or in WATTLE_CA"
    )]
    Authority {
        /// Where they should be.
        from: String,
        /// What is wrong.
        why: String,
    },
    /// TLS does not come about, so nothing was asked.
    #[error("{why}: {base}: {todo}")]
    Tls {
        /// The node.
        base: String,
        /// What is wrong.
        why: String,
        /// What to do.
        todo: String,
    },
    /// Nobody answers.
    #[error("no answer ({why}): {base}: start the node (`wattle up`) or name it with --node")]
    Unreachable {
        /// The node.
        base: String,
        /// What the socket said.
        why: String,
    },
    /// The node says no.
    #[error("{detail}: {url}: the node answered {status}")]
    Problem {
        /// HTTP status.
        status: u16,
        /// The node's own words.
        detail: String,
        /// What was asked.
        url: String,
    },
    /// The answer is not what a node says.
    #[error("the answer cannot be read ({why}): {url}: check that a wattle node of this version listens there")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Url(_) | ClientError::Token { .. } | ClientError::Authority { .. } => Exit::Usage,
            ClientError::Unreachable { .. } => Exit::Unreachable,
            ClientError::Tls { .. } | ClientError::Problem { .. } | ClientError::Answer { .. } => Exit::Refused,
        };
        Self::said(exit, error)
    }
}

/// A node to ask. Cheap to clone; connections are kept.
#[derive(Clone)]
pub(crate) struct NodeClient {
    agent: ureq::Agent,
    base: String,
    /// What `Authorization` says, if anything.
    token: Option<String>,
}

impl fmt::Debug for NodeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeClient").field("base", &self.base).finish_non_exhaustive()
    }
}

impl NodeClient {
    /// A client of the node at `base`, such as `http://127.0.0.1:8080` or `https://node.example:8080`. It shows the token of
    /// `--token-file` or `WATTLE_TOKEN`, if there is one.
    ///
    /// # Errors
    /// [`ClientError::Url`] if `base` is no such address; [`ClientError::Token`] if the token cannot be read;
    /// [`ClientError::Authority`] if it is at `https://` and nobody can be believed.
    pub(crate) fn new(base: &str) -> Result<Self, ClientError> {
        let mut client = Self::nameless(base)?;
        client.token = token()?;
        if client.token.is_some() && in_the_clear(&client.base) && !WARNED.swap(true, Ordering::Relaxed) {
            note(&format!("warning: the token goes to {} in the clear: use https:// (docs/api.md), or a tunnel", client.base));
        }
        Ok(client)
    }

    /// A client that shows no token, whatever there is: for nodes of this program's own, and for those of others.
    ///
    /// # Errors
    /// [`ClientError::Url`] if `base` is no such address; [`ClientError::Authority`] if it is at `https://` and nobody can be
    /// believed.
    pub(crate) fn nameless(base: &str) -> Result<Self, ClientError> {
        let base = base.trim_end_matches('/');
        let secure = secure(base).ok_or_else(|| ClientError::Url(base.to_owned()))?;
        let tls = if secure { trust::verified()? } else { trust::nobody() };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .proxy(None)
            .tls_config(tls)
            .https_only(secure)
            .max_redirects(0)
            .build();
        Ok(Self { agent: config.into(), base: base.to_owned(), token: None })
    }

    /// The node's address.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The text at `path`, which begins with `/`.
    ///
    /// # Errors
    /// [`ClientError`] if nobody answers or the answer is a problem.
    pub(crate) fn text(&self, path: &str) -> Result<String, ClientError> {
        self.text_within(path, ANSWER_BYTES_MAX)
    }

    /// The same of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ClientError`] if nobody answers, the answer is a problem, or longer.
    pub(crate) fn text_within(&self, path: &str, limit: u64) -> Result<String, ClientError> {
        let url = format!("{}{path}", self.base);
        let mut response = self.shown(self.agent.get(&url)).call().map_err(|error| self.failed(&url, error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(limit).read_to_string().map_err(|error| self.failed(&url, error))?;
        match (200..300).contains(&status) {
            true => Ok(body),
            false => Err(problem(status, &body, url)),
        }
    }

    /// The answer of at most `limit` bytes to a question in bytes.
    ///
    /// # Errors
    /// [`ClientError`] if nobody answers, the answer is a problem, or longer.
    pub(crate) fn post(&self, path: &str, question: &[u8], limit: u64) -> Result<Vec<u8>, ClientError> {
        let url = format!("{}{path}", self.base);
        let request = self.shown(self.agent.post(&url)).content_type("application/octet-stream");
        let mut response = request.send(question).map_err(|error| self.failed(&url, error))?;
        let status = response.status().as_u16();
        let limit = if (200..300).contains(&status) { limit } else { PROBLEM_BYTES_MAX };
        let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| self.failed(&url, error))?;
        match (200..300).contains(&status) {
            true => Ok(body),
            false => Err(problem(status, &String::from_utf8_lossy(&body), url)),
        }
    }

    /// The text that `path` answers to `body`, which is JSON.
    ///
    /// # Errors
    /// [`ClientError`] if nobody answers or the answer is a problem.
    pub(crate) fn post_json(&self, path: &str, body: &str) -> Result<String, ClientError> {
        let url = format!("{}{path}", self.base);
        let request = self.shown(self.agent.post(&url)).content_type("application/json");
        let mut response = request.send(body).map_err(|error| self.failed(&url, error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(|error| self.failed(&url, error))?;
        match (200..300).contains(&status) {
            true => Ok(body),
            false => Err(problem(status, &body, url)),
        }
    }

    /// Puts `body` at `path`.
    ///
    /// # Errors
    /// [`ClientError`] if nobody answers or the answer is a problem.
    pub(crate) fn put(&self, path: &str, content_type: &str, body: &[u8]) -> Result<(), ClientError> {
        let url = format!("{}{path}", self.base);
        let request = self.shown(self.agent.put(&url)).content_type(content_type);
        let mut response = request.send(body).map_err(|error| self.failed(&url, error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(PROBLEM_BYTES_MAX).read_to_string().map_err(|error| self.failed(&url, error))?;
        match (200..300).contains(&status) {
            true => Ok(()),
            false => Err(problem(status, &body, url)),
        }
    }

    /// A question with the token.
    fn shown<B>(&self, question: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => question.header("Authorization", token.as_str()),
            None => question,
        }
    }

    fn failed(&self, url: &str, error: ureq::Error) -> ClientError {
        if let Some(refusal) = trust::refusal(&self.base, &error) {
            return refusal;
        }
        match error {
            // of TLS: a name that none can be
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Tls(_) => ClientError::Url(url.to_owned()),
            ureq::Error::Protocol(why) if self.base.starts_with("http://") => ClientError::Unreachable {
                base: self.base.clone(),
                why: format!("what answers speaks no HTTP, {why}; a node with [http.tls] is at https://"),
            },
            ureq::Error::BodyExceedsLimit(limit) => {
                ClientError::Answer { url: url.to_owned(), why: format!("it has more than {limit} bytes") }
            }
            other => ClientError::Unreachable { base: self.base.clone(), why: other.to_string() },
        }
    }

    /// The JSON at `path`.
    ///
    /// # Errors
    /// [`ClientError`] if nobody answers, the answer is a problem, or not of this type.
    pub(crate) fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let text = self.text(path)?;
        let url = || format!("{}{path}", self.base);
        serde_json::from_str(&text).map_err(|e| ClientError::Answer { url: url(), why: e.to_string() })
    }

    /// Whether the node says that it is well.
    pub(crate) fn healthy(&self) -> bool {
        self.text("/healthz").is_ok()
    }
}

/// Every client from now on shows the token in this file.
pub(crate) fn show_token(file: Option<PathBuf>) {
    let _ = TOKEN_FILE.set(file); // once, when the program starts
}

/// What `Authorization` should say.
fn token() -> Result<Option<String>, ClientError> {
    let (from, text) = match TOKEN_FILE.get().and_then(Option::as_ref) {
        Some(file) => {
            let from = file.display().to_string();
            let mut text = String::new();
            let read = std::fs::File::open(file).and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text));
            read.map_err(|e| ClientError::Token { from: from.clone(), why: e.to_string() })?;
            (from, text)
        }
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) if !text.trim().is_empty() => (TOKEN_VARIABLE.to_owned(), text),
            _ => return Ok(None),
        },
    };
    let line = text.lines().next().unwrap_or_default().trim();
    match !line.is_empty() && line.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(Some(format!("Bearer {line}"))),
        false => Err(ClientError::Token { from, why: "its first line is no token".to_owned() }),
    }
}

/// What a node says when it says no.
fn problem(status: u16, body: &str, url: String) -> ClientError {
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let field = |name: &str| problem.get(name).and_then(|v| v.as_str()).filter(|t| !t.is_empty()).map(str::to_owned);
    let reason = || if (300..400).contains(&status) { "it sends elsewhere: name that address" } else { "it gave no reason" };
    let detail = field("detail").or_else(|| field("title")).unwrap_or_else(|| reason().to_owned());
    ClientError::Problem { status, detail, url }
}

/// Whether the node at `base` is asked over TLS; `None` if `base` is not `http://HOST[:PORT]` or `https://HOST[:PORT]`.
fn secure(base: &str) -> Option<bool> {
    let (secure, host) = match base.strip_prefix("https://") {
        Some(host) => (true, host),
        None => (false, base.strip_prefix("http://")?),
    };
    // what stands before an @ is no part of the host, though it looks so
    let fits = !host.is_empty() && !host.contains(['/', '\\', '?', '#', '@', ' ']) && host_of(base).is_some_and(|host| !host.is_empty());
    fits.then_some(secure)
}

/// The host in a URL, without brackets.
fn host_of(base: &str) -> Option<String> {
    let uri: ureq::http::Uri = base.parse().ok()?;
    uri.host().map(|host| host.trim_matches(['[', ']']).to_owned())
}

/// Whether what is sent to the node at `base` can be read on its way.
fn in_the_clear(base: &str) -> bool {
    let here =
        |host: &str| host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    secure(base) != Some(true) && !host_of(base).is_some_and(|host| here(&host))
}

/// A part of a path in the form it has in a URL; slashes stay.
pub(crate) fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_use() {
        assert!(NodeClient::new("http://127.0.0.1:8080/").is_ok());
        for bad in ["", "127.0.0.1:8080", "ftp://x", "http://", "https://", "http://a/b", "https://a?b", "http://127.0.0.1@b", "http://:1"]
        {
            assert!(matches!(NodeClient::new(bad), Err(ClientError::Url(_))), "{bad} was accepted");
        }
        assert_eq!((secure("https://node.example:8080"), secure("http://[::1]:8080")), (Some(true), Some(false)));
    }

    #[test]
    fn what_leaves_this_machine_without_tls_is_in_the_clear() {
        for clear in ["http://10.0.0.7:8080", "http://node.example", "http://[2001:db8::1]:8080", "http://localhost.example:1"] {
            assert!(in_the_clear(clear), "{clear}");
        }
        for fine in ["https://10.0.0.7:8080", "http://127.0.0.1:8080", "http://127.9.9.9", "http://[::1]:8080", "http://LOCALHOST:8080"] {
            assert!(!in_the_clear(fine), "{fine}");
        }
    }

    #[test]
    fn a_reading_s_name_survives_a_url() {
        assert_eq!(escape("z1/m 1/sense/é@17"), "z1/m%201/sense/%C3%A9%4017");
    }

    #[test]
    fn nobody_there_is_said_so() -> Result<(), Box<dyn std::error::Error>> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let failure = match NodeClient::new(&format!("http://127.0.0.1:{port}"))?.text("/healthz") {
            Err(error) => Failure::from(error),
            Ok(text) => return Err(text.into()),
        };
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.to_string().contains("wattle up"), "{failure}");
        Ok(())
    }
}
