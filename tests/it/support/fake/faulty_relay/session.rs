//! One session of a [`FaultyRelay`](super::FaultyRelay): polls both sockets until both directions have ended.

use super::{Fault, HOLD_BYTES};
use crate::support::{
    stream::{End, await_acknowledged},
    wait::LIMIT,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    mem,
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

/// Where a stream counts as large: everything that a check sends on the way there is behind it.
const LARGE_BYTES: usize = 1 << 20;
/// What is held of a large stream that is to lose its tail.
const TAIL_BYTES: usize = 1000;
/// More than a delayed acknowledgement.
const SMALL_DELAY: Duration = Duration::from_millis(60);

/// One direction of a session: from the end of its number to the other.
#[derive(Default)]
struct Direction {
    held: VecDeque<u8>,
    total: usize,
    ended: Option<End>,
    passed_on: bool,
}

/// The session, between its two ends.
pub struct Relay {
    ends: [TcpStream; 2],
    ways: [Direction; 2],
    fault: Fault,
}

impl Relay {
    pub fn new(ends: [TcpStream; 2], fault: Fault) -> Relay {
        Relay { ends, ways: [Direction::default(), Direction::default()], fault }
    }

    pub fn run(mut self) {
        while !self.ways.iter().all(|way| way.passed_on) {
            if !self.await_event() {
                return;
            }
            for from in [0, 1] {
                self.read(from);
                self.write(from);
                if self.ways[from].ended.is_some() && self.ways[from].held.is_empty() && self.end(from) {
                    return;
                }
            }
        }
    }

    fn may_read(&self, from: usize) -> bool {
        let way = &self.ways[from];
        way.ended.is_none() && (way.held.len() < HOLD_BYTES || self.fault == Fault::HoldsNothingBack)
    }

    /// How much of what is held may be passed on.
    fn writable(&self, from: usize) -> usize {
        let way = &self.ways[from];
        match self.fault {
            Fault::DropsTheTail if way.total > LARGE_BYTES => way.held.len().saturating_sub(TAIL_BYTES),
            Fault::RepliesAfterTheUpload if from == 1 && self.ways[0].ended.is_none() => 0,
            _ => way.held.len(),
        }
    }

    /// Whether to go on.
    fn await_event(&self) -> bool {
        let mut polled = [0, 1].map(|end| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, self.may_read(end));
            flags.set(PollFlags::OUT, self.writable(1 - end) > 0);
            PollFd::new(&self.ends[end], flags)
        });
        let limit = self.fault.patience(self.ways[0].ended.is_some()).unwrap_or(LIMIT);
        let limit = Timespec::try_from(limit).unwrap();
        poll(&mut polled, Some(&limit)).unwrap() > 0
    }

    fn read(&mut self, from: usize) {
        if !self.may_read(from) {
            return;
        }
        let mut buffer = [0; HOLD_BYTES];
        let way = &mut self.ways[from];
        match self.ends[from].read(&mut buffer) {
            Ok(0) => way.ended = Some(End::Fin),
            Ok(count) => {
                if self.fault == Fault::Reorders && way.total > LARGE_BYTES {
                    buffer[..count].rotate_left(1);
                }
                if self.fault == Fault::DelaysSmallWrites && count == 1 {
                    thread::sleep(SMALL_DELAY);
                }
                way.total += count;
                way.held.extend(&buffer[..count]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => way.ended = Some(End::Reset),
        }
    }

    fn write(&mut self, from: usize) {
        let count = self.writable(from);
        if count > 0 {
            let first = self.ways[from].held.as_slices().0;
            match self.ends[1 - from].write(&first[..count.min(first.len())]) {
                Ok(count) => drop(self.ways[from].held.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The other direction's read tells how that end ended; it takes no more of these bytes.
                Err(_) => self.ways[from].held.clear(),
            }
        }
        if self.fault == Fault::DropsTheTail && self.ways[from].ended.is_some() && self.writable(from) == 0 {
            self.ways[from].held.clear();
        }
    }

    /// Passes the end of a direction on; whether the session is over.
    fn end(&mut self, from: usize) -> bool {
        let untouched = self.ways.iter().all(|way| way.total == 0);
        let aborts = self.ways[from].ended == Some(End::Reset) && self.fault != Fault::TurnsResetIntoFin;
        if aborts || (untouched && self.fault == Fault::ResetsVisitors) {
            await_acknowledged_if_there(&self.ends[1 - from]);
            for end in &self.ends {
                SockRef::from(end).set_linger(Some(Duration::ZERO)).unwrap();
            }
            return true;
        }
        if !mem::replace(&mut self.ways[from].passed_on, true) {
            // That end may be gone already.
            let _ = self.ends[1 - from].shutdown(Shutdown::Write);
        }
        match self.fault {
            Fault::TurnsResetIntoFin => self.ways[from].ended == Some(End::Reset),
            Fault::ClosesAfterUpstreamFin => from == 1,
            Fault::ClosesAfterClientFin(Duration::ZERO) => from == 0,
            _ => false,
        }
    }
}

/// A reset must not destroy what was passed on before it.
fn await_acknowledged_if_there(stream: &TcpStream) {
    if stream.peer_addr().is_ok() {
        await_acknowledged(stream);
    }
}
