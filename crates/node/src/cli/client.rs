//! A node's HTTP API, seen from outside.

use super::{Exit, Failure};
use serde::de::DeserializeOwned;
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
/// Where a node listens if nothing else is said.
pub(crate) const DEFAULT_NODE: &str = "http://127.0.0.1:8080";

/// Why a question to a node has no answer.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Not a URL this client can use.
    #[error("{0:?} is not the address of a node: --node: give http://HOST:PORT")]
    Url(String),
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
            ClientError::Url(_) => Exit::Usage,
            ClientError::Unreachable { .. } => Exit::Unreachable,
            ClientError::Problem { .. } | ClientError::Answer { .. } => Exit::Refused,
        };
        Self::said(exit, error)
    }
}

/// A node to ask. Cheap to clone; connections are kept.
#[derive(Clone, Debug)]
pub(crate) struct NodeClient {
    agent: ureq::Agent,
    base: String,
}

impl NodeClient {
    /// A client of the node at `base`, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// [`ClientError::Url`] if `base` is no such address.
    pub(crate) fn new(base: &str) -> Result<Self, ClientError> {
        let base = base.trim_end_matches('/');
        if !base.strip_prefix("http://").is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', ' '])) {
            return Err(ClientError::Url(base.to_owned()));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .proxy(None)
            .build();
        Ok(Self { agent: config.into(), base: base.to_owned() })
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
        let mut response = self.agent.get(&url).call().map_err(|error| self.failed(&url, error))?;
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
        let request = self.agent.post(&url).content_type("application/octet-stream");
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
        let request = self.agent.post(&url).content_type("application/json");
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
        let request = self.agent.put(&url).content_type(content_type);
        let mut response = request.send(body).map_err(|error| self.failed(&url, error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(PROBLEM_BYTES_MAX).read_to_string().map_err(|error| self.failed(&url, error))?;
        match (200..300).contains(&status) {
            true => Ok(()),
            false => Err(problem(status, &body, url)),
        }
    }

    fn failed(&self, url: &str, error: ureq::Error) -> ClientError {
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => ClientError::Url(url.to_owned()),
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

/// What a node says when it says no.
fn problem(status: u16, body: &str, url: String) -> ClientError {
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let field = |name: &str| problem.get(name).and_then(|v| v.as_str()).filter(|t| !t.is_empty()).map(str::to_owned);
    let detail = field("detail").or_else(|| field("title")).unwrap_or_else(|| "it gave no reason".to_owned());
    ClientError::Problem { status, detail, url }
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
        for bad in ["", "127.0.0.1:8080", "https://x", "http://", "http://a/b"] {
            assert!(matches!(NodeClient::new(bad), Err(ClientError::Url(_))), "{bad} was accepted");
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
