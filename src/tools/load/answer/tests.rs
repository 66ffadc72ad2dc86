//! Answers whole, cut short and malformed, however they are cut into pieces.

use super::*;
use proptest::prelude::*;

/// The status, whether it closes, and the surplus of an answer that comes in steps; none where it is not whole.
fn read(bytes: &[u8], step: usize) -> Result<Option<(u16, bool, usize)>, Failure> {
    let mut answer = Answer::new();
    for (at, piece) in bytes.chunks(step).enumerate() {
        if let Progress::Whole { surplus } = answer.push(piece)? {
            let behind = bytes.len() - (at * step + piece.len());
            return Ok(Some((answer.status, answer.closes, surplus + behind)));
        }
    }
    Ok(answer.ends_with_stream().then_some((answer.status, answer.closes, 0)))
}

#[test]
fn an_answer_ends_where_its_framing_says() {
    for (text, end) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Some((200, false, 0))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcde", Some((200, false, 2))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some((200, false, 0))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", None),
        ("HTTP/1.1 404 No\r\nconnection: Close\r\ncontent-length: 1\r\n\r\na", Some((404, true, 0))),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", Some((200, true, 0))),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", Some((200, false, 0))),
        ("HTTP/1.1 204 No Content\r\n\r\n", Some((204, false, 0))),
        ("HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n", Some((304, false, 0))),
        ("HTTP/1.1 200 OK\r\n\r\nabc", Some((200, true, 0))),
        (
            "HTTP/1.1 103 Hint\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            Some((200, false, 0)),
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: x\r\n\r\n!",
            Some((200, false, 1)),
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", None),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Some((200, false, 0))),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
            Some((200, false, 0)),
        ),
        ("HTTP/1.1 200", None),
    ] {
        for step in [1, 2, 7, 1000] {
            assert_eq!(read(text.as_bytes(), step), Ok(end), "{text:?} in steps of {step}");
        }
    }
}

#[test]
fn what_is_not_http_is_refused() {
    for text in [
        "220 ready\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
    ] {
        for step in [1, 1000] {
            assert_eq!(read(text.as_bytes(), step), Err(Failure::NotHttp), "{text:?} in steps of {step}");
        }
    }
    let endless = [b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; 2 * HEAD_BYTES_MAX]].concat();
    assert_eq!(read(&endless, 1000), Err(Failure::NotHttp));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_steps_change_nothing(
        bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(b"\r\n0123456789abcdef:; ".to_vec())], 0..60),
        framed in any::<bool>(),
        step in 1_usize..9,
    ) {
        let head: &[u8] = if framed { b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" } else { b"HTTP/1.1 " };
        let bytes = [head, &bytes].concat();
        prop_assert_eq!(read(&bytes, step), read(&bytes, bytes.len()));
    }
}
