//! What the two ends of a connection tell each other beside the pattern: its seed, and how much of it came.

use super::Connection;
use crate::tools::load::{content::Content, failure::Failure, pattern::Pattern};
use std::future::poll_fn;

impl Connection<'_> {
    /// Tells the peer the seed, before anything else is sent.
    ///
    /// # Errors
    /// Where the connection fails.
    pub async fn tell_seed(&mut self) -> Result<(), Failure> {
        self.send_number(self.seed).await
    }

    /// Takes over the seed that the peer tells, before anything else is received.
    ///
    /// # Errors
    /// Where the connection fails or ends.
    pub async fn learn_seed(&mut self) -> Result<(), Failure> {
        self.seed = self.receive_number().await?;
        let pattern = Content::Pattern(Pattern::new(self.seed));
        (self.own, self.right) = (pattern.clone(), Some(pattern));
        Ok(())
    }

    /// Tells the peer how much was received from it, after its end.
    ///
    /// # Errors
    /// Where the connection fails.
    pub async fn tell_total(&mut self) -> Result<(), Failure> {
        self.send_number(self.received).await
    }

    /// Compares what the peer says it received with what was sent to it.
    ///
    /// # Errors
    /// Where the two differ, or the connection fails or ends.
    pub async fn expect_total(&mut self) -> Result<(), Failure> {
        if self.receive_number().await? == self.sent { Ok(()) } else { Err(Failure::WrongTotal) }
    }

    /// Sends a number, which is not part of the pattern: 8 bytes, little-endian.
    async fn send_number(&mut self, number: u64) -> Result<(), Failure> {
        let bytes = number.to_le_bytes();
        let mut done = 0;
        while done < bytes.len() {
            let count = self.socket.write(&bytes[done..]).await;
            done += count.map_err(|error| Failure::of_connection(&error))?;
        }
        Ok(())
    }

    async fn receive_number(&mut self) -> Result<u64, Failure> {
        let mut bytes = [0; 8];
        let mut done = 0;
        while done < bytes.len() {
            let read = poll_fn(|context| self.socket.poll_read(context, &mut bytes[done..])).await;
            match read.map_err(|error| Failure::of_connection(&error))? {
                0 => return Err(Failure::EndedEarly),
                count => done += count,
            }
        }
        Ok(u64::from_le_bytes(bytes))
    }
}
