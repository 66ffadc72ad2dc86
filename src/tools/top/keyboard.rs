//! The keyboard actor: a thread that waits for the terminal's keys. It ends with the terminal or with its listener.
//!
//! The terminal is shared with other programs and stays in blocking mode, so a thread waits for it. crossterm's own reader
//! is not used: it reads without end where the terminal has gone.

use crate::{
    runtime::mailbox::Address,
    tools::top::{
        actor::Event,
        keys::{Key, Keys},
        tty::Tty,
    },
};
use futures::executor::block_on;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{io, sync::Arc, thread};

/// Bytes read at a time.
const READ_BYTES: usize = 256;
/// The bytes of one key come together, over a slow line too; an escape after which nothing comes was the key.
const ESCAPE_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Tells `events` every key.
///
/// # Errors
/// Where there is no thread.
pub fn start(tty: Arc<Tty>, events: Address<Event>) -> io::Result<()> {
    thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
        let over = Over(events);
        while let Some(keys) = wait(&tty, &mut Keys::default(), &over.0) {
            if !tell(&over.0, keys) {
                return;
            }
        }
    })?;
    Ok(())
}

/// Says at its end, whatever that is, that no more keys come.
struct Over(Address<Event>);

impl Drop for Over {
    fn drop(&mut self) {
        let _ = block_on(self.0.send(Event::KeyboardGone));
    }
}

/// Tells keys; false where nobody listens any more.
fn tell(events: &Address<Event>, keys: Vec<Key>) -> bool {
    keys.into_iter().all(|key| block_on(events.send(Event::Key(key))).is_ok())
}

/// Tells keys until none is half there, and returns the last of them; none where the terminal is gone.
fn wait(tty: &Tty, reader: &mut Keys, events: &Address<Event>) -> Option<Vec<Key>> {
    loop {
        let limit = reader.is_waiting().then_some(&ESCAPE_WAIT);
        let mut polled = [PollFd::new(tty.input(), PollFlags::IN)];
        match poll(&mut polled, limit) {
            Ok(0) => return Some(reader.settle()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return None,
        }
        let mut room = [0; READ_BYTES];
        let keys = match rustix::io::read(tty.input(), &mut room) {
            Ok(0) => return None,
            Ok(count) => reader.push(&room[..count]),
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(_) => return None,
        };
        if !reader.is_waiting() {
            return Some(keys);
        }
        if !tell(events, keys) {
            return None;
        }
    }
}
