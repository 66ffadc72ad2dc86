//! HTTP answers in place of a pattern.

use super::{Connection, TURN_BYTES};
use crate::tools::load::{answer::Progress, failure::Failure};
use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

impl Connection<'_> {
    /// Receives an HTTP answer: its status, and whether it is the last on this connection.
    ///
    /// # Errors
    /// Where the connection fails or ends before it, it is not HTTP, or more comes than it has.
    pub async fn expect_answer(&mut self) -> Result<(u16, bool), Failure> {
        self.answer.begin();
        poll_fn(|context| {
            loop {
                match ready!(self.receive_answer(context))? {
                    Progress::Part if !self.ended => {}
                    Progress::Part if !self.answer.ends_with_stream() => {
                        return Poll::Ready(Err(Failure::EndedEarly));
                    }
                    Progress::Whole { surplus } if surplus > 0 => {
                        return Poll::Ready(Err(Failure::Surplus));
                    }
                    _ => return Poll::Ready(Ok((self.answer.status, self.answer.closes))),
                }
                if self.moved >= TURN_BYTES {
                    self.moved = 0;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Reads what is there of an HTTP answer, once.
    fn receive_answer(&mut self, context: &Context<'_>) -> Poll<Result<Progress, Failure>> {
        self.room.lend(|room| {
            self.socket.poll_read(context, room).map(|read| {
                let count = read.map_err(|error| Failure::of_connection(&error))?;
                self.ended = count == 0;
                self.room.note_received(count);
                self.moved += count;
                self.answer.push(&room[..count])
            })
        })
    }
}
