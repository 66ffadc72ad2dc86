//! Taps of sessions that are not there yet, of many, and what happens beside their bytes; and the events that are followed.

use super::item;
use crate::support::{
    fake::peer,
    operator::{Operated, Talk},
    stream::{exchange, read_to_end, reset},
    wait::{LIMIT, within},
};
use serde_json::Value;
use std::{io::Write, net::Shutdown};

/// A request whose answer has no begin of its own: waits until the server has it.
fn ask(operated: &Operated, request: &str) -> Talk {
    let mut talk = operated.talk();
    talk.say(request);
    // The server reads what one connection sends and what another asks in the order in which they come to it.
    operated.json(&["stats"]);
    talk
}

/// What is told until the tap is over, as short words.
fn told(talk: &mut Talk) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let mut told = Vec::new();
    loop {
        let line = talk.line().expect("the tap has an end");
        if line["ok"] == true {
            return told;
        }
        let item = &line["item"];
        told.push(match item {
            _ if item["attached"].is_u64() => "attached".to_owned(),
            _ if item["mark"].is_string() => format!("{} {}", text(&item["mark"]), text(&item["from"])),
            _ if item["hex"].is_string() => format!("{} {}", text(&item["from"]), text(&item["hex"])),
            _ if item["ended"].is_string() => "ended".to_owned(),
            _ => panic!("{item}"),
        });
    }
}

#[test]
fn the_next_session_is_shown_from_its_first_byte_with_all_that_happens_to_it() {
    let upstream = peer::echoes();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut before = operated.server.connect();
    exchange(&mut before, b"before");
    let mut talk = ask(&operated, r#"{"command":"tap","next":true,"marks":true}"#);
    let mut client = operated.server.connect();
    exchange(&mut client, b"a");
    exchange(&mut before, b"not shown");
    client.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut client);
    // Not the one after it.
    exchange(&mut operated.server.connect(), b"nor this");
    let told = told(&mut talk);
    let at = |wanted: &str| {
        told.iter().position(|one| one == wanted).unwrap_or_else(|| panic!("{wanted}: {told:?}"))
    };
    assert_eq!(told[..2], ["attached", "open client"]);
    for (first, then) in [
        ("dial upstream", "first_byte upstream"),
        ("first_byte client", "client 61"),
        ("client 61", "fin client"),
        ("first_byte upstream", "upstream 61"),
        ("upstream 61", "fin upstream"),
        ("fin client", "ended"),
    ] {
        assert!(at(first) < at(then), "{first} before {then}: {told:?}");
    }
    assert_eq!(told.len(), 10, "{told:?}");
}

#[test]
fn a_reset_is_shown_with_its_side_and_what_happened_before_the_tap_with_its_time() {
    let upstream = peer::takes_all();
    let operated = Operated::proxy(upstream.address, &[]);
    let mut client = operated.server.connect();
    // Else its first byte may come before the dialling is over.
    operated.server.await_event("connect", |_| true);
    client.write_all(b"before").unwrap();
    within(LIMIT, "it is there", || (operated.only_session()["client_bytes"] == 6).then_some(()));
    let mut talk = operated.talk();
    talk.say(r#"{"command":"tap","session":1,"marks":true}"#);
    assert_eq!(item(&mut talk)["attached"], 1);
    let past = [item(&mut talk), item(&mut talk), item(&mut talk)];
    assert_eq!(past.each_ref().map(|mark| mark["mark"].clone()), ["open", "dial", "first_byte"]);
    let about = past[1]["about"].as_str().unwrap();
    assert!(about.starts_with(&format!("{} in ", upstream.address)), "{about}");
    let after = past.map(|mark| mark["after_us"].as_u64().unwrap());
    assert!(after[0] == 0 && after.is_sorted(), "{after:?}");
    reset(client);
    let gone = item(&mut talk);
    assert_eq!((&gone["mark"], &gone["from"]), (&"reset".into(), &"client".into()), "{gone}");
    assert!(item(&mut talk)["ended"].as_str().unwrap().starts_with("client reset"));
}

#[test]
fn all_sessions_are_shown_those_that_are_there_and_those_that_come() {
    let operated = Operated::start("echo", &[]);
    let mut before = ask(&operated, r#"{"command":"tap","all":true}"#);
    let mut first = operated.server.connect();
    exchange(&mut first, b"1");
    let mut all = operated.talk();
    all.say(r#"{"command":"tap","all":true}"#);
    assert_eq!(item(&mut all)["attached"], 1);
    let mut second = operated.server.connect();
    exchange(&mut second, b"2");
    let seen = |talk: &mut Talk, count: usize| -> Vec<(u64, String)> {
        let pieces = (0..count).map(|_| item(talk));
        let pieces = pieces.filter(|item| item["hex"].is_string());
        pieces.map(|item| (item["session"].as_u64().unwrap(), item["hex"].as_str().unwrap().into())).collect()
    };
    assert_eq!(seen(&mut before, 4), [(1, "31".into()), (2, "32".into())]);
    assert_eq!(seen(&mut all, 2), [(2, "32".into())]);
    // A line ends it, and every tap is off.
    for mut talk in [before, all] {
        talk.say("");
        assert_eq!(talk.line().unwrap()["ok"], true);
    }
    within(LIMIT, "the taps are off", || {
        ["1", "2"].iter().all(|id| operated.json(&["show", id])[0]["taps"] == 0).then_some(())
    });
}

#[test]
fn several_sessions_are_shown_by_their_numbers_and_only_clients_of_a_network() {
    let operated = Operated::start("echo", &[]);
    let mut clients: Vec<_> = (0..3).map(|_| operated.server.connect()).collect();
    clients.iter_mut().for_each(|client| exchange(client, b"x"));
    let mut some = operated.talk();
    some.say(r#"{"command":"tap","sessions":[1,3]}"#);
    let mut attached = [item(&mut some), item(&mut some)].map(|item| item["attached"].as_u64());
    attached.sort_unstable();
    assert_eq!(attached, [Some(1), Some(3)]);
    let mut none = ask(&operated, r#"{"command":"tap","all":true,"clients":"10.0.0.0/8"}"#);
    clients.iter_mut().for_each(|client| exchange(client, b"y"));
    let mut seen = [item(&mut some), item(&mut some)].map(|item| item["session"].as_u64());
    seen.sort_unstable();
    assert_eq!(seen, [Some(1), Some(3)]);
    none.say("");
    assert_eq!(none.line().unwrap()["ok"], true, "it was shown nothing");
    for (request, why) in [
        (r#"{"command":"tap"}"#, "missing"),
        (r#"{"command":"tap","sessions":[1,9]}"#, "there is no session 9"),
    ] {
        let mut talk = operated.talk();
        talk.say(request);
        assert!(talk.last()["error"].as_str().unwrap().contains(why), "{request}");
    }
}

#[test]
fn events_are_followed_as_the_log_tells_them_until_the_server_ends() {
    let upstream = peer::echoes();
    let mut operated = Operated::proxy(upstream.address, &[]);
    let mut events = ask(&operated, r#"{"command":"events"}"#);
    let mut client = operated.server.connect();
    exchange(&mut client, b"hello");
    client.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut client);
    let followed = [item(&mut events), item(&mut events), item(&mut events)];
    assert_eq!(followed.each_ref().map(|event| event["event"].clone()), ["open", "connect", "close"]);
    let [open, _, mut close] = followed;
    let line = open["line"].as_str().unwrap();
    assert!(line.contains("#1 open proxy 127.0.0.1:"), "{line}");
    close.as_object_mut().unwrap().remove("line");
    let mut logged = operated.server.await_closes(1).remove(0);
    // Each is told at its own moment.
    for told in [&mut close, &mut logged] {
        told.as_object_mut().unwrap().remove("ts");
    }
    assert_eq!(close, logged);
    let code = operated.server.stop();
    assert_eq!((events.line().unwrap()["ok"].clone(), code), (true.into(), 0), "it ends with the server");
}
