//! A client of a bare TCP server.

use super::{Client, run, run_with};
use crate::support::{
    fake::peer,
    pattern::pattern,
    program::{self, binary},
    server::Server,
};
use std::{
    io::{Read, Write},
    process::Stdio,
    time::Duration,
};

fn target(address: impl std::fmt::Display) -> String {
    format!("tcp://{address}")
}

#[test]
fn what_is_sent_comes_back_from_an_echo() {
    let echo = Server::echo(&[]);
    let target = target(echo.address());
    let sent = pattern(7, 5_000_000);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&sent).unwrap();
    let file = file.path().to_str().unwrap();
    for talk in [
        run_with(&[&target], &sent),
        run(&[&target, "--file", file]),
        run(&[&target, "--via", &echo.addresses[0], "--file", file]),
    ] {
        assert_eq!((talk.code, talk.notes.as_str()), (Some(0), ""));
        assert!(talk.answer == sent, "{} bytes came back", talk.answer.len());
    }
    assert_eq!(run(&[&target, "--send", "Foobar"]).answer, b"Foobar");
    assert_eq!(run(&[&target, "--send", ""]).answer, b"");
}

#[test]
fn the_answer_is_printed_while_more_is_sent() {
    let echo = Server::echo(&[]);
    let mut client = Client::start(&[&target(echo.address())], Stdio::piped(), Stdio::null());
    let mut answer = client.0.stdout.take().unwrap();
    for line in [b"one\n", b"two\n"] {
        client.give(line);
        let mut back = [0; 4];
        answer.read_exact(&mut back).unwrap();
        assert_eq!(&back, line);
    }
    drop(client.0.stdin.take());
    assert_eq!(client.await_exit(), Some(0));
}

#[test]
fn the_reply_to_a_half_closed_client_is_waited_for() {
    let late = peer::replies_after_fin(b"late".to_vec(), Duration::from_millis(300));
    let talk = run(&[&target(late.address), "--send", "question"]);
    assert_eq!((talk.code, talk.answer.as_slice()), (Some(0), &b"late"[..]));
    assert_eq!(late.await_received().bytes, b"question");
}

#[test]
fn the_servers_end_is_the_end_although_standard_input_is_open() {
    let server = peer::half_closes_first(b"noon\n".to_vec());
    let mut client = Client::start(&[&target(server.address)], Stdio::piped(), Stdio::null());
    let mut answer = String::new();
    client.0.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
    assert_eq!((client.await_exit(), answer.as_str()), (Some(0), "noon\n"));
    assert!(client.0.stdin.is_some());
}

#[test]
fn a_file_is_sent_whole_although_the_server_ended_first() {
    let server = peer::half_closes_first(b"hello".to_vec());
    let sent = pattern(8, 3_000_000);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&sent).unwrap();
    let talk = run(&[&target(server.address), "--file", file.path().to_str().unwrap()]);
    assert_eq!((talk.code, talk.answer.as_slice()), (Some(0), &b"hello"[..]));
    assert!(server.await_received().bytes == sent);
}

#[test]
fn a_reset_is_told_after_what_came_before_it() {
    let server = peer::resets_in_mid_reply(b"part".to_vec());
    server.go();
    let talk = run(&[&target(server.address), "--send", ""]);
    talk.assert_ended(56, "reset the connection after 4 bytes");
    assert_eq!(talk.answer, b"part");
}

#[test]
fn a_silent_server_times_out() {
    let server = peer::never_replies();
    let talk = run(&[&target(server.address), "--send", "a", "--idle-timeout", "200ms"]);
    talk.assert_ended(28, "--idle-timeout");
}

#[test]
fn a_file_that_cannot_be_read_is_named_before_anything_is_sent() {
    for (path, reason) in [("/does/not/exist", "no such file"), ("/", "is a directory")] {
        let talk = run(&["tcp://127.0.0.1:1", "--file", path]);
        talk.assert_ended(2, reason);
        assert!(talk.notes.contains(&format!("'{path}'")), "{talk:?}");
    }
}

#[test]
fn standard_input_that_cannot_be_read_resets_what_was_begun() {
    let server = peer::takes_all();
    let folder = std::fs::File::open("/").unwrap();
    let mut command = binary();
    command.args(["client", &target(server.address)]).stdin(folder);
    let output = program::output(command);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stderr, b"switchboard: cannot read standard input: is a directory\n");
    assert_eq!(server.await_received().end, crate::support::stream::End::Reset);
}

#[test]
fn an_output_that_takes_nothing_is_told() {
    let echo = Server::echo(&[]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let arguments = [&target(echo.address()), "--send", "a"];
    assert_eq!(Client::start(&arguments, full.into(), Stdio::null()).await_exit(), Some(23));
}
