//! A mutex whose lock never fails.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What threads share in turns. A panic under the lock does not end it for others: every change that this program makes under
/// a lock is complete at each point that could panic.
#[derive(Debug, Default)]
pub struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub const fn new(value: T) -> Self {
        Lock(Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
