//! Work that blocks its thread, in the pool that async-std keeps for it.

/// Runs `work` on a thread that may block, beside the shards.
/// A dropped future does not stop work that has begun.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    async_std::task::spawn_blocking(work).await
}
