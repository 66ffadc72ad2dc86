//! What a client of `tcp://` or `tls://` sends: a text, a file, or standard input.

use crate::{
    net::buffer::Buffer,
    runtime::blocking::blocking,
    tools::{client::settings::Input, failure::Failure},
};
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

/// Many clients send the same input, and a stream can be read only once: up to this much of it is kept.
const KEPT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Another program may have left a shared terminal or pipe in non-blocking mode; then it is asked again after this.
const EMPTY_PAUSE: Duration = Duration::from_millis(10);

/// What can be sent any number of times.
#[derive(Clone)]
pub enum Kept {
    Bytes(Arc<[u8]>),
    File(Arc<File>),
}

pub enum Payload {
    /// Something kept, from an offset on.
    Kept(Kept, u64),
    /// A stream that is read once; none while a read is under way.
    Stream(Option<Box<dyn Read + Send>>),
}

/// Opens what `input` names, to be sent once.
pub async fn open(input: &Input, stdin: Box<dyn Read + Send>) -> Result<Payload, Failure> {
    match input {
        Input::Text(text) => Ok(Kept::Bytes(text[..].into()).payload()),
        Input::Stdin => Ok(Payload::Stream(Some(stdin))),
        Input::File(path) => {
            let path = path.clone();
            let opened = blocking(move || open_file(&path)).await;
            opened.map_err(|error| failure(input, &error))
        }
    }
}

/// Opens what `input` names, to be sent many times.
pub async fn keep(input: &Input, stdin: Box<dyn Read + Send>) -> Result<Kept, Failure> {
    match open(input, stdin).await? {
        Payload::Kept(kept, _) => Ok(kept),
        Payload::Stream(stream) => {
            let stream = stream.unwrap_or_else(|| Box::new(io::empty()));
            blocking(move || read_all(stream)).await.map_err(|error| failure(input, &error))
        }
    }
}

fn failure(input: &Input, error: &io::Error) -> Failure {
    match input {
        Input::File(path) => Failure::input(&format!("'{}'", path.display()), error),
        Input::Text(_) | Input::Stdin => Failure::input("standard input", error),
    }
}

/// Opens a file, which may block: a named pipe waits for a writer.
fn open_file(path: &Path) -> io::Result<Payload> {
    let file = File::open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(if kind.is_file() { Kept::File(file.into()).payload() } else { Payload::Stream(Some(Box::new(file))) })
}

fn read_all(stream: impl Read) -> io::Result<Kept> {
    let mut bytes = Vec::new();
    stream.take(KEPT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > KEPT_BYTES_MAX {
        let limit = KEPT_BYTES_MAX >> 20;
        return Err(io::Error::other(format!(
            "more than {limit} MiB cannot be sent many times; put it in a file and use --file"
        )));
    }
    Ok(Kept::Bytes(bytes.into()))
}

impl Kept {
    /// The same from its begin.
    pub fn payload(self) -> Payload {
        Payload::Kept(self, 0)
    }

    fn read_at(&self, room: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Kept::File(file) => file.read_at(room, at),
            Kept::Bytes(bytes) => {
                let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let count = rest.len().min(room.len());
                room[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
        }
    }
}

impl Payload {
    /// Reads the next piece into `buffer`, behind what it holds; nothing at the end.
    pub async fn fill(&mut self, buffer: Buffer) -> io::Result<Buffer> {
        match self {
            Payload::Kept(kept, at) => {
                let (whole, from, held) = (kept.clone(), *at, buffer.bytes().len());
                let work = move || read(buffer, |room| whole.read_at(room, from));
                let buffer = if matches!(kept, Kept::File(_)) { blocking(work).await? } else { work()? };
                *at += (buffer.bytes().len() - held) as u64;
                Ok(buffer)
            }
            Payload::Stream(stream) => {
                let Some(mut taken) = stream.take() else { return Ok(buffer) };
                let (taken, read) = blocking(move || {
                    let read = read(buffer, |room| taken.read(room));
                    (taken, read)
                })
                .await;
                *stream = Some(taken);
                read
            }
        }
    }
}

fn read(mut buffer: Buffer, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<Buffer> {
    let held = buffer.bytes().len();
    loop {
        match read(&mut buffer.room()[held..]) {
            Ok(count) => {
                buffer.filled(held + count);
                return Ok(buffer);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(EMPTY_PAUSE),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use std::io::Write;

    fn sent(mut payload: Payload) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let buffer = block_on(payload.fill(Buffer::take())).unwrap();
            if buffer.bytes().is_empty() {
                return bytes;
            }
            bytes.extend_from_slice(buffer.bytes());
        }
    }

    #[test]
    fn every_kind_of_input_is_sent_whole() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        for input in [Input::Stdin, Input::File(file.path().into())] {
            let stdin = || Box::new(io::Cursor::new(bytes.clone()));
            assert!(sent(block_on(open(&input, stdin())).unwrap()) == bytes);
            let kept = block_on(keep(&input, stdin())).unwrap();
            assert!(sent(kept.clone().payload()) == bytes && sent(kept.payload()) == bytes);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (path, reason) in [("/does/not/exist", "no such file or directory"), ("/", "is a directory")] {
            let Err(failure) = block_on(open(&Input::File(path.into()), Box::new(io::empty()))) else {
                panic!("{path} was opened");
            };
            assert_eq!((failure.fault.code(), failure.text), (2, format!("cannot read '{path}': {reason}")));
        }
    }

    #[test]
    fn more_than_can_be_kept_is_refused() {
        let Err(failure) = block_on(keep(&Input::Stdin, Box::new(io::repeat(0)))) else {
            panic!("it was kept")
        };
        assert!(failure.text.contains("64 MiB"), "{failure}");
    }
}
