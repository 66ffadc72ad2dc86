//! The keyboard: a thread that waits for what the terminal sends, and reads it back as keys: UTF-8 text, controls, and the
//! sequences of cursor keys (ECMA-48 §8.2, xterm). It ends with the terminal or with its listener.
//!
//! The terminal is shared with other programs and stays in blocking mode, so a thread waits for it. crossterm's own reader
//! is not used: it reads without end if the terminal has gone.

use crate::{
    runtime::mailbox::Sender,
    tools::top::{actor::Event, tty::Tty},
};
use futures::executor::block_on;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use std::{io, mem, sync::Arc, thread};

const READ_BYTES: usize = 256;
/// The bytes of one key come together, over a slow line too; an escape after which nothing comes was the key.
const ESCAPE_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Tells `events` every key.
pub fn start(tty: Arc<Tty>, events: Sender<Event>) -> io::Result<()> {
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
struct Over(Sender<Event>);

impl Drop for Over {
    fn drop(&mut self) {
        let _ = block_on(self.0.send(Event::KeyboardGone));
    }
}

/// Tells keys; false if the actor has ended.
fn tell(events: &Sender<Event>, keys: Vec<Key>) -> bool {
    keys.into_iter().all(|key| block_on(events.send(Event::Key(key))).is_ok())
}

/// Tells keys until none is half there, and returns the last of them; none if the terminal is gone.
fn wait(tty: &Tty, reader: &mut Keys, events: &Sender<Event>) -> Option<Vec<Key>> {
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

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Enter,
    /// Escape alone.
    Escape,
    /// Delete to the left.
    Backspace,
    /// Ctrl-U: delete all.
    Clear,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Tab,
    /// Shift and Tab.
    BackTab,
    /// The left button of the mouse was pressed here, from 0.
    Click {
        column: u16,
        row: u16,
    },
    WheelUp,
    WheelDown,
    Interrupt,
    Suspend,
    /// Ctrl-L: draw all again.
    Redraw,
}

const ESCAPE: u8 = 0x1b;
/// No sequence of a key is longer; what is, is no key.
const SEQUENCE_BYTES_MAX: usize = 20;
/// A character has at most four bytes (RFC 3629 §3).
const CHARACTER_BYTES_MAX: usize = 4;

/// Reads keys from bytes that may come in any pieces.
#[derive(Debug, Default)]
pub struct Keys {
    /// The begin of a sequence or of a character.
    held: Vec<u8>,
}

enum First {
    /// Their number, and the key that they are, if they are one.
    Whole(usize, Option<Key>),
    Part,
}

impl Keys {
    /// The keys in what came.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.held.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while !self.held.is_empty() {
            let First::Whole(length, key) = first(&self.held) else { break };
            self.held.drain(..length);
            keys.extend(key);
        }
        keys
    }

    /// Whether more bytes could make another key of what is held.
    pub fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }

    /// Nothing more came: an escape was the key of that name, and what followed it are keys of their own.
    pub fn settle(&mut self) -> Vec<Key> {
        let held = mem::take(&mut self.held);
        let [ESCAPE, rest @ ..] = &held[..] else { return Vec::new() };
        let mut keys = vec![Key::Escape];
        keys.extend(self.push(rest));
        self.held.clear();
        keys
    }
}

fn first(bytes: &[u8]) -> First {
    match bytes {
        [ESCAPE] => First::Part,
        [ESCAPE, b'[' | b'O', rest @ ..] => sequence(rest),
        [ESCAPE, ..] => First::Whole(1, Some(Key::Escape)),
        [b'\r' | b'\n', ..] => First::Whole(1, Some(Key::Enter)),
        [0x7f | 0x08, ..] => First::Whole(1, Some(Key::Backspace)),
        [0x03, ..] => First::Whole(1, Some(Key::Interrupt)),
        [b'\t', ..] => First::Whole(1, Some(Key::Tab)),
        [0x0c, ..] => First::Whole(1, Some(Key::Redraw)),
        [0x15, ..] => First::Whole(1, Some(Key::Clear)),
        [0x1a, ..] => First::Whole(1, Some(Key::Suspend)),
        [0..0x20, ..] => First::Whole(1, None),
        _ => character(bytes),
    }
}

/// What follows `ESC [` or `ESC O`: parameters, and a letter or a tilde at the end.
fn sequence(rest: &[u8]) -> First {
    let rest = &rest[..rest.len().min(SEQUENCE_BYTES_MAX - 2)];
    let Some(end) = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
        let is_short = rest.len() + 2 < SEQUENCE_BYTES_MAX;
        return if is_short { First::Part } else { First::Whole(SEQUENCE_BYTES_MAX, None) };
    };
    let number = rest[..end].split(|byte| *byte == b';').next().unwrap_or_default();
    let key = match (rest[end], number) {
        (b'A', _) => Some(Key::Up),
        (b'B', _) => Some(Key::Down),
        (b'H', _) | (b'~', b"1" | b"7") => Some(Key::Home),
        (b'F', _) | (b'~', b"4" | b"8") => Some(Key::End),
        (b'~', b"5") => Some(Key::PageUp),
        (b'~', b"6") => Some(Key::PageDown),
        (b'~', b"3") => Some(Key::Backspace),
        (b'Z', _) => Some(Key::BackTab),
        (b'M', _) if rest[0] == b'<' => mouse(&rest[1..end]),
        (b'M', _) => Some(Key::Enter),
        _ => None,
    };
    First::Whole(end + 3, key)
}

/// What a button of the mouse did: its number, the column and the row, from 1 (xterm, SGR mode 1006).
fn mouse(numbers: &[u8]) -> Option<Key> {
    let mut numbers = str::from_utf8(numbers).ok()?.split(';').map(|number| number.parse::<u16>().ok());
    let (button, column, row) = (numbers.next()??, numbers.next()??, numbers.next()??);
    match button {
        0 => Some(Key::Click { column: column.checked_sub(1)?, row: row.checked_sub(1)? }),
        64 => Some(Key::WheelUp),
        65 => Some(Key::WheelDown),
        _ => None,
    }
}

fn character(bytes: &[u8]) -> First {
    let begin = &bytes[..bytes.len().min(CHARACTER_BYTES_MAX)];
    let valid = match str::from_utf8(begin) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => str::from_utf8(&begin[..error.valid_up_to()]).unwrap_or(""),
        Err(error) => return error.error_len().map_or(First::Part, |length| First::Whole(length, None)),
    };
    let key = valid.chars().next();
    First::Whole(key.map_or(1, char::len_utf8), key.filter(|c| !c.is_control()).map(Key::Char))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut reader = Keys::default();
        let mut keys = reader.push(bytes);
        keys.extend(reader.settle());
        keys
    }

    #[test]
    fn keys_are_told_from_their_bytes() {
        use Key::{
            BackTab, Backspace, Char, Clear, Click, Down, End, Enter, Escape, Home, Interrupt, PageDown,
            PageUp, Tab, Up, WheelDown, WheelUp,
        };
        for (bytes, expected) in [
            (&b"q/\r\x7f\x03\x15"[..], &[Char('q'), Char('/'), Enter, Backspace, Interrupt, Clear][..]),
            (b"\x1b[A\x1bOB\x1b[5~\x1b[6;5~", &[Up, Down, PageUp, PageDown]),
            (b"\x1b[H\x1b[4~\x1b[F\x1bOH", &[Home, End, End, Home]),
            (b"\x1b", &[Escape]),
            (b"\x1bq", &[Escape, Char('q')]),
            (b"\x1b\x1b[A", &[Escape, Up]),
            (b"\x1b[<0;10;11Ms\x01", &[Click { column: 9, row: 10 }, Char('s')]),
            (b"\x1b[<64;1;1M\x1b[<65;300;200M\x1b[<0;1;1m\x1b[<2;1;1M\x1b[<0;0;1M", &[WheelUp, WheelDown]),
            (b"\t\x1b[Z\x1b[M", &[Tab, BackTab, Enter]),
            ("ä世".as_bytes(), &[Char('ä'), Char('世')]),
            (b"\xff\x9b\xc3(", &[Char('(')]),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_sequence_may_come_in_pieces_and_an_escape_alone_is_a_key() {
        let mut reader = Keys::default();
        assert!(reader.push(b"\x1b").is_empty() && reader.is_waiting());
        assert!(reader.push(b"[").is_empty());
        assert_eq!(reader.push(b"B"), [Key::Down]);
        assert!(!reader.is_waiting());
        assert!(reader.push(b"\x1b[").is_empty());
        assert_eq!(reader.settle(), [Key::Escape, Key::Char('[')]);
        assert!(reader.push(b"\xe4\xb8").is_empty() && reader.is_waiting());
        assert_eq!(reader.push(b"\x96"), [Key::Char('世')]);
    }

    #[test]
    fn what_is_too_long_for_a_sequence_ends_at_the_same_byte_however_it_comes() {
        let bytes = [&b"\x1bO"[..], &[0x7f; 20]].concat();
        let expected = vec![Key::Backspace; 22 - SEQUENCE_BYTES_MAX];
        let mut reader = Keys::default();
        let in_pieces: Vec<Key> = bytes.iter().flat_map(|byte| reader.push(&[*byte])).collect();
        assert_eq!((keys(&bytes), in_pieces), (expected.clone(), expected));
    }

    proptest! {
        #[test]
        fn whatever_a_terminal_sends_is_read_the_same_in_any_pieces(bytes: Vec<u8>, step in 1_usize..5) {
            let mut reader = Keys::default();
            let mut pieces: Vec<Key> = bytes.chunks(step).flat_map(|piece| reader.push(piece)).collect();
            pieces.extend(reader.settle());
            prop_assert!(!reader.is_waiting());
            prop_assert_eq!(pieces, keys(&bytes));
        }
    }
}
