//! Servers to load, each with one flaw, named by it.

use crate::support::{
    fake::{Fake, nothing},
    stream::{read_to_end, reset},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// Reads pieces and answers each with what `answer` makes of it, until that is nothing or the client ends.
fn answers(stream: &mut TcpStream, mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = stream.read(&mut buffer) {
        let reply = if count == 0 { None } else { answer(&buffer[..count]) };
        match reply {
            Some(reply) if stream.write_all(&reply).is_ok() => {}
            _ => return,
        }
    }
}

/// Echoes each piece after `delay`; keeps how long each really took.
pub fn echoes_after(delay: Duration) -> (Fake, Arc<Mutex<Vec<Duration>>>) {
    let delays = Arc::new(Mutex::new(Vec::new()));
    let kept = delays.clone();
    let server = Fake::start(move |mut stream, _| {
        answers(&mut stream, |piece| {
            let begin = Instant::now();
            thread::sleep(delay);
            delays.lock().unwrap().push(begin.elapsed());
            Some(piece.to_vec())
        });
        nothing()
    });
    (server, kept)
}

/// Echoes at once, but holds up every connection for `pause` after this many pieces of all connections.
pub fn stalls_once(after: usize, pause: Duration) -> Fake {
    let (pieces, gate) = (AtomicUsize::new(0), RwLock::new(()));
    Fake::start(move |mut stream, _| {
        answers(&mut stream, |piece| {
            if pieces.fetch_add(1, SeqCst) == after {
                let _closed = gate.write().unwrap();
                thread::sleep(pause);
            }
            let _open = gate.read().unwrap();
            Some(piece.to_vec())
        });
        nothing()
    })
}

/// Echoes, but the last byte of the piece of this number, counted over all connections, is another.
pub fn corrupts(number: usize) -> Fake {
    let pieces = AtomicUsize::new(0);
    Fake::start(move |mut stream, _| {
        answers(&mut stream, |piece| {
            let mut piece = piece.to_vec();
            if pieces.fetch_add(1, SeqCst) == number {
                *piece.last_mut().unwrap() ^= 0x20;
            }
            Some(piece)
        });
        nothing()
    })
}

/// Sends each connection what the other of a pair sent.
pub fn mixes_up_two_connections() -> Fake {
    let waiting: Mutex<Option<(TcpStream, Vec<u8>)>> = Mutex::new(None);
    Fake::start(move |mut stream, _| {
        let mut piece = vec![0; 64];
        stream.read_exact(&mut piece).unwrap();
        let other = waiting.lock().unwrap().take();
        match other {
            None => *waiting.lock().unwrap() = Some((stream.try_clone().unwrap(), piece)),
            Some((mut first, its)) => {
                first.write_all(&piece).unwrap();
                stream.write_all(&its).unwrap();
            }
        }
        read_to_end(&mut stream)
    })
}

/// Echoes, but resets each tenth connection after its first piece; the count of those.
pub fn resets_each_tenth() -> (Fake, Arc<AtomicUsize>) {
    let (connections, resets) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let counted = resets.clone();
    let server = Fake::start(move |mut stream, _| {
        let tenth = connections.fetch_add(1, SeqCst) % 10 == 9;
        if tenth && stream.read(&mut [0; 64 * 1024]).is_ok_and(|count| count > 0) {
            resets.fetch_add(1, SeqCst);
            reset(stream);
        } else {
            answers(&mut stream, |piece| Some(piece.to_vec()));
        }
        nothing()
    });
    (server, counted)
}

/// Takes everything, and answers nothing.
pub fn answers_nothing() -> Fake {
    Fake::start(|mut stream, _| {
        answers(&mut stream, |_| Some(Vec::new()));
        nothing()
    })
}

/// Answers each piece with these bytes.
pub fn answers_with(reply: &'static [u8]) -> Fake {
    Fake::start(move |mut stream, _| {
        answers(&mut stream, |_| Some(reply.to_vec()));
        nothing()
    })
}

/// Answers the first piece with these bytes, and ends its stream.
pub fn answers_and_ends(reply: &'static [u8]) -> Fake {
    Fake::start(move |mut stream, _| {
        let mut first = true;
        let mut writer = stream.try_clone().unwrap();
        answers(&mut stream, |_| {
            let reply = first.then(|| reply.to_vec())?;
            first = false;
            writer.write_all(&reply).unwrap();
            None
        });
        nothing()
    })
}

/// Reads to the end of the stream, and then sends all of it back.
pub fn echoes_at_the_end() -> Fake {
    Fake::start(|mut stream, _| {
        let received = read_to_end(&mut stream);
        let _ = stream.write_all(&received.bytes);
        nothing()
    })
}

/// Takes everything and answers nothing; reports how much came, and how it ended.
pub fn counts() -> Fake {
    Fake::start(|mut stream, _| read_to_end(&mut stream))
}
