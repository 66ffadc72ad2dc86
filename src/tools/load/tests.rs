//! The engine against small servers of threads: what is right passes, and each kind of wrong is found.

use crate::{
    net::dial::fake::refuses,
    runtime::{mailbox::mailbox, shard},
    tools::load::{
        failure::Failure,
        report::Report,
        run::{Phase, Plan, drive, run},
        script::{Script, Step},
        shared::Shared,
    },
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A server that talks to each connection in a thread of its own; `talk` is told the connection's number.
fn serve(talk: impl Fn(usize, TcpStream) + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let talk = talk.clone();
            thread::spawn(move || talk(number, stream));
        }
    });
    address
}

/// Sends back each piece after `change`; ends when that says so, or the client does.
fn echo(mut stream: TcpStream, mut change: impl FnMut(&mut Vec<u8>) -> bool) {
    let mut room = vec![0; 4096];
    while let Ok(count) = stream.read(&mut room) {
        let mut piece = room[..count].to_vec();
        if count == 0 || !change(&mut piece) || stream.write_all(&piece).is_err() {
            return;
        }
    }
}

fn pingpong(each: Vec<Step>) -> Script {
    Script { before: vec![Step::Connect], each, after: vec![Step::HalfClose, Step::ExpectEnd, Step::Close] }
}

fn round_trip() -> Vec<Step> {
    vec![Step::Send(64), Step::Expect(64)]
}

fn play(target: SocketAddr, connections: usize, script: Script, operations: Option<u64>) -> Report {
    // With a number of operations, the window ends with the last one.
    let window = if operations.is_some() { Duration::from_secs(20) } else { MS(300) };
    let plan = Plan { connections, script, window, operations, ..Plan::to(target) };
    shard::run(run(&plan, 1, |_| ())).unwrap()
}

fn kinds(report: &Report) -> Vec<Failure> {
    report.failures.keys().copied().collect()
}

#[test]
fn what_is_right_passes_and_is_counted() {
    let target = serve(|_, stream| echo(stream, |_| true));
    let report = play(target, 10, pingpong(round_trip()), Some(500));
    assert_eq!(report.errors(), 0);
    assert_eq!(report.operations, 500);
    assert_eq!((report.sent, report.received), (500 * 64, 500 * 64));
    assert!(report.service.part(0.5) <= report.service.part(1.0) && report.service.part(1.0) < MS(300));
}

#[test]
fn clients_read_while_they_write() {
    // No buffer on the way holds 32 MiB: a client that only writes would wait for ever.
    const BYTES: u64 = 32 << 20;
    let target = serve(|_, stream| echo(stream, |_| true));
    let each = vec![Step::Send(BYTES), Step::Expect(BYTES)];
    let report = play(target, 1, pingpong(each), Some(1));
    assert_eq!((report.errors(), report.received), (0, BYTES));
}

#[test]
fn a_wrong_byte_is_found() {
    let corrupt = |piece: &mut Vec<u8>| {
        piece[7] ^= 1;
        true
    };
    let target = serve(move |number, stream| echo(stream, |piece| number > 0 || corrupt(piece)));
    let report = play(target, 1, pingpong(round_trip()), Some(20));
    assert_eq!(report.failures, [(Failure::WrongByte, 1)].into());
}

#[test]
fn the_bytes_of_another_connection_are_found() {
    // Each answer is the message before it, of any client.
    let last = Arc::new(Mutex::new(None));
    let target = serve(move |_, stream| {
        let last = last.clone();
        echo(stream, move |piece| {
            let own = piece.clone();
            *piece = last.lock().unwrap().replace(own.clone()).unwrap_or(own);
            true
        });
    });
    let report = play(target, 8, pingpong(round_trip()), Some(200));
    assert!(kinds(&report).contains(&Failure::WrongByte), "{:?}", report.failures);
}

#[test]
fn a_lost_tail_is_found() {
    let target = serve(|_, stream| {
        echo(stream, |piece| {
            piece.truncate(63);
            true
        });
    });
    let each = vec![Step::Send(64), Step::HalfClose, Step::Expect(64)];
    let script = Script { before: vec![Step::Connect], each, after: Vec::new() };
    let report = play(target, 1, script, Some(1));
    assert_eq!(kinds(&report), [Failure::EndedEarly]);
}

#[test]
fn surplus_bytes_are_found() {
    let target = serve(|_, mut stream| {
        let mut message = [0; 64];
        stream.read_exact(&mut message).unwrap();
        stream.write_all(&message).unwrap();
        // What follows, the client has sent, but it came once already.
        stream.write_all(&message[..32]).unwrap();
        let _ = stream.read(&mut message);
    });
    let script = pingpong(round_trip());
    let report = play(
        target,
        1,
        Script { each: Vec::new(), before: [script.before, script.each].concat(), ..script },
        None,
    );
    assert_eq!(kinds(&report), [Failure::WrongByte]);
}

#[test]
fn every_reset_connection_is_counted() {
    // Closing with unread bytes resets (RFC 1122 §4.2.2.13).
    let target = serve(|number, stream| {
        if number % 10 == 9 {
            let _ = (&stream).read(&mut [0]);
        } else {
            echo(stream, |_| true);
        }
    });
    let each =
        [vec![Step::Connect], round_trip(), vec![Step::HalfClose, Step::ExpectEnd, Step::Close]].concat();
    let script = Script { before: Vec::new(), each, after: Vec::new() };
    let report = play(target, 1, script, Some(100));
    assert_eq!(report.failures, [(Failure::Reset, 10)].into());
    assert_eq!(report.operations, 90);
}

#[test]
fn a_refused_connection_is_counted() {
    let (target, _reserved) = refuses();
    let each = [vec![Step::Connect], round_trip(), vec![Step::Close]].concat();
    let report = play(target, 2, Script { each, ..Script::default() }, Some(4));
    assert_eq!(report.failures, [(Failure::Refused, 4)].into());
    assert_eq!(report.operations, 0);
}

#[test]
fn latency_is_that_of_the_server_and_pauses_are_not_part_of_it() {
    let target = serve(|_, stream| {
        echo(stream, |_| {
            thread::sleep(MS(20));
            true
        });
    });
    let each = [vec![Step::Pause(MS(10))], round_trip()].concat();
    let report = play(target, 2, pingpong(each), None);
    assert!((MS(20)..MS(30)).contains(&report.service.part(0.5)), "{:?}", report.service.part(0.5));
}

#[test]
fn held_connections_last_to_the_end_and_phases_come_in_order() {
    let target = serve(|_, stream| echo(stream, |_| true));
    let script = Script {
        before: [vec![Step::Connect], round_trip()].concat(),
        each: vec![Step::Hold],
        after: vec![],
    };
    let plan = Plan { connections: 20, script, warm_up: MS(20), window: MS(50), ..Plan::to(target) };
    let mut phases = Vec::new();
    let begin = Instant::now();
    let report = shard::run(run(&plan, 1, |phase| phases.push(phase))).unwrap();
    assert!(begin.elapsed() >= MS(70));
    assert_eq!(phases, [Phase::WarmUp, Phase::Window, Phase::End]);
    assert_eq!((report.errors(), report.operations), (0, 0));
}

#[test]
fn a_thread_begins_when_the_others_can() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let shared = Arc::new(Shared::new(2, mailbox(1).0));
    let (window, script) = (Duration::from_secs(20), pingpong(round_trip()));
    let plan = Plan { script, window, operations: Some(3), ..Plan::to(target) };
    let own = shared.clone();
    let first = thread::spawn(move || shard::run(drive(&plan, &own, 1, 0, |_| ())).unwrap());
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(MS(200))).unwrap();
    let early = stream.read(&mut [0]);
    assert!(early.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    shared.progress().there += 1;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    echo(stream, |_| true);
    assert_eq!(first.join().unwrap().operations, 3);
}

#[test]
fn a_thread_that_failed_is_not_waited_for() {
    let target = serve(|_, stream| echo(stream, |_| true));
    let shared = Arc::new(Shared::new(2, mailbox(1).0));
    shared.note_end();
    let (window, script) = (Duration::from_secs(20), pingpong(round_trip()));
    let plan = Plan { connections: 2, script, window, operations: Some(3), ..Plan::to(target) };
    assert_eq!(shard::run(drive(&plan, &shared, 1, 0, |_| ())).unwrap().operations, 3);
}
