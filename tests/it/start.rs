//! Starting, and refusing to: one readable line that names the value, the right exit code, no backtrace.

use crate::support::{
    fake::peer,
    lines::Lines,
    port,
    program::{self, Program, binary, run_binary},
    server::Server,
    stream::{End, connect, exchange, read_exactly, read_to_end},
    wait::{LIMIT, within},
};
use std::{
    net::{SocketAddr, TcpListener},
    process::Stdio,
    time::{Duration, Instant},
};

/// The run fails with `code`, at once, and says why in at most `lines` lines that name `value`.
fn assert_fails(arguments: &[&str], code: i32, lines: usize, value: &str) {
    let begin = Instant::now();
    let run = run_binary(arguments);
    let outcome = format!("{arguments:?}: {:?}: {}", run.code, run.stderr);
    assert_eq!(run.code, Some(code), "{outcome}");
    assert!(begin.elapsed() < Duration::from_secs(4), "{outcome} after {:?}", begin.elapsed());
    assert!(run.stderr.contains(value), "{value} is not named: {outcome}");
    assert!((1..=lines).contains(&run.stderr.lines().count()), "{outcome}");
    assert!(!run.stderr.contains("panicked") && !run.stderr.contains("backtrace"), "{outcome}");
    assert_eq!(run.stdout, "", "{outcome}");
}

/// A usage error: exit code 2, one line and the hint to the help.
fn assert_usage(arguments: &[&str], value: &str) {
    assert_fails(arguments, 2, 2, value);
    assert!(run_binary(arguments).stderr.contains("--help"), "{arguments:?}: no hint to the help");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for mode in ["echo", "proxy", "origin"] {
        assert_fails(&[mode, "--listen", &address], 1, 1, &address);
    }
}

#[test]
fn one_listener_of_several_that_fails_ends_all() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = run_binary(&["echo", "--listen", "127.0.0.1:0", "--listen", &address]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.stderr.contains(&address), "{}", run.stderr);
    assert!(!run.stderr.contains("listening on"), "it is said too early: {}", run.stderr);
}

#[test]
fn an_address_that_is_not_this_machines_cannot_be_listened_on() {
    assert_fails(&["echo", "--listen", "192.0.2.1:0"], 1, 1, "192.0.2.1:0");
    assert_fails(&["echo", "--listen", "unix:/no/such/folder/socket"], 1, 1, "/no/such/folder/socket");
}

#[test]
fn what_is_not_an_address_is_a_usage_error() {
    for address in ["host:port", "127.0.0.1:99999", "::1:80", "[::1", "unix:", "a b:1"] {
        assert_usage(&["proxy", "--listen", "127.0.0.1:0", "--upstream", address], address);
        assert_usage(&["echo", "--listen", address], address);
        assert_usage(&["echo", &format!("--listen={address}")], address);
    }
}

#[test]
fn what_is_not_a_value_is_a_usage_error() {
    for (flag, value) in [
        ("--idle-timeout", "10 parsecs"),
        ("--drain-timeout", "soon"),
        ("--busy-poll", "maybe"),
        ("--max-sessions", "many"),
        ("--max-per-source", "-1"),
        ("--backlog", "1e3"),
        ("--log", "xml"),
        ("--dump", "all"),
        ("--splice", "perhaps"),
    ] {
        assert_usage(&["echo", flag, value], value);
    }
    assert_usage(&["proxy", "--connect-timeout", "-1s"], "-1s");
    for resolve in ["x", "x:80", "x:80:", "x:eighty:127.0.0.1", "x:80:127.0.0.256"] {
        assert_usage(&["proxy", "--listen", "127.0.0.1:0", "--resolve", resolve], resolve);
    }
}

#[test]
fn unknown_words_are_usage_errors() {
    assert_usage(&["echo", "--no-such-flag"], "--no-such-flag");
    assert_usage(&["echo", "--no-such-flag=1"], "--no-such-flag");
    assert_usage(&["no-such-mode"], "no-such-mode");
    assert_usage(&["echo", "superfluous"], "superfluous");
    assert_usage(&["echo", "--listen"], "--listen");
    let run = run_binary(&[]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
}

#[test]
fn help_goes_to_standard_output_and_ends_in_examples() {
    for arguments in [
        &["--help"][..],
        &["echo", "--help"],
        &["proxy", "--help"],
        &["client", "--help"],
        &["origin", "--help"],
    ] {
        let run = run_binary(arguments);
        assert_eq!(run.code, Some(0), "{arguments:?}: {}", run.stderr);
        assert!(run.stdout.to_lowercase().contains("example"), "{arguments:?}: {}", run.stdout);
        // A proxy has more options than all others; of the program, each command and each topic has a line.
        let most = match arguments[0] {
            "proxy" => 72,
            "--help" => 70,
            _ => 60,
        };
        assert!(run.stdout.lines().count() <= most, "{arguments:?} does not fit a screen");
        assert!(run.stdout.lines().all(|line| line.chars().count() <= 80), "{arguments:?}: {}", run.stdout);
    }
}

#[test]
fn a_value_may_follow_its_flag_with_a_space_or_an_equals_sign() {
    let with_spaces =
        ["--listen", "127.0.0.1:0", "--log", "json", "--idle-timeout", "1h", "--max-sessions", "10"];
    let with_signs = ["--listen=127.0.0.1:0", "--log=json", "--idle-timeout=1h", "--max-sessions=10"];
    for flags in [&with_spaces[..], &with_signs] {
        let server = Server::echo(flags);
        exchange(&mut server.connect(), b"hello");
    }
}

#[test]
fn the_start_line_names_the_real_address_and_what_is_done_there() {
    let server = Server::echo(&[]);
    assert_ne!(server.address().port(), 0);
    let upstream = peer::echoes();
    let server = Server::proxy(upstream.address, &[]);
    let wanted = format!("listening on {}, proxying to {}", server.address(), upstream.address);
    assert_eq!(server.errors.all(), [wanted]);
}

#[test]
fn several_ports_come_from_one_command() {
    let (first, second) = (peer::echoes(), peer::speaks_and_closes(b"bye".to_vec()));
    let pairs = [&first, &second].map(|upstream| format!("127.0.0.1:0={}", upstream.address));
    let mut command = binary();
    command.arg("proxy").args(&pairs).args(["--control", "off"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut program = Program::start(&mut command);
    let errors = Lines::of(program.stderr.take().unwrap());
    let lines = within(LIMIT, "both start lines", || Some(errors.all()).filter(|lines| lines.len() == 2));
    let address = |line: &str, upstream: SocketAddr| -> SocketAddr {
        let (address, to) = line.strip_prefix("listening on ").unwrap().split_once(", ").unwrap();
        assert_eq!(to, format!("proxying to {upstream}"));
        address.parse().unwrap()
    };
    exchange(&mut connect(address(&lines[0], first.address)), b"to the first");
    assert_eq!(read_exactly(&mut connect(address(&lines[1], second.address)), 3), b"bye");
}

#[test]
fn the_start_says_what_was_chosen_for_the_user_and_what_came_from_the_environment() {
    let mut command = binary();
    command.args(["proxy", "--listen", "127.0.0.1:0", "--control", "off"]).env("SWITCHBOARD_LOG", "off");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut program = Program::start(&mut command);
    let errors = Lines::of(program.stderr.take().unwrap());
    let lines = within(LIMIT, "the start lines", || Some(errors.all()).filter(|lines| lines.len() == 3));
    assert_eq!(lines[0], "from the environment: SWITCHBOARD_LOG=off");
    assert!(lines[1].contains("www.google.com:80 is the default"), "{lines:?}");
    assert!(lines[2].ends_with("proxying to www.google.com:80"), "{lines:?}");
}

#[test]
fn a_bad_value_in_the_environment_is_a_usage_error() {
    let mut command = binary();
    command.args(["echo"]).env("SWITCHBOARD_MAX_SESSIONS", "many");
    let output = program::run(command, b"");
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("switchboard: SWITCHBOARD_MAX_SESSIONS cannot be 'many'"), "{stderr}");
}

#[test]
fn the_version_names_the_commit_or_nothing() {
    let stdout = run_binary(&["--version"]).stdout;
    let version = env!("CARGO_PKG_VERSION");
    let rest = stdout.trim_end().strip_prefix(&format!("switchboard {version}")).unwrap();
    // Outside a checkout there is none.
    if let Some(commit) = rest.strip_prefix(" (") {
        let commit = commit.strip_suffix(')').unwrap().trim_end_matches(", changed");
        let (hash, date) = commit.split_once(' ').unwrap();
        assert!(hash.len() >= 10 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{stdout}");
        assert!(date.len() == 10 && date.starts_with("20"), "{stdout}");
    } else {
        assert_eq!(rest, "");
    }
}

#[test]
fn a_terminal_that_shows_only_ascii_gets_only_ascii() {
    let server = Server::echo(&[]);
    let target = format!("tcp://{}", server.address());
    for variables in [[("LC_ALL", "C"), ("TERM", "xterm")], [("LC_ALL", "C.UTF-8"), ("TERM", "vt100")]] {
        let mut command = binary();
        command.args(["load", &target, "--requests", "50"]).envs(variables);
        let output = program::run(command, b"");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.is_ascii() && text.contains(" us") && text.contains('#'), "{text}");
        assert!(output.stderr.is_ascii());
    }
    let mut command = binary();
    command.args(["load", &target, "--requests", "50"]).envs([("LC_ALL", "C.UTF-8"), ("TERM", "xterm")]);
    let text = String::from_utf8(program::run(command, b"").stdout).unwrap();
    assert!(text.contains("µs") && text.contains('█'), "{text}");
}

#[test]
fn one_line_names_every_listener_beyond_loopback() {
    const EXPOSED: &str = "reachable from other machines";
    for flags in [
        &["--listen", "0.0.0.0:0"][..],
        &["--listen", ":0"],
        &["--listen", "127.0.0.1:0", "--metrics", "0.0.0.0:0"],
        &["--listen", "0.0.0.0:0", "--listen", "127.0.0.1:0", "--listen", ":0", "--metrics", ":0"],
    ] {
        let server = Server::echo(flags);
        let lines = within(LIMIT, "the line", || {
            let lines = server.errors.all();
            lines.iter().any(|line| line.contains(EXPOSED)).then_some(lines)
        });
        let (exposed, others): (Vec<&String>, Vec<&String>) =
            lines.iter().partition(|line| line.contains(EXPOSED));
        assert_eq!(exposed.len(), 1, "{lines:?}");
        for line in others {
            // `listening on ADDRESS, …` or `metrics on ADDRESS`.
            let address = line.split_once(" on ").unwrap().1.split(',').next().unwrap();
            assert_eq!(exposed[0].contains(address), !address.starts_with("127."), "{lines:?}");
        }
    }
}

#[test]
fn every_interface_means_both_families() {
    let server = Server::echo(&["--listen", ":0"]);
    let (_, port) = server.addresses[0].rsplit_once(':').unwrap();
    let port: u16 = port.parse().unwrap();
    exchange(&mut crate::support::stream::connect(([127, 0, 0, 1], port).into()), b"over v4");
    let event = server.await_event("open", |_| true);
    assert!(event["client"].as_str().unwrap().starts_with("127.0.0.1:"), "a v4 client reads as v4: {event}");
    // Where the machine has no IPv6 there is nothing to show.
    if TcpListener::bind("[::1]:0").is_ok() {
        exchange(
            &mut crate::support::stream::connect((std::net::Ipv6Addr::LOCALHOST, port).into()),
            b"over v6",
        );
    }
}

#[test]
fn a_proxy_to_itself_is_refused_at_start() {
    let port = port::unused().port();
    let address = format!("127.0.0.1:{port}");
    let itself = [("--listen", address.as_str()), ("--upstream", address.as_str())];
    for listen in [address.clone(), port.to_string(), format!("0.0.0.0:{port}"), format!(":{port}")] {
        let arguments = ["proxy", "--listen", &listen, itself[1].0, itself[1].1];
        let run = run_binary(&arguments);
        assert!(matches!(run.code, Some(1 | 2)), "{arguments:?}: {:?}", run.code);
        assert!(run.stderr.contains(&address) && !run.stderr.contains("listening on"), "{}", run.stderr);
    }
}

#[test]
fn a_loop_that_shows_only_later_does_not_eat_the_descriptors() {
    // Only resolving it tells that this name, in capitals, leads to the listener.
    let port = port::unused().port();
    let listen = format!("127.0.0.1:{port}");
    let server = Server::proxy(format!("LOCALHOST:{port}"), &["--listen", &listen]);
    let before = server.process().descriptors().len();
    let mut client = server.connect();
    assert_eq!(read_to_end(&mut client).end, End::Reset);
    server.await_closes(1);
    assert!(server.process().descriptors().len() < before + 50);
    assert!(server.events().iter().filter(|event| event["event"] == "open").count() < 50);
}
