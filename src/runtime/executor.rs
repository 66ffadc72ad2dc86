//! One executor thread. It lives as long as the process.

use crate::runtime::{clock, readiness, task};
use std::{io, time::Duration};

/// Runs `program` on the executor and parks the calling thread until it ends.
///
/// async-std has one reactor; two threads that run tasks fight over it (a bulk MiB costs twice the CPU). So there is one
/// executor thread, configured before first use, and the calling thread runs no tasks.
/// `busy_poll` is how long readiness looks for the next event before it sleeps.
pub fn run<T: Send + 'static>(
    busy_poll: Option<Duration>,
    program: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    let config = async_global_executor::GlobalExecutorConfig::default()
        .with_min_threads(1)
        .with_max_threads(1)
        .with_thread_name_fn(|| "executor".to_owned());
    async_global_executor::init_with_config(config);
    let _readiness = readiness::start(busy_poll)?;
    let _clock = clock::start();
    let end = futures::executor::block_on(task::spawn(program));
    end.map_err(|panicked| io::Error::other(panicked.to_string()))
}

/// Runs `work` on a thread that may block, off the executor.
/// A dropped future does not stop work that has begun.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    async_std::task::spawn_blocking(work).await
}

/// Lets every other task that is ready run first.
pub async fn yield_now() {
    async_std::task::yield_now().await;
}
