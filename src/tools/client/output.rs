//! Where a client writes: exact bytes into a pipe or a file, safe text onto a terminal.
//!
//! A reader may take its time, and a terminal may be stopped (Ctrl-S), so each write is done on a thread that may block.
//! The next one waits for it: a slow reader slows the server down, and no more than one piece is held here.

use crate::{runtime::executor::blocking, text::escape::Terminal};
use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

/// Another program may have left a shared terminal or pipe in non-blocking mode; then it is asked again after this.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// A standard stream to write to.
pub struct Output {
    /// None while a write is under way.
    sink: Option<Sink>,
    is_terminal: bool,
}

struct Sink {
    writer: Box<dyn Write + Send>,
    screen: Option<Screen>,
}

/// What a terminal shows so far.
struct Screen {
    escape: Terminal,
    /// The last line is not ended.
    in_line: bool,
}

impl Output {
    /// Writes to `writer`, which should not buffer. What goes to a terminal is escaped.
    #[must_use]
    pub fn new(writer: impl Write + Send + 'static, is_terminal: bool) -> Self {
        let screen = is_terminal.then(|| Screen { escape: Terminal::default(), in_line: false });
        Output { sink: Some(Sink { writer: Box::new(writer), screen }), is_terminal }
    }

    /// Whether a person sees it at once.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes what a peer sent. A dropped write may happen all the same, and is the last.
    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]> + Send + 'static) -> io::Result<()> {
        self.with(move |sink| sink.write(bytes.as_ref())).await
    }

    /// Writes text of this program's own, which may move a terminal's cursor.
    pub(super) async fn write_own(&mut self, text: String) -> io::Result<()> {
        self.with(move |sink| write_all(&mut *sink.writer, text.as_bytes())).await
    }

    /// Writes what is left. On a terminal the last line is ended, so that what follows begins a new one.
    pub(super) async fn finish(mut self) -> io::Result<()> {
        if self.is_terminal { self.with(Sink::end_screen).await } else { Ok(()) }
    }

    async fn with(
        &mut self,
        work: impl FnOnce(&mut Sink) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let Some(mut sink) = self.sink.take() else {
            return Err(io::Error::other("an earlier write was given up"));
        };
        let (sink, result) = blocking(move || {
            let result = work(&mut sink);
            (sink, result)
        })
        .await;
        self.sink = Some(sink);
        result
    }
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(screen) = &mut self.screen else { return write_all(&mut *self.writer, bytes) };
        let mut text = String::with_capacity(bytes.len());
        screen.escape.push(bytes, &mut text);
        screen.note(&text);
        write_all(&mut *self.writer, text.as_bytes())
    }

    fn end_screen(&mut self) -> io::Result<()> {
        let Some(mut screen) = self.screen.take() else { return Ok(()) };
        let mut text = String::new();
        std::mem::take(&mut screen.escape).finish(&mut text);
        screen.note(&text);
        if screen.in_line {
            text.push('\n');
        }
        write_all(&mut *self.writer, text.as_bytes())
    }
}

impl Screen {
    fn note(&mut self, text: &str) {
        if let Some(last) = text.chars().next_back() {
            self.in_line = last != '\n';
        }
    }
}

fn write_all(writer: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(BUSY_PAUSE),
            Err(error) => return Err(error),
        }
    }
    writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use std::sync::{Arc, Mutex};

    /// Takes one byte at a time, and every other time none.
    #[derive(Clone, Default)]
    struct Slow {
        taken: Arc<Mutex<Vec<u8>>>,
        refuse: bool,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.refuse = !self.refuse;
            if self.refuse {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.taken.lock().unwrap().push(bytes[0]);
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(is_terminal: bool, pieces: &'static [&'static [u8]]) -> Vec<u8> {
        let slow = Slow::default();
        let mut output = Output::new(slow.clone(), is_terminal);
        for piece in pieces {
            block_on(output.write(piece)).unwrap();
        }
        block_on(output.finish()).unwrap();
        slow.taken.lock().unwrap().clone()
    }

    #[test]
    fn a_pipe_gets_the_exact_bytes() {
        assert_eq!(written(false, &[b"a\x1b[2J\r\n", b"\xff\0"]), b"a\x1b[2J\r\n\xff\0");
    }

    #[test]
    fn a_terminal_gets_safe_text_that_ends_its_line() {
        assert_eq!(written(true, &[b"a\x1b[2J\r", b"\nb\xe4\xb8"]), b"a\\x1b[2J\nb\\xe4\\xb8\n");
        assert_eq!(written(true, &[b"a\n"]), b"a\n");
        assert_eq!(written(true, &[]), b"");
    }

    #[test]
    fn an_error_is_told() {
        let mut output = Output::new(std::fs::File::options().write(true).open("/dev/full").unwrap(), false);
        assert_eq!(block_on(output.write(b"a")).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
