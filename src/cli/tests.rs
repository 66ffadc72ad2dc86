//! What a command line means, from its words to the settings.

mod any;
mod audit;
mod help;
mod load;
mod refused;

use super::*;
use crate::{
    control::place::Control,
    net::{
        dial::Destination,
        endpoint::Endpoint,
        options::{Congestion, Keepalive},
    },
    net::{dial::Override, options::KEEPALIVE},
    report::format::DUMP_LIMIT_BYTES,
    report::format::{Dump, Log},
    server::settings,
    session::{deadline::Deadlines, target::Role},
    tools::client::settings::{Client, Input, Target},
};
use std::time::Duration;

const COMMANDS: [&str; 5] = ["echo", "proxy", "client", "origin", "top"];

fn parse_words(words: &[&str]) -> Result<Parsed, Usage> {
    parse(words.iter().map(OsString::from))
}

/// Splits at spaces; a test with a space inside a value calls [`parse_words`].
fn parse_line(line: &str) -> Result<Parsed, Usage> {
    parse_words(&line.split_whitespace().collect::<Vec<_>>())
}

#[track_caller]
fn server(line: &str) -> Server {
    match parse_line(line) {
        Ok(Parsed::Run(Config::Server(server))) => *server,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn client(words: &[&str]) -> Client {
    match parse_words(words) {
        Ok(Parsed::Run(Config::Client(client))) => *client,
        other => panic!("{words:?}: {other:?}"),
    }
}

#[track_caller]
fn printed(line: &str) -> String {
    match parse_line(line) {
        Ok(Parsed::Print(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

#[track_caller]
fn assert_refused(words: &[&str], parts: &[&str]) {
    match parse_words(words) {
        Err(Usage(line)) => {
            for part in parts {
                assert!(line.contains(part), "{words:?}: {line:?} lacks {part:?}");
            }
        }
        Ok(parsed) => panic!("{words:?}: {parsed:?}"),
    }
}

#[test]
fn a_bare_command_means_the_defaults() {
    let echo = Server {
        listen: vec![Endpoint::loopback(8001)],
        role: Role::Echo,
        max_sessions: None,
        max_per_source: None,
        backlog: 4096,
        deadlines: Deadlines::default(),
        keepalive: Some(KEEPALIVE),
        congestion: Congestion::Auto,
        log: Log::Text,
        dump: Dump::Off,
        dump_limit: DUMP_LIMIT_BYTES,
        splice: true,
        busy_poll: settings::BUSY_POLL,
        control: Control::Default,
        remember: settings::REMEMBER,
        metrics: None,
    };
    let upstream = Destination { endpoint: "www.google.com:80".parse().unwrap(), overrides: [].into() };
    let proxy =
        Server { listen: vec![Endpoint::loopback(8002)], role: Role::Proxy(upstream.into()), ..echo.clone() };
    let origin = Server { listen: vec![Endpoint::loopback(8003)], role: Role::Origin, ..echo.clone() };
    assert_eq!(server("echo"), echo);
    assert_eq!(server("proxy"), proxy);
    assert_eq!(server("origin"), origin);
    let target = Target::Http {
        endpoint: "www.google.com:80".parse().unwrap(),
        host: "www.google.com".into(),
        path: "/".into(),
    };
    let expected = Client {
        target,
        via: None,
        body: false,
        input: Input::Stdin,
        parallel: 1,
        repeat: 1,
        connect_timeout: Some(Duration::from_secs(10)),
        idle_timeout: Some(Duration::from_secs(60)),
        overrides: [].into(),
    };
    assert_eq!(client(&["client"]), expected);
}

#[test]
fn every_option_of_a_server_reaches_its_setting() {
    let proxy = server(
        "proxy --listen :1 --listen unix:/a --upstream b --resolve b:80:::1,[::2],1.2.3.4 --max-sessions 2 \
         --max-per-source 3 --backlog 4 --connect-timeout 5ms --idle-timeout off --half-close-timeout 1m30s \
         --stall-timeout 7s --max-lifetime 8h --drain-timeout off --keepalive 9s/10s/11 --log json --dump hex \
         --dump-limit 12 --splice off --busy-poll off --metrics 13 \
         --control /run/a.sock --remember 13 --congestion cubic",
    );
    let addresses = ["::1", "::2", "1.2.3.4"].map(|address| address.parse().unwrap()).to_vec();
    let overrides = [Override { host: "b".into(), port: 80, addresses }].into();
    let expected = Server {
        listen: vec![":1".parse().unwrap(), "unix:/a".parse().unwrap()],
        role: Role::Proxy(Destination { endpoint: "b:80".parse().unwrap(), overrides }.into()),
        max_sessions: Some(2),
        max_per_source: Some(3),
        backlog: 4,
        deadlines: Deadlines {
            connect: Some(Duration::from_millis(5)),
            idle: None,
            half_close: Some(Duration::from_secs(90)),
            stall: Some(Duration::from_secs(7)),
            lifetime: Some(Duration::from_secs(8 * 3600)),
            drain: None,
        },
        keepalive: Some(Keepalive {
            idle: Duration::from_secs(9),
            interval: Duration::from_secs(10),
            probes: 11,
        }),
        congestion: "cubic".parse().unwrap(),
        log: Log::Json,
        dump: Dump::Hex,
        dump_limit: 12,
        splice: false,
        busy_poll: None,
        control: Control::At("/run/a.sock".into()),
        remember: 13,
        metrics: Some(Endpoint::loopback(13)),
    };
    assert_eq!(proxy, expected);
}

#[test]
fn every_option_of_a_client_reaches_its_setting() {
    let words = "client --via 9 --parallel 2 --repeat 3 --connect-timeout 4s --idle-timeout off --resolve a:1:::1 \
                 tcp://a:1 --file /f";
    let client = client(&words.split_whitespace().collect::<Vec<_>>());
    assert_eq!(client.target, Target::Tcp("a:1".parse().unwrap()));
    assert_eq!(client.via, Some(Endpoint::loopback(9)));
    assert_eq!((client.parallel, client.repeat), (2, 3));
    assert_eq!((client.connect_timeout, client.idle_timeout), (Some(Duration::from_secs(4)), None));
    assert_eq!(client.overrides[0].host, "a");
    assert_eq!(client.input, Input::File("/f".into()));
}

#[test]
fn a_value_may_follow_an_equals_sign() {
    assert_eq!(server("proxy --upstream=a:1 --log=json"), server("proxy --upstream a:1 --log json"));
    for text in ["a=b", "-x", "--body", "--", "", "=", "two words", "--help"] {
        let word = format!("--send={text}");
        assert_eq!(client(&["client", "tcp://a:1", &word]).input, Input::Text(text.into()), "{text}");
    }
    for text in ["a=b", "-x", "--x=y", "--", "", "-"] {
        let words = ["client", "--send", text, "tcp://a:1"];
        assert_eq!(client(&words).input, Input::Text(text.into()), "{text}");
    }
}

#[test]
fn what_follows_two_dashes_is_no_option() {
    let target = client(&["client", "--", "a/?b=c"]).target;
    assert!(matches!(target, Target::Http { path, .. } if path == "/?b=c"));
    assert_refused(&["client", "--", "--send=x"], &["target cannot be '--send=x'", "not a host name"]);
    assert_refused(&["echo", "--", "--help"], &["unexpected argument '--help'"]);
}

#[test]
fn the_last_of_equal_options_counts() {
    assert_eq!(server("echo --dump text --dump=hex").dump, Dump::Hex);
    assert_eq!(server("echo --listen 1 --listen 2").listen.len(), 2);
    assert!(client(&["client", "--body", "--body"]).body);
}

#[test]
fn help_names_as_a_target_is_a_host() {
    assert!(matches!(client(&["client", "help"]).target, Target::Http { host, .. } if host == "help"));
}
