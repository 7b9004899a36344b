//! `ETag` and `If-None-Match`: what does not change need not be sent twice.

use super::problem::Problem;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use protocol::Id;

/// Bytes of an answer that is tagged: a receipt with thousands of handovers is the largest.
const ANSWER_BYTES_MAX: usize = 128 << 20;

/// Tags a good answer by its content; one that the client has already is not sent again.
pub(super) async fn tag(request: Request, next: Next) -> Response {
    let had = request.headers().get_all(header::IF_NONE_MATCH).iter().cloned().collect::<Vec<_>>();
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match axum::body::to_bytes(body, ANSWER_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(why) => return Problem::internal(format!("an answer cannot be read: {why}")).into_response(),
    };
    let tag = format!("\"{}\"", Id::hash(&[&bytes]));
    let mut headers = HeaderMap::new();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if had.iter().filter_map(|had| had.to_str().ok()).any(|had| matches(had, &tag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    parts.headers.extend(headers);
    Response::from_parts(parts, Body::from(bytes))
}

/// Whether one of a client's tags is ours.
fn matches(had: &str, tag: &str) -> bool {
    had.trim() == "*" || had.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_one_by_one() {
        assert!(matches("\"a\"", "\"a\"") && matches("\"b\", W/\"a\"", "\"a\"") && matches("*", "\"a\""));
        assert!(!matches("\"ab\"", "\"a\"") && !matches("", "\"a\""));
    }
}
