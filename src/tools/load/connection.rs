//! One connection that sends a pattern and verifies what it receives against it, both at once.
//!
//! It has two goals, how much to send and how much to receive. Whatever it waits for, it reads what is there, so that no
//! peer is held up by it; what came before it was expected counts when it is.

use crate::{
    net::http::response::{Progress, Response},
    relay::leg::Leg,
    tools::load::{content::Content, failure::Failure, room::Room},
};
use futures::{AsyncReadExt, AsyncWriteExt};
use std::{
    future::poll_fn,
    task::{Context, Poll, Waker, ready},
};

/// What one connection may move before others have their turn.
const TURN_BYTES: usize = 1024 * 1024;

pub struct Connection<'a> {
    leg: Leg,
    room: &'a Room,
    /// Is sent before anything else, and is no part of the pattern.
    opening: Vec<u8>,
    seed: u64,
    /// What is sent, and what is to come.
    content: Content,
    /// What comes is counted, and compared with nothing.
    blind: bool,
    response: Response,
    sent: u64,
    send_goal: u64,
    received: u64,
    receive_goal: u64,
    ended: bool,
    /// Our stream is to end with what is sent, and has.
    finishes: bool,
    finished: bool,
    moved: usize,
}

#[derive(Clone, Copy)]
enum Until {
    Sent,
    Finished,
    Received,
    Ended,
}

impl<'a> Connection<'a> {
    /// A connection whose pattern, both ways, is that of `seed`.
    pub fn new(leg: impl Into<Leg>, seed: u64, room: &'a Room) -> Self {
        Connection {
            leg: leg.into(),
            room,
            opening: Vec::new(),
            seed,
            content: Content::pattern(seed),
            blind: false,
            response: Response::default(),
            sent: 0,
            send_goal: 0,
            received: 0,
            receive_goal: 0,
            ended: false,
            finishes: false,
            finished: false,
            moved: 0,
        }
    }

    /// The same with another content, or without comparing what comes.
    pub fn carrying(mut self, content: Option<Content>, blind: bool) -> Self {
        self.content = content.unwrap_or(self.content);
        self.blind = blind;
        self
    }

    /// The same with `bytes` before all that is sent, together with the first of it.
    pub fn opening_with(mut self, bytes: Vec<u8>) -> Self {
        self.opening = bytes;
        self
    }

    pub async fn send(&mut self, count: u64) -> Result<(), Failure> {
        self.send_goal += count;
        self.reach(Until::Sent).await
    }

    pub async fn expect(&mut self, count: u64) -> Result<(), Failure> {
        self.receive_goal += count;
        self.reach(Until::Received).await
    }

    pub async fn expect_exactly(&mut self, count: u64) -> Result<(), Failure> {
        self.expect(count).await?;
        if self.received == self.receive_goal { Ok(()) } else { Err(Failure::Surplus) }
    }

    /// Whether the peer has ended the connection while nothing was expected of it.
    pub fn has_ended(&mut self) -> bool {
        // Anything that comes unasked makes the connection useless as well.
        self.ended || self.leg.poll_read(&Context::from_waker(Waker::noop()), &mut [0]).is_ready()
    }

    pub async fn expect_end(&mut self) -> Result<(), Failure> {
        self.reach(Until::Ended).await?;
        if self.received == self.receive_goal { Ok(()) } else { Err(Failure::Surplus) }
    }

    /// Receives the pattern until the peer ends it, however long it is.
    pub async fn expect_rest(&mut self) -> Result<(), Failure> {
        self.reach(Until::Ended).await?;
        self.receive_goal = self.received;
        Ok(())
    }

    /// Receives an HTTP answer: its status, and whether it is the last on this connection.
    pub async fn expect_answer(&mut self) -> Result<(u16, bool), Failure> {
        self.response.begin();
        poll_fn(|context| {
            loop {
                match ready!(self.receive(context, Self::parse))? {
                    Progress::Part if !self.ended => {}
                    Progress::Part if !self.response.ends_with_stream() => {
                        return Poll::Ready(Err(Failure::EndedEarly));
                    }
                    Progress::Whole { surplus } if surplus > 0 => {
                        return Poll::Ready(Err(Failure::Surplus));
                    }
                    _ => return Poll::Ready(Ok((self.response.status, self.response.closes))),
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

    /// Tells the peer the seed, before anything else is sent.
    pub async fn tell_seed(&mut self) -> Result<(), Failure> {
        self.send_number(self.seed).await
    }

    /// Takes over the seed that the peer tells, before anything else is received.
    pub async fn learn_seed(&mut self) -> Result<(), Failure> {
        self.seed = self.receive_number().await?;
        self.content = Content::pattern(self.seed);
        Ok(())
    }

    /// Tells the peer how much was received from it, after its end.
    pub async fn tell_total(&mut self) -> Result<(), Failure> {
        self.send_number(self.received).await
    }

    pub async fn expect_total(&mut self) -> Result<(), Failure> {
        if self.receive_number().await? == self.sent { Ok(()) } else { Err(Failure::WrongTotal) }
    }

    /// Ends our stream, which may have to wait until the peer takes what was sent before.
    pub async fn half_close(&mut self) -> Result<(), Failure> {
        self.finishes = true;
        self.reach(Until::Finished).await
    }

    /// Closes the connection. What has come and was not read makes the kernel reset it (RFC 1122 §4.2.2.13).
    pub fn close(self) {
        self.leg.hang_up();
    }

    async fn reach(&mut self, until: Until) -> Result<(), Failure> {
        poll_fn(|context| self.poll(context, until)).await
    }

    fn poll(&mut self, context: &mut Context<'_>, until: Until) -> Poll<Result<(), Failure>> {
        loop {
            if let Err(failure) = self.send_some(context) {
                return Poll::Ready(Err(failure));
            }
            if self.is_reached(until) {
                return Poll::Ready(Ok(()));
            }
            if self.moved >= TURN_BYTES {
                self.moved = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.ended {
                let early = matches!(until, Until::Received);
                return if early { Poll::Ready(Err(Failure::EndedEarly)) } else { Poll::Pending };
            }
            match self.receive(context, Self::verify) {
                Poll::Ready(Ok(())) => {}
                end => {
                    self.moved = 0;
                    return end;
                }
            }
        }
    }

    fn is_reached(&self, until: Until) -> bool {
        match until {
            Until::Sent => self.sent == self.send_goal && self.opening.is_empty(),
            Until::Finished => self.finished,
            Until::Received => self.received >= self.receive_goal,
            Until::Ended => self.ended,
        }
    }

    /// Sends as much towards the goal as the socket takes, and then our end if it is to come.
    fn send_some(&mut self, context: &Context<'_>) -> Result<(), Failure> {
        while (self.sent < self.send_goal || !self.opening.is_empty()) && self.moved < TURN_BYTES {
            let mut bytes = self.content.at(self.sent, self.send_goal - self.sent);
            let joined;
            if !self.opening.is_empty() {
                joined = [&self.opening, bytes].concat();
                bytes = &joined;
            }
            match self.leg.poll_write(context, bytes) {
                Poll::Ready(Ok(count)) => {
                    let of_opening = count.min(self.opening.len());
                    self.opening.drain(..of_opening);
                    let count = count - of_opening;
                    self.sent += count as u64;
                    self.room.note_sent(count);
                    self.moved += count;
                }
                Poll::Ready(Err(error)) => return Err(Failure::of_connection(&error)),
                Poll::Pending => return Ok(()),
            }
        }
        if self.finishes
            && !self.finished
            && let Poll::Ready(finished) = self.leg.poll_finish(context)
        {
            self.finished = true;
            finished.map_err(|error| Failure::of_connection(&error))?;
        }
        Ok(())
    }

    /// Reads what is there, once, and gives it to `take`.
    fn receive<T>(
        &mut self,
        context: &Context<'_>,
        take: impl FnOnce(&mut Self, &[u8]) -> Result<T, Failure>,
    ) -> Poll<Result<T, Failure>> {
        self.room.lend(|room| {
            self.leg.poll_read(context, room).map(|read| {
                let count = read.map_err(|error| Failure::of_connection(&error))?;
                self.ended = count == 0;
                self.room.note_received(count);
                self.moved += count;
                take(self, &room[..count])
            })
        })
    }

    fn verify(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if !self.blind && !self.content.is_at(self.received, bytes) {
            return Err(Failure::WrongByte);
        }
        self.received += bytes.len() as u64;
        Ok(())
    }

    fn parse(&mut self, bytes: &[u8]) -> Result<Progress, Failure> {
        self.response.push(bytes, |_| ()).map_err(|_| Failure::NotHttp)
    }

    /// Sends a number, which is not part of the pattern: 8 bytes, little-endian.
    async fn send_number(&mut self, number: u64) -> Result<(), Failure> {
        self.send(0).await?;
        let sent = (&self.leg).write_all(&number.to_le_bytes()).await;
        sent.map_err(|error| Failure::of_connection(&error))
    }

    async fn receive_number(&mut self) -> Result<u64, Failure> {
        let mut bytes = [0; 8];
        let read = (&self.leg).read_exact(&mut bytes).await;
        read.map_err(|error| Failure::of_connection(&error))?;
        Ok(u64::from_le_bytes(bytes))
    }
}
