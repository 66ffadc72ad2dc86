//! Fakes that play the upstream, one behaviour each, named by it. A fake tells the test where it is and can be told
//! when to go on, so that a test orders events without sleeping.

use crate::support::{
    fake::{Fake, nothing},
    stream::{
        Received, await_acknowledged, await_hangup, read_each, read_to_end, reset, write_until_refused,
    },
};
use socket2::SockRef;
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::Mutex,
    thread,
    time::Duration,
};

/// Sends back all that comes, then ends its stream. Reports only how the stream ended.
pub fn echoes() -> Fake {
    Fake::start(|mut stream, _| {
        let mut writer = stream.try_clone().unwrap();
        let end = read_each(&mut stream, |piece| {
            let _ = writer.write_all(piece);
        });
        Received { bytes: Vec::new(), end }
    })
}

/// Says its port at once, then reads to the end of the stream and closes. Its point: the connection stands.
pub fn says_its_port() -> Fake {
    Fake::start(|mut stream, checkpoint| {
        checkpoint.reach();
        let port = stream.local_addr().unwrap().port();
        let _ = write!(stream, "{port}");
        let _ = stream.shutdown(Shutdown::Write);
        read_to_end(&mut stream)
    })
}

/// Reads to the end of the stream, then closes. Its point: the connection stands.
pub fn takes_all() -> Fake {
    Fake::start(|mut stream, checkpoint| {
        checkpoint.reach();
        read_to_end(&mut stream)
    })
}

/// Reads to the end of the stream, never sends, and stays until the connection is torn down.
/// Its point: the end of the stream was read.
pub fn never_replies() -> Fake {
    Fake::start(|mut stream, checkpoint| {
        let received = read_to_end(&mut stream);
        checkpoint.reach();
        await_hangup(&stream);
        received
    })
}

/// Reads to the end of the stream, and replies only some time after that.
pub fn replies_after_fin(reply: Vec<u8>, pause: Duration) -> Fake {
    Fake::start(move |mut stream, _| {
        let received = read_to_end(&mut stream);
        thread::sleep(pause);
        let _ = stream.write_all(&reply);
        received
    })
}

/// Sends before it reads, then reads to the end of the stream and closes.
pub fn speaks_first(greeting: Vec<u8>) -> Fake {
    Fake::start(move |mut stream, _| {
        stream.write_all(&greeting).unwrap();
        read_to_end(&mut stream)
    })
}

/// Sends after a pause, then reads to the end of the stream and closes.
pub fn replies_after_a_rest(reply: Vec<u8>, pause: Duration) -> Fake {
    Fake::start(move |mut stream, _| {
        thread::sleep(pause);
        stream.write_all(&reply).unwrap();
        read_to_end(&mut stream)
    })
}

/// Sends and closes.
pub fn speaks_and_closes(words: Vec<u8>) -> Fake {
    Fake::start(move |mut stream, _| {
        stream.write_all(&words).unwrap();
        nothing()
    })
}

/// Sends all of its reply, ends its stream, and reads on until the client ends the other.
pub fn half_closes_first(reply: Vec<u8>) -> Fake {
    Fake::start(move |mut stream, _| {
        stream.write_all(&reply).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut stream)
    })
}

/// Sends a part of its reply and, when told to, resets. Its point: the kernel at the other end has the part.
pub fn resets_in_mid_reply(part_of_reply: Vec<u8>) -> Fake {
    Fake::start(move |mut stream, checkpoint| {
        stream.write_all(&part_of_reply).unwrap();
        await_acknowledged(&stream);
        checkpoint.reach();
        checkpoint.wait();
        reset(stream);
        checkpoint.reach();
        nothing()
    })
}

/// Sends the n-th connection the n-th of these, and resets without waiting until the bytes are there. Reads nothing.
pub fn resets_after(sent: Vec<Vec<u8>>) -> Fake {
    let sent = Mutex::new(sent.into_iter());
    Fake::start(move |mut stream, _| {
        let sent = sent.lock().unwrap().next().unwrap_or_default();
        let _ = stream.write_all(&sent);
        reset(stream);
        nothing()
    })
}

/// Resets every connection as soon as it stands.
pub fn resets_at_once() -> Fake {
    resets_after(Vec::new())
}

/// Replies to the first bytes of an upload and, when told to, closes with the rest unread: its kernel sends a RST.
/// Its point: the kernel at the other end has the reply.
pub fn replies_early_and_closes(reply: Vec<u8>) -> Fake {
    replies_early(reply, |_| {})
}

/// The same, but it ends its stream before that.
pub fn replies_early_and_half_closes(reply: Vec<u8>) -> Fake {
    replies_early(reply, |stream| stream.shutdown(Shutdown::Write).unwrap())
}

fn replies_early(reply: Vec<u8>, end: fn(&TcpStream)) -> Fake {
    Fake::start(move |mut stream, checkpoint| {
        stream.read_exact(&mut [0; 1000]).unwrap();
        stream.write_all(&reply).unwrap();
        end(&stream);
        await_acknowledged(&stream);
        checkpoint.reach();
        checkpoint.wait();
        nothing()
    })
}

/// Replies, takes some of an upload, and resets in the middle of it.
pub fn resets_in_mid_upload(reply: Vec<u8>, taken: usize) -> Fake {
    Fake::start(move |mut stream, _| {
        stream.write_all(&reply).unwrap();
        await_acknowledged(&stream);
        stream.read_exact(&mut vec![0; taken]).unwrap();
        reset(stream);
        nothing()
    })
}

/// Reads nothing until told to, then everything. Its point: the connection stands.
pub fn reads_nothing_until_told() -> Fake {
    Fake::start(|mut stream, checkpoint| {
        checkpoint.reach();
        checkpoint.wait();
        read_to_end(&mut stream)
    })
}

/// Sends without end, and reads nothing, until the connection refuses more. Its point: the same.
pub fn pushes_without_end() -> Fake {
    Fake::start(|mut stream, checkpoint| {
        write_until_refused(&mut stream);
        checkpoint.reach();
        nothing()
    })
}

/// Replies with one byte to every two bytes. Its point: the first of them was read.
pub fn replies_to_pairs() -> Fake {
    Fake::start(|mut stream, checkpoint| {
        while stream.read_exact(&mut [0]).is_ok() {
            checkpoint.reach();
            stream.read_exact(&mut [0]).and_then(|()| stream.write_all(b"!")).unwrap();
        }
        nothing()
    })
}

/// Sends a byte, `count` times, with a pause before each; then closes.
pub fn trickles(count: usize, pause: Duration) -> Fake {
    Fake::start(move |mut stream, _| {
        for _ in 0..count {
            thread::sleep(pause);
            if stream.write_all(b"t").is_err() {
                break;
            }
        }
        nothing()
    })
}

/// Sends bytes, an urgent one (RFC 9293 §3.8.5), more bytes, and its end; then reads to the end of the stream.
pub fn sends_an_urgent_byte(before: Vec<u8>, after: Vec<u8>) -> Fake {
    Fake::start(move |mut stream, _| {
        stream.write_all(&before).unwrap();
        SockRef::from(&stream).send_out_of_band(b"!").unwrap();
        stream.write_all(&after).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut stream)
    })
}
