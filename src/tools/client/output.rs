//! Where a client writes: exact bytes into a pipe or a file, safe text onto a terminal.
//!
//! A reader may take its time, and a terminal may be stopped (Ctrl-S), so each write is done on a thread that may block.
//! The next one waits for it: a slow reader slows the server down, and no more than one piece is held here.

use crate::{runtime::blocking::blocking, text::escape::Terminal};
use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

/// Another program may have left a shared terminal or pipe in non-blocking mode; then it is asked again after this.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

pub struct Output {
    /// None while a write is under way.
    sink: Option<Sink>,
    pub is_terminal: bool,
}

struct Sink {
    writer: Box<dyn Write + Send>,
    /// Of a terminal.
    escape: Option<Terminal>,
    /// The last line is not ended.
    in_line: bool,
}

impl Output {
    /// Writes to `writer`, which should not buffer. What goes to a terminal is escaped.
    pub fn new(writer: impl Write + Send + 'static, is_terminal: bool) -> Self {
        let escape = is_terminal.then(Terminal::default);
        Output { sink: Some(Sink { writer: Box::new(writer), escape, in_line: false }), is_terminal }
    }

    /// Writes what a peer sent. A dropped write may happen all the same, and is the last.
    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]> + Send + 'static) -> io::Result<()> {
        self.with(move |sink| sink.write(bytes.as_ref())).await
    }

    /// Writes text of this program's own, which may move a terminal's cursor. If it cannot be written, it has no reader.
    pub(super) async fn note(&mut self, text: String) {
        let _ = self.with(move |sink| write_all(&mut *sink.writer, text.as_bytes())).await;
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
        let Some(escape) = &mut self.escape else { return write_all(&mut *self.writer, bytes) };
        let mut text = String::with_capacity(bytes.len());
        escape.push(bytes, &mut text);
        self.in_line = if text.is_empty() { self.in_line } else { !text.ends_with('\n') };
        write_all(&mut *self.writer, text.as_bytes())
    }

    fn end_screen(&mut self) -> io::Result<()> {
        let mut text = String::new();
        if let Some(escape) = self.escape.take() {
            escape.finish(&mut text);
        }
        if self.in_line || !text.is_empty() {
            text.push('\n');
        }
        write_all(&mut *self.writer, text.as_bytes())
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
