//! Asking the replica for many things: several at a time, so that a list costs a few rounds of its loop and not one an entry.

use futures::StreamExt as _;
use futures::stream;
use replica::Handle;

/// Questions on their way at a time.
const AT_ONCE_MAX: usize = 64;

/// Asks `question` of every key; the answers in the order of the keys.
pub(crate) async fn each<K, A, F>(ledger: Handle, keys: Vec<K>, question: impl Fn(Handle, K) -> F) -> Vec<A>
where
    F: Future<Output = A>,
{
    let asked = move |key: K| question(ledger.clone(), key);
    stream::iter(keys).map(asked).buffered(AT_ONCE_MAX).collect().await
}
