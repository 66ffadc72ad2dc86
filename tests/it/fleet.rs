//! What balancers are told: by the agent, by `/readyz` and by `ctl ready`, while a server starts, fills, pauses and stops.

use crate::support::{
    operator::Operated,
    program::binary,
    scrape::{address, get},
    server::{Output, Server},
    stream::{End, connect, exchange, is_silent, read_to_end},
    wait::{LIMIT, within},
};
use rustix::process::Signal;
use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longer than a test waits: what ends sooner was ended.
const LONG: &str = "300s";

/// Where the agent of a server answers, as it said last.
fn agent(server: &Server) -> SocketAddr {
    within(LIMIT, "the line about the agent", || {
        let lines = server.errors.all();
        lines.iter().rev().find_map(|line| line.strip_prefix("agent on ")?.parse().ok())
    })
}

/// What the agent says, to the end of its stream.
fn ask(agent: SocketAddr) -> String {
    let received = read_to_end(&mut connect(agent));
    assert_eq!(received.end, End::Fin);
    String::from_utf8(received.bytes).unwrap()
}

fn await_answer(agent: SocketAddr, line: &str) {
    within(LIMIT, line, || (ask(agent) == line).then_some(()));
}

#[test]
fn the_weight_is_the_share_of_free_slots() {
    let server = Server::echo(&["--agent", "0", "--max-sessions", "4"]);
    let agent = agent(&server);
    assert_eq!(ask(agent), "up 100% ready\n");
    let mut live: Vec<TcpStream> = Vec::new();
    for percent in [75, 50, 25, 1] {
        let mut client = server.connect();
        exchange(&mut client, b"in");
        live.push(client);
        assert_eq!(ask(agent), format!("up {percent}% ready\n"));
    }
    live.clear();
    await_answer(agent, "up 100% ready\n");
}

#[test]
fn a_paused_server_drains_and_takes_that_back() {
    let operated = Operated::start("echo", &["--agent", "0"]);
    let agent = agent(&operated.server);
    assert_eq!((operated.ctl(&["pause"]).code, ask(agent)), (0, "drain\n".into()));
    assert_eq!((operated.ctl(&["resume"]).code, ask(agent)), (0, "up 100% ready\n".into()));
}

#[test]
fn idle_and_talking_balancers_keep_out_no_other_and_each_has_its_line() {
    let server = Server::echo(&["--agent", "0"]);
    let agent = agent(&server);
    for says in ["", "agent-send\n"] {
        let mut idle: Vec<TcpStream> = (0..40).map(|_| connect(agent)).collect();
        idle.iter_mut().for_each(|stream| stream.write_all(says.as_bytes()).unwrap());
        let begin = Instant::now();
        assert_eq!(ask(agent), "up 100% ready\n");
        assert!(begin.elapsed() < Duration::from_secs(4), "only after {:?}", begin.elapsed());
        for mut stream in idle {
            assert_eq!(read_to_end(&mut stream).bytes, b"up 100% ready\n");
        }
    }
    exchange(&mut server.connect(), b"the traffic feels nothing");
}

#[test]
fn from_the_signal_on_it_is_not_ready_and_still_accepts_until_a_second_one() {
    let flags = ["--agent", "0", "--metrics", "0", "--drain-delay", LONG, "--drain-timeout", LONG];
    for again in ["signal", "ctl"] {
        let mut operated = Operated::start("echo", &flags);
        let (agent, admin) = (agent(&operated.server), address(&operated.server));
        assert_eq!((operated.ctl(&["ready"]).code, get(admin, "/readyz").status), (0, 200));
        match again {
            "ctl" => assert_eq!(operated.ctl(&["drain"]).code, 0),
            _ => operated.server.signal(Signal::TERM),
        }
        operated.server.await_warning("stopping: not ready any more, accepting for 5m");
        assert_eq!((operated.ctl(&["ready"]).code, get(admin, "/readyz").status), (1, 503));
        assert_eq!(ask(agent), "drain\n");
        // A hangup is no order to stop, and a reload is refused at once.
        operated.server.signal(Signal::HUP);
        operated.assert_fails(&["reload"], "the server is ending");
        let mut late = operated.server.connect();
        exchange(&mut late, b"accepted late");
        match again {
            "ctl" => assert_eq!(operated.ctl(&["drain"]).code, 0),
            _ => operated.server.signal(Signal::TERM),
        }
        operated.server.await_warning("draining: 1 session");
        await_answer(agent, "down\n");
        assert!(TcpStream::connect(operated.server.address()).is_err(), "it still accepts");
        operated.assert_fails(&["reload"], "the server is ending");
        exchange(&mut late, b"and served to its end");
        drop(late);
        assert_eq!(operated.server.await_exit(), 0);
    }
}

#[test]
fn a_third_signal_cuts_what_came_in_the_delay() {
    let mut server = Server::echo(&["--drain-delay", LONG, "--drain-timeout", LONG]);
    server.signal(Signal::TERM);
    server.await_warning("stopping: not ready any more");
    let mut late = server.connect();
    exchange(&mut late, b"accepted late");
    server.signal(Signal::TERM);
    server.await_warning("draining: 1 session");
    assert!(is_silent(&mut late, Duration::from_millis(100)), "the second signal cuts nothing");
    server.signal(Signal::TERM);
    assert_eq!(read_to_end(&mut late).end, End::Reset);
    assert_eq!(server.await_exit(), 3);
}

#[test]
fn the_delay_ends_by_itself() {
    let mut server = Server::echo(&["--drain-delay", "200ms"]);
    let begin = Instant::now();
    server.signal(Signal::TERM);
    server.await_warning("stopping: not ready any more, accepting for 200 ms");
    exchange(&mut server.connect(), b"accepted late");
    assert_eq!(server.await_exit(), 0);
    assert!(begin.elapsed() >= Duration::from_millis(200), "after {:?}", begin.elapsed());
}

#[test]
fn a_reload_moves_the_agent_and_the_server_stays_ready() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("switchboard.toml");
    let write = |agent: &str| {
        let listener = "[listener.test]\nlisten = \"127.0.0.1:0\"\nupstream = \"127.0.0.1:9\"\n";
        let text = format!("control = \"off\"\nmetrics = \"127.0.0.1:0\"\nagent = {agent}\n{listener}");
        fs::write(&file, text).unwrap();
    };
    write("\"127.0.0.1:0\"");
    let mut command = binary();
    command.arg("run").arg(&file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let server = Server::of(command, 1, Output::Read);
    let (first, admin) = (agent(&server), address(&server));
    write("\"127.0.0.2:0\"");
    server.signal(Signal::HUP);
    server.await_warning("reloaded: agent: 127.0.0.1:0 to 127.0.0.2:0");
    let second = agent(&server);
    assert_eq!((second.ip().to_string().as_str(), ask(second)), ("127.0.0.2", "up 100% ready\n".into()));
    assert!(TcpStream::connect(first).is_err(), "the first one is open");
    assert_eq!(get(admin, "/readyz").status, 200);
    // An address that is taken refuses the reload.
    write(&format!("\"{second}\""));
    server.signal(Signal::HUP);
    server.await_warning("reload refused");
    assert_eq!(ask(second), "up 100% ready\n");
    write("false");
    server.signal(Signal::HUP);
    server.await_warning("reloaded: agent: 127.0.0.2:0 to off");
    within(LIMIT, "it is closed", || TcpStream::connect(second).is_err().then_some(()));
}
