//! The lines that a program prints.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex},
    thread,
};

/// The lines that came out of a pipe so far.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Collects lines until the pipe's other end is closed.
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Lines::default();
        let collected = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                collected.0.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        lines
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}
