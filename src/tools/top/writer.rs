//! The writer actor: a thread that writes drawn screens to the terminal, so that a terminal that takes nothing holds up
//! nothing else. While it writes, changes gather, and the next screen shows them all.

use crate::{
    error::Error,
    runtime::{
        lock::Lock,
        mailbox::{Sender, mailbox},
    },
    tools::top::{actor::Event, paint::Paint, screen, state::State, tty::Tty},
};
use futures::executor::block_on;
use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};
use std::{
    io::{self, Write},
    mem,
    sync::Arc,
    thread,
};

const SCREENS: usize = 1;

/// The drawing end of the writer.
pub struct Writer {
    tty: Arc<Tty>,
    paint: Paint,
    terminal: Terminal<CrosstermBackend<Drawn>>,
    drawn: Drawn,
    screens: Sender<Vec<u8>>,
    writing: bool,
    /// Something has changed since the last screen was drawn.
    changed: bool,
}

/// What was drawn and not yet handed on.
#[derive(Clone, Default)]
struct Drawn(Arc<Lock<Vec<u8>>>);

impl Write for Drawn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Writer {
    /// Writes to `tty`, and tells `events` of each screen that was written.
    pub fn start(tty: Arc<Tty>, paint: Paint, events: Sender<Event>) -> io::Result<Self> {
        let (screens, mut drawn) = mailbox::<Vec<u8>>(SCREENS);
        let screen = tty.clone();
        thread::Builder::new().name("writer".to_owned()).spawn(move || {
            while let Some(bytes) = drawn.next_blocking() {
                let written = screen.write(&bytes);
                let is_over = written.is_err();
                if block_on(events.send(Event::Written(written))).is_err() || is_over {
                    return;
                }
            }
        })?;
        let drawn = Drawn::default();
        let area = area(&tty);
        let options = TerminalOptions { viewport: Viewport::Fixed(area) };
        let terminal = Terminal::with_options(CrosstermBackend::new(drawn.clone()), options)?;
        Ok(Writer { tty, paint, terminal, drawn, screens, writing: false, changed: false })
    }

    /// Asks the terminal for its size, and draws all of it the next time.
    pub fn resize(&mut self) -> Result<Rect, Error> {
        let area = area(&self.tty);
        self.terminal.resize(area).map_err(failed)?;
        Ok(area)
    }

    /// Draws what has changed, now or when the last screen is written.
    pub fn draw(&mut self, state: &State, has_changed: bool) -> Result<(), Error> {
        self.changed |= has_changed;
        if self.writing || !self.changed {
            return Ok(());
        }
        self.changed = false;
        let paint = self.paint;
        let show =
            |frame: &mut ratatui::Frame<'_>| screen::draw(state, paint, frame.area(), frame.buffer_mut());
        self.terminal.draw(show).map_err(failed)?;
        let mut bytes = mem::take(&mut *self.drawn.0.lock());
        if self.paint.plain {
            bytes = in_8_colours(&bytes);
        }
        self.writing = self.screens.try_send(bytes).is_ok();
        Ok(())
    }

    pub fn written(&mut self, written: io::Result<()>) -> Result<(), Error> {
        self.writing = false;
        written.map_err(failed)
    }
}

fn area(tty: &Tty) -> Rect {
    let (width, height) = tty.size();
    Rect::new(0, 0, width, height)
}

/// The same screen for a terminal that has 8 colours: `38;5;1`, the first of 256, is `31` there (ECMA-48 §8.3.117).
fn in_8_colours(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let mut text = text.into_owned();
    for colour in 0..8 {
        for end in ['m', ';'] {
            text = text.replace(&format!("\x1b[38;5;{colour}{end}"), &format!("\x1b[3{colour}{end}"));
        }
    }
    text.into_bytes()
}

fn failed(error: io::Error) -> Error {
    Error::new("cannot write to the terminal", error)
}
