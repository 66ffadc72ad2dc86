//! A load's options.

use super::*;
use crate::tools::load::settings::{Expect, Load, Message, Mode, TIMEOUT};

#[track_caller]
fn load(words: &str) -> Load {
    match parse_line(&format!("load {words}")) {
        Ok(Parsed::Run(Config::Load(load))) => *load,
        other => panic!("{words}: {other:?}"),
    }
}

#[test]
fn a_target_alone_means_the_defaults() {
    let expected = Load {
        target: Target::Tcp("a:1".parse().unwrap()),
        mode: Mode::Pingpong,
        message: Message::Pattern(64),
        expect: Expect::Echo,
        half_close: false,
        connections: Some(10),
        threads: 1,
        duration: Some(Duration::from_secs(10)),
        requests: None,
        rate: None,
        connect_rate: None,
        warm_up: Duration::ZERO,
        timeout: Some(TIMEOUT),
        json: false,
        html: None,
        overrides: [].into(),
    };
    assert_eq!(load("tcp://a:1"), expected);
    assert_eq!(load("tcp://a:1 --mode bulk").message, Message::Pattern(1 << 20));
    assert_eq!(load("tcp://a:1 --expect until-close").mode, Mode::Churn);
    assert_eq!(load("tcp://a:1 --requests 5").duration, None);
    assert!(matches!(load("a/b").target, Target::Http { path, .. } if path == "/b"));
    assert_eq!(load("unix:/a").target, Target::Tcp("unix:/a".parse().unwrap()));
}

#[test]
fn every_option_of_a_load_reaches_its_setting() {
    let expected = Load {
        target: Target::Tcp("a:1".parse().unwrap()),
        mode: Mode::Churn,
        message: Message::Text(b"PING\r\n".to_vec()),
        expect: Expect::Bytes(7),
        half_close: true,
        connections: Some(2),
        threads: 3,
        duration: Some(Duration::from_secs(4)),
        requests: Some(5),
        rate: Some(6),
        connect_rate: Some(7),
        warm_up: Duration::from_secs(8),
        timeout: None,
        json: true,
        html: Some("/h".into()),
        overrides: [Override { host: "a".into(), port: 1, addresses: vec!["::1".parse().unwrap()] }].into(),
    };
    let words = r"tcp://a:1 --mode churn --send PING\r\n --expect 7 --half-close -c 2 --threads 3 --duration 4s --requests 5 --rate 6 --connect-rate 7 --warmup 8s --timeout off --json --html /h --resolve a:1:::1";
    assert_eq!(load(words), expected);
    assert_eq!(load("tcp://a:1 --connections=max --duration off").connections, None);
    assert_eq!(load("tcp://a:1 --duration off --file /f").message, Message::File("/f".into()));
    assert_eq!(load("tcp://a:1 --duration off").duration, None);
    assert_eq!(load("tcp://a:1 --size 16k").message, Message::Pattern(16 << 10));
}
