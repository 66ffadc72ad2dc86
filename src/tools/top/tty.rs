//! The terminal itself: taken over for a screen, and given back as it was, whichever way the program ends.

use crate::{error::Error, tools::ctl::Failure};
use ratatui::crossterm::{
    cursor::{Hide, Show},
    queue,
    style::ResetColor,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen},
};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::{
    fs::File,
    io::{self, Write},
    panic,
    sync::{Arc, Mutex, MutexGuard, TryLockError},
    thread,
    time::{Duration, Instant},
};

/// How long the end waits for a terminal that takes nothing; its settings are given back all the same.
const LAST_WAIT: Duration = Duration::from_millis(500);
/// Between two looks whether the terminal is free.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// No larger screen is drawn, whatever the terminal says: all of it is kept in memory, twice.
const SIZE_MAX: (u16, u16) = (1000, 500);
/// If the terminal does not know its own size.
const DEFAULT_SIZE: (u16, u16) = (80, 24);

/// Tells of buttons and the wheel, and not of every move, with numbers that have no limit (xterm).
const MOUSE_ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";

/// A terminal, taken over or not.
pub struct Tty {
    input: File,
    output: File,
    found: Termios,
    /// Whether it is taken over. Held while something is written.
    taken: Mutex<bool>,
}

/// A terminal that is taken over. Dropping it gives it back.
pub struct Taken(Arc<Tty>);

impl Tty {
    /// The terminal of these two streams.
    pub fn open(input: File, output: File) -> Result<Arc<Self>, Failure> {
        for (stream, name) in [(&input, "standard input"), (&output, "standard output")] {
            if !isatty(stream) {
                return Err(Failure::Failed(format!(
                    "top needs a terminal, and {name} is none; 'switchboard ctl list' prints the sessions once"
                )));
            }
        }
        if std::env::var_os("TERM").is_some_and(|name| name == "dumb") {
            return Err(Failure::Failed(
                "this terminal cannot move its cursor (TERM=dumb); 'switchboard ctl list' prints the sessions once"
                    .to_owned(),
            ));
        }
        let found = tcgetattr(&input)
            .map_err(|error| Error::new("cannot read the terminal's settings", error.into()))?;
        Ok(Arc::new(Tty { input, output, found, taken: Mutex::new(false) }))
    }

    /// Takes the terminal over: keys come one by one and unseen, and the screen is another than the shell's.
    /// A panic gives it back before its message is printed.
    pub fn take(self: Arc<Self>) -> Result<Taken, Failure> {
        let tty = self.clone();
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            tty.give_back();
            print(info);
        }));
        let taken = Taken(self);
        taken.0.enter()?;
        Ok(taken)
    }

    pub fn input(&self) -> &File {
        &self.input
    }

    pub fn size(&self) -> (u16, u16) {
        let size = tcgetwinsize(&self.output).map_or(DEFAULT_SIZE, |size| (size.ws_col, size.ws_row));
        if size.0 == 0 || size.1 == 0 {
            DEFAULT_SIZE
        } else {
            (size.0.min(SIZE_MAX.0), size.1.min(SIZE_MAX.1))
        }
    }

    /// Writes to a terminal that is taken over; nothing to one that is not.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let taken = self.lock();
        if *taken { write_all(&self.output, bytes) } else { Ok(()) }
    }

    /// Takes the terminal over again, if it was given back or another program has changed its settings.
    pub fn enter(&self) -> Result<(), Error> {
        self.try_enter().map_err(|error| Error::new("cannot take the terminal over", error))
    }

    fn try_enter(&self) -> io::Result<()> {
        let mut taken = self.lock();
        let mut raw = self.found.clone();
        raw.make_raw();
        tcsetattr(&self.input, OptionalActions::Now, &raw)?;
        if *taken {
            return Ok(());
        }
        *taken = true;
        let mut sequences = Vec::new();
        queue!(sequences, EnterAlternateScreen, Hide)?;
        sequences.extend_from_slice(MOUSE_ON);
        write_all(&self.output, &sequences)
    }

    /// Gives the terminal back as it was found. Nothing is written to it after that.
    pub fn give_back(&self) {
        let begin = Instant::now();
        let free = loop {
            match self.taken.try_lock() {
                Ok(taken) => break Some(taken),
                Err(TryLockError::Poisoned(poisoned)) => break Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if begin.elapsed() > LAST_WAIT => break None,
                Err(TryLockError::WouldBlock) => thread::sleep(LOOK_PAUSE),
            }
        };
        let is_ours = free.as_ref().is_none_or(|taken| **taken);
        if let Some(mut taken) = free
            && *taken
        {
            *taken = false;
            let mut sequences = MOUSE_OFF.to_vec();
            // If the terminal has gone there is nothing to give back.
            let _ = queue!(sequences, ResetColor, LeaveAlternateScreen, Show)
                .and_then(|()| write_all(&self.output, &sequences));
        }
        if is_ours {
            let _ = tcsetattr(&self.input, OptionalActions::Now, &self.found);
        }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// Writes all, even if another program has left the terminal in non-blocking mode.
fn write_all(mut output: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
