//! Standard streams that take nothing: traffic goes on, and the server ends when it is told to.

use crate::support::{
    program::Program,
    scrape,
    server::{Launch, Output, Server},
    stream::exchange,
    wait::{LIMIT, within},
};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    process::Signal,
};
use serde_json::Value;
use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, PipeWriter, Write, pipe},
    os::unix::net::UnixStream,
};
use tempfile::TempDir;

/// The end of a pipe that holds all it can; a write to it blocks for as long as the other end is not read.
fn full_pipe() -> (std::io::PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    loop {
        match writer.write(&[b'.'; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("the pipe fails: {error}"),
        }
    }
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    (reader, writer)
}

#[test]
fn an_unread_standard_error_stops_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("echo");
    let listen = format!("unix:{}", path.display());
    // Few descriptors, so that there is something to warn of besides the start line.
    let shell = Some("ulimit -n 64; exec \"$0\" \"$@\"");
    let flags = ["--listen", &listen, "--max-sessions", "1000"];
    let launch = Launch { mode: "echo", flags: &flags, shell, output: Output::Unread };
    let (_reader, writer) = full_pipe();
    let mut server = Program::start(launch.command().stdout(writer.try_clone().unwrap()).stderr(writer));
    let connect = || {
        let client = UnixStream::connect(&path).ok()?;
        client.set_read_timeout(Some(LIMIT)).unwrap();
        Some(client)
    };
    let mut client = within(LIMIT, "the server listens", connect);
    exchange(&mut client, b"hello");
    let crowd: Vec<UnixStream> = (0..100).filter_map(|_| connect()).collect();
    exchange(&mut client, b"in the crowd");
    drop(crowd);
    for _ in 0..20 {
        exchange(&mut connect().unwrap(), b"after the crowd");
    }
    drop(client);
    server.signal(Signal::TERM);
    assert_eq!(server.await_exit(), 0);
}

#[test]
fn lines_for_a_full_disk_are_dropped_and_counted() {
    const SESSIONS: usize = 20;
    for log in ["json", "text"] {
        // The shell opens what stands for a full disk, and the server has it as its standard output.
        let shell = Some("exec \"$0\" \"$@\" > /dev/full");
        let flags = ["--log", log, "--metrics", "0"];
        let mut server = Launch { mode: "echo", flags: &flags, shell, output: Output::Unread }.start();
        assert!(OpenOptions::new().write(true).open("/dev/full").unwrap().write(b"x").is_err());
        for _ in 0..SESSIONS {
            exchange(&mut server.connect(), b"served");
        }
        let admin = scrape::address(&server);
        within(LIMIT, "every line is counted", || {
            let dropped = scrape::scrape(admin).value("switchboard_event_lines_dropped_total", &[]);
            // The open and the close of each.
            (dropped == 2.0 * SESSIONS as f64).then_some(())
        });
        assert_eq!(server.stop(), 0, "{log}");
    }
}

#[test]
fn a_line_that_a_full_disk_cuts_is_completed_once_there_is_room() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("log");
    // What is beyond the limit of a file's size is refused, as by a full disk.
    let shell = format!("trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\" >> {}", path.display());
    let flags = ["--metrics", "0"];
    let mut server =
        Launch { mode: "echo", flags: &flags, shell: Some(&shell), output: Output::Unread }.start();
    let admin = scrape::address(&server);
    let dropped = || scrape::scrape(admin).value("switchboard_event_lines_dropped_total", &[]);
    let (mut log, mut before) = (Vec::new(), 0.0);
    for _ in 0..3 {
        within(LIMIT, "the disk is full", || {
            exchange(&mut server.connect(), b"served");
            (dropped() > before).then_some(())
        });
        before = dropped();
        log.extend(fs::read(&path).unwrap());
        OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    }
    assert_eq!(server.stop(), 0);
    log.extend(fs::read(&path).unwrap());
    let log = String::from_utf8(log).unwrap();
    let (whole, _begun) = log.rsplit_once('\n').unwrap();
    let parse =
        |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    let events: Vec<Value> = whole.lines().map(parse).collect();
    assert!(events.len() > 3, "{log}");
}

#[test]
fn a_reader_of_the_log_that_goes_stops_nothing() {
    let mut server: Server = Launch { mode: "echo", flags: &[], shell: None, output: Output::Broken }.start();
    for _ in 0..20 {
        exchange(&mut server.connect(), b"served");
    }
    assert_eq!(server.stop(), 0);
}
