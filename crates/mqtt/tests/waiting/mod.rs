//! Waiting for what is to happen, and giving up with a word on what did not.

use std::time::Duration;

/// After this a test gives up waiting.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at something that gives no word of itself.
pub const LOOK: Duration = Duration::from_millis(5);

/// What `future` gives, or a panic that names it.
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Looks until `done` says so.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    patiently(what, async {
        while !done() {
            tokio::time::sleep(LOOK).await;
        }
    })
    .await;
}
