//! Problem details (RFC 9457): what every refusal looks like.

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    retry: bool,
    challenge: Option<&'static str>,
}

/// After how many seconds a refusal that passes may be tried again.
const RETRY_AFTER_S: &str = "1";

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry: false, challenge: None }
    }

    /// 400: the request cannot be understood.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The body of a request did not arrive: 413 if it is too large, else 400.
    pub(super) fn body(error: &BytesRejection) -> Self {
        match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large("the body is larger than this path takes"),
            _ => Self::bad_request(format!("the body cannot be read: {error}")),
        }
    }

    /// Of any status.
    pub(super) fn of(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, detail)
    }

    /// 401: a token is needed.
    pub(super) fn unasked(detail: impl Into<String>) -> Self {
        Self { challenge: Some("Bearer realm=\"wattle\""), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// 401: another token is needed.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        let challenge = Some("Bearer realm=\"wattle\", error=\"invalid_token\"");
        Self { challenge, ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// 403: not for whoever asks.
    pub(super) fn forbidden(detail: impl Into<String>, challenge: Option<&'static str>) -> Self {
        Self { challenge, ..Self::new(StatusCode::FORBIDDEN, detail) }
    }

    /// 408: it took too long.
    pub(super) fn late(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, detail)
    }

    /// 404: it is not here.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405: nearly everything here is read only.
    pub(super) fn method() -> Self {
        let detail = "this path is read only: use GET; readings are published over MQTT, orders are posted to /api/v1/orders, requests of wallets to /api/v1/spends";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }

    /// 413: more than is taken.
    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 415: a body of another kind.
    pub(super) fn media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 422: the request is understood, and cannot be done.
    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 429 with `Retry-After`: too much at once.
    pub(super) fn busy(detail: impl Into<String>) -> Self {
        Self { retry: true, ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// 409 with `Retry-After`: not yet.
    pub(super) fn not_yet(detail: impl Into<String>) -> Self {
        Self { retry: true, ..Self::new(StatusCode::CONFLICT, detail) }
    }

    /// 410: never any more.
    pub(super) fn gone(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, detail)
    }

    /// 500: something here is damaged, or wrong.
    pub(super) fn internal(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail);
        tracing::error!("HTTP: {}", problem.detail);
        problem
    }

    /// 503: the ledger node has stopped.
    pub(super) fn stopped() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the ledger node does not answer: its log says why; a restart goes on where it was")
    }

    /// 503: a part is not well.
    pub(super) fn unwell(detail: impl Into<String>) -> Self {
        Self { retry: true, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// Whether it says that something is here no more.
    pub(super) fn is_gone(&self) -> bool {
        self.status == StatusCode::GONE
    }

    /// The status code.
    #[cfg(test)]
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Problem");
        let body = json!({ "type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail });
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut response = (self.status, kind, body.to_string()).into_response();
        if self.retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_is_json_with_its_own_type() {
        let response = Problem::not_yet("wait").into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), "application/problem+json");
        assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "1");
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, json!({ "type": "about:blank", "title": "Conflict", "status": 409, "detail": "wait" }));
    }
}
