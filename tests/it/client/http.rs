//! A client of a web server.

use super::{Client, run};
use crate::support::{
    fake::{
        http::{Then, answers, answers_in_pieces},
        peer,
        unreachable::{self, UNRESOLVABLE},
    },
    server::Server,
    terminal::Terminal,
};
use std::{io::Read, process::Stdio, time::Duration};

const OK: &str = "HTTP/1.1 200 OK\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Asks a fake that answers so; the answer, and the body alone.
#[track_caller]
fn assert_ends(answer: &str, then: Then, code: i32, body: &str) {
    let web = answers(answer, then);
    let target = format!("http://{}/", web.address);
    let whole = run(&[&target]);
    assert_eq!(whole.code, Some(code), "{answer:?}, {then:?}: {whole:?}");
    assert_eq!(String::from_utf8_lossy(&whole.answer), answer);
    assert_eq!(whole.notes.lines().count(), usize::from(code != 0), "{whole:?}");
    let alone = run(&[&target, "--body"]);
    assert_eq!(alone.code, Some(code), "{answer:?}, {then:?}: {alone:?}");
    assert_eq!(String::from_utf8_lossy(&alone.answer), body, "{answer:?}");
}

#[test]
fn a_whole_answer_is_printed_as_it_came() {
    for then in [Then::Fin, Then::Stay] {
        assert_ends(&format!("{OK}x-ODD:   a \r\nContent-Length: 3\r\n\r\nabc"), then, 0, "abc");
        assert_ends(
            &format!("{CHUNKED}3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n"),
            then,
            0,
            "abcde",
        );
        assert_ends("HTTP/1.1 204 No Content\r\n\r\n", then, 0, "");
        assert_ends("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", then, 0, "no");
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n";
        assert_ends(&format!("{hints}{OK}Content-Length: 1\r\n\r\na"), then, 0, "a");
    }
    assert_ends(&format!("{OK}\r\nabc"), Then::Fin, 0, "abc");
    assert_ends("HTTP/1.0 200 OK\r\n\r\nabc", Then::Fin, 0, "abc");
}

#[test]
fn an_answer_cut_short_by_fin_is_truncated() {
    for (answer, body) in [
        (format!("{OK}Content-Length: 4\r\n\r\nabc"), "abc"),
        (format!("{CHUNKED}3\r\nabc\r\n"), "abc"),
        (format!("{CHUNKED}3\r\nabc\r\n0\r\n"), "abc"),
        (format!("{CHUNKED}5\r\nabc"), "abc"),
        (OK.to_owned(), ""),
        ("HTT".to_owned(), ""),
        (String::new(), ""),
    ] {
        assert_ends(&answer, Then::Fin, 18, body);
    }
}

#[test]
fn an_answer_cut_short_by_rst_is_reset() {
    for (answer, body) in [
        (format!("{OK}Content-Length: 4\r\n\r\nabc"), "abc"),
        (format!("{OK}\r\nabc"), "abc"),
        (format!("{CHUNKED}3\r\nabc\r\n"), "abc"),
        (OK.to_owned(), ""),
        (String::new(), ""),
    ] {
        assert_ends(&answer, Then::Reset, 56, body);
    }
    assert_ends(&format!("{OK}Content-Length: 3\r\n\r\nabc"), Then::Reset, 0, "abc");
}

#[test]
fn what_is_not_http_is_printed_and_told() {
    for (answer, body) in [
        ("220 ready\r\n".to_owned(), ""),
        (format!("{CHUNKED}xyz\r\nabc\r\n"), ""),
        (format!("{OK}Content-Length: x\r\n\r\nabc"), ""),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(), ""),
    ] {
        assert_ends(&answer, Then::Stay, 8, body);
    }
    let speaker = peer::speaks_first(b"SSH-2.0-x\r\n".to_vec());
    let talk = run(&[&format!("http://{}/", speaker.address)]);
    talk.assert_ended(8, "does not answer in HTTP/1.1");
    assert_eq!(talk.answer, b"SSH-2.0-x\r\n");
}

#[test]
fn an_answer_in_single_bytes_is_one_answer() {
    let answer = format!("HTTP/1.1 100 Continue\r\n\r\n{CHUNKED}3\r\nabc\r\n0\r\n\r\n");
    let web = answers_in_pieces(answer.bytes().map(|byte| vec![byte]).collect(), Then::Stay);
    let talk = run(&[&web.address.to_string()]);
    assert_eq!((talk.code, String::from_utf8(talk.answer).unwrap()), (Some(0), answer));
}

#[test]
fn the_request_names_the_target_wherever_it_connects() {
    let web = answers(format!("{OK}\r\n"), Then::Fin);
    let talk = run(&["http://www.example.org:8080/a?b=c", "--via", &web.address.to_string()]);
    assert_eq!(talk.code, Some(0), "{talk:?}");
    let request = String::from_utf8(web.await_received().bytes).unwrap();
    let mut lines: Vec<&str> = request.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "GET /a?b=c HTTP/1.1");
    lines.sort_unstable();
    let agent = concat!("User-Agent: switchboard/", env!("CARGO_PKG_VERSION"));
    assert_eq!(lines, ["Accept: */*", "Connection: close", "Host: www.example.org:8080", agent]);
}

#[test]
fn what_cannot_be_reached_is_named() {
    let (refusing, _held) = unreachable::refuses();
    run(&[&refusing.to_string()]).assert_ended(7, &refusing.to_string());
    run(&["localhost", "--via", "unix:/does/not/exist"]).assert_ended(7, "/does/not/exist");
    let silent = unreachable::never_accepts();
    run(&[&silent.address.to_string(), "--connect-timeout", "100ms"])
        .assert_ended(28, &silent.address.to_string());
    run(&[UNRESOLVABLE]).assert_ended(6, "cannot resolve");
}

#[test]
fn a_silent_server_times_out() {
    let web = answers(format!("{OK}\r\nabc"), Then::Stay);
    let talk = run(&[&web.address.to_string(), "--idle-timeout", "200ms"]);
    talk.assert_ended(28, "--idle-timeout");
    assert!(talk.answer.ends_with(b"abc"));
}

#[test]
fn an_output_that_takes_nothing_is_told() {
    let origin = Server::start("origin", &[]);
    let target = format!("{}/bytes/1000000", origin.addresses[0]);
    for flags in [&["--body"][..], &[]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let arguments = [&[target.as_str()], flags].concat();
        assert_eq!(Client::start(&arguments, full.into(), Stdio::null()).await_exit(), Some(23));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(Client::start(&arguments, writer.into(), Stdio::null()).await_exit(), Some(23));
    }
}

#[test]
fn a_slow_reader_holds_the_server_up_and_is_not_silence() {
    const LENGTH: usize = 64 << 20;
    let origin = Server::start("origin", &[]);
    let target = format!("{}/bytes/{LENGTH}", origin.addresses[0]);
    for flags in [&["--body"][..], &[]] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let arguments = [&[target.as_str(), "--idle-timeout", "100ms"], flags].concat();
        let mut client = Client::start(&arguments, writer.into(), Stdio::null());
        let mut first = [0; 100];
        reader.read_exact(&mut first).unwrap();
        // Longer than the deadline for silence, in which nothing moves.
        std::thread::sleep(Duration::from_millis(400));
        assert!(client.0.process().resident_kib() < 32 << 10);
        let rest = std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        assert_eq!(client.await_exit(), Some(0));
        assert!(rest as usize + first.len() >= LENGTH, "{rest}");
    }
}

#[test]
fn nothing_that_is_sent_controls_a_terminal() {
    let web = answers(format!("{OK}Content-Length: 11\r\n\r\n\x1b[2J\u{9b}1m\r!\n"), Then::Stay);
    let terminal = Terminal::open();
    let mut client = Client::start(&[&web.address.to_string()], terminal.stdio(), Stdio::null());
    assert_eq!(client.await_exit(), Some(0));
    // The terminal itself puts a carriage return before each line feed (termios(3), ONLCR).
    let shown = String::from_utf8(terminal.read_to_end()).unwrap();
    assert_eq!(shown, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n\\x1b[2J\\u{9b}1m\\r!\r\n");
}

#[test]
fn an_interrupt_ends_it_at_once() {
    let web = answers(format!("{OK}\r\nabc"), Then::Stay);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut client = Client::start(&[&web.address.to_string()], writer.into(), Stdio::null());
    reader.read_exact(&mut [0; 22]).unwrap();
    let pid = rustix::process::Pid::from_child(&client.0);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = client.0.await_end();
    assert_eq!(status.code(), None, "the signal's default is its end");
}
