//! The totals, compared with what clients and an upstream counted themselves.

use crate::support::{
    fake::{Fake, nothing},
    openmetrics::{Exposition, Labels},
    operator::{Operated, Talk},
    pattern::pattern,
    scrape,
    stream::{self, End, Received, read_exactly, read_to_end, reset},
    wait::{LIMIT, within},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::Write,
    net::{Shutdown, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// The test machine has other things to do; nothing depends on it.
const BETWEEN_SCRAPES: Duration = Duration::from_millis(5);
const CLIENTS: u64 = 8;
const SESSIONS_A_CLIENT: u64 = 40;
/// `how`, the length of the request and that of the reply: one byte and two words of four.
const HEAD_BYTES: usize = 9;

/// What one side counted of all sessions.
#[derive(Default)]
struct Books {
    sent: AtomicU64,
    received: AtomicU64,
}

/// How a session goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    /// The client ends its stream; the reply comes after that.
    HalfClose,
    /// The upstream replies and ends its stream before the client does.
    UpstreamFirst,
    /// The upstream resets once the client says, with one more byte, that it has the reply.
    UpstreamReset,
    /// The client resets after the reply.
    ClientReset,
}

const WAYS: [How; 4] = [How::HalfClose, How::UpstreamFirst, How::UpstreamReset, How::ClientReset];

/// The upstream: does as each request's head says, and keeps its own books.
fn upstream(books: Arc<Books>) -> Fake {
    Fake::start(move |mut stream, _| {
        let head = read_exactly(&mut stream, HEAD_BYTES);
        let length = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let (how, reply) = (WAYS[usize::from(head[0])], pattern(7, length(5)));
        let mut received = HEAD_BYTES + read_exactly(&mut stream, length(1)).len();
        if how == How::HalfClose {
            received += read_to_end(&mut stream).bytes.len();
        }
        stream.write_all(&reply).unwrap();
        books.sent.fetch_add(reply.len() as u64, SeqCst);
        books.received.fetch_add(received as u64, SeqCst);
        match how {
            How::HalfClose => {}
            How::UpstreamFirst => {
                stream.shutdown(Shutdown::Write).unwrap();
                assert!(read_to_end(&mut stream).bytes.is_empty());
            }
            How::UpstreamReset => {
                read_exactly(&mut stream, 1);
                books.received.fetch_add(1, SeqCst);
                reset(stream);
            }
            How::ClientReset => assert_eq!(read_to_end(&mut stream).end, End::Reset),
        }
        nothing()
    })
}

/// One session, as `seed` has it; counts it in `books` and returns how it went.
fn visit(server: SocketAddr, seed: u64, books: &Books) -> How {
    let dice = pattern(seed, 8);
    let number = usize::from(dice[0]) % WAYS.len();
    let word = |at: usize| u32::from(dice[at]) << 8 | u32::from(dice[at + 1]);
    // One in eight is bulk.
    let scale = if dice[7].is_multiple_of(8) { 40 } else { 1 };
    let (request, reply) = (word(1) * scale, word(3) * scale);
    let mut stream = stream::connect(server);
    let mut sent = vec![u8::try_from(number).unwrap()];
    sent.extend(request.to_le_bytes());
    sent.extend(reply.to_le_bytes());
    sent.extend(pattern(seed, request as usize));
    stream.write_all(&sent).unwrap();
    let how = WAYS[number];
    if how == How::HalfClose {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    match how {
        How::ClientReset => {
            read_exactly(&mut stream, reply as usize);
            reset(stream);
        }
        How::UpstreamReset => {
            read_exactly(&mut stream, reply as usize);
            stream.write_all(b"!").unwrap();
            sent.push(b'!');
            assert_eq!(read_to_end(&mut stream), Received { bytes: Vec::new(), end: End::Reset });
        }
        How::HalfClose | How::UpstreamFirst => {
            let received = read_to_end(&mut stream);
            assert_eq!((received.bytes.len(), received.end), (reply as usize, End::Fin));
        }
    }
    books.sent.fetch_add(sent.len() as u64, SeqCst);
    books.received.fetch_add(reply.into(), SeqCst);
    how
}

/// Scrapes until told to stop: nothing falls, and every session is either alive or ended, never both or neither. What an
/// operator is told between two scrapes is between theirs.
fn watch(address: SocketAddr, mut talk: Talk, stop: &AtomicBool) {
    let mut before: BTreeMap<(String, Labels), f64> = BTreeMap::new();
    let mut last_reported = [0.0; GROWING.len()];
    while !stop.load(SeqCst) {
        let now = scrape::scrape(address);
        let scraped = GROWING.map(|(_, name)| now.sum(name));
        let stats = stats(&mut talk);
        let reported = GROWING.map(|(key, _)| stats[key].as_f64().unwrap());
        for (number, (key, name)) in GROWING.iter().enumerate() {
            assert!(last_reported[number] <= scraped[number], "{name} is behind {key}");
            assert!(scraped[number] <= reported[number], "{key} is behind {name}: {stats}");
        }
        last_reported = reported;
        for (name, labels, value) in now.growing() {
            let last = before.insert((name.to_owned(), labels.clone()), value).unwrap_or(0.0);
            assert!(value >= last, "{name} with {labels:?} fell from {last} to {value}");
        }
        balance(&now);
        thread::sleep(BETWEEN_SCRAPES);
    }
}

/// What only grows in the stats of an operator, and the metrics that add up to the same.
const GROWING: [(&str, &str); 2] =
    [("opened", "switchboard_sessions_opened_total"), ("ended", "switchboard_sessions_total")];

fn stats(talk: &mut Talk) -> Value {
    talk.say(r#"{"command":"stats"}"#);
    let stats = talk.line().unwrap()["item"].take();
    assert_eq!(talk.last()["ok"], true);
    stats
}

/// `ctl stats` says the same as the metrics, of a server where nothing moves any more.
fn operator_agrees(operated: &Operated, now: &Exposition) {
    let stats = operated.json(&["stats"]).remove(0);
    for (key, name) in GROWING {
        assert_eq!(stats[key].as_f64().unwrap(), now.sum(name), "{key} of {stats}");
    }
    assert_eq!(stats["live"].as_f64().unwrap(), now.sum("switchboard_sessions_active"));
    for direction in ["client", "upstream"] {
        let bytes = now.value("switchboard_bytes_total", &[("direction", direction)]);
        assert_eq!(stats[format!("{direction}_bytes")].as_f64().unwrap(), bytes, "{stats}");
    }
    let causes = stats["causes"].as_object().unwrap();
    assert!(causes.len() >= 3, "{stats}");
    for (cause, count) in causes {
        let labels = [("mode", "proxy"), ("cause", cause.as_str())];
        assert_eq!(count.as_f64().unwrap(), now.value("switchboard_sessions_total", &labels), "{cause}");
    }
}

fn balance(now: &Exposition) {
    let ended = now.sum("switchboard_sessions_total");
    assert_eq!(now.sum("switchboard_sessions_opened_total"), ended + now.sum("switchboard_sessions_active"));
    assert_eq!(now.sum("switchboard_session_duration_seconds_count"), ended);
}

fn totals_agree(splice: &str) {
    let (ours, theirs) = (Arc::<Books>::default(), Arc::<Books>::default());
    let upstream = upstream(theirs.clone());
    let operated = Operated::proxy(upstream.address, &["--metrics", "0", "--splice", splice]);
    let (address, proxy) = (scrape::address(&operated.server), operated.server.address());
    let stop = Arc::new(AtomicBool::new(false));
    let watching = thread::spawn({
        let (talk, stop) = (operated.talk(), stop.clone());
        move || watch(address, talk, &stop)
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let books = ours.clone();
            let seeds = (0..SESSIONS_A_CLIENT).map(move |number| 1 + client * SESSIONS_A_CLIENT + number);
            thread::spawn(move || seeds.map(|seed| visit(proxy, seed, &books)).collect::<Vec<How>>())
        })
        .collect();
    let ways: Vec<How> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let now = within(LIMIT, "every session is booked", || {
        let now = scrape::scrape(address);
        (now.sum("switchboard_sessions_total") >= ways.len() as f64).then_some(now)
    });
    stop.store(true, SeqCst);
    watching.join().unwrap();

    balance(&now);
    operator_agrees(&operated, &now);
    assert_eq!(now.value("switchboard_sessions_active", &[("mode", "proxy")]), 0.0);
    let count = |wanted: &[How]| ways.iter().filter(|how| wanted.contains(how)).count() as f64;
    for (cause, wanted) in [
        ("done", &[How::HalfClose, How::UpstreamFirst][..]),
        ("upstream_reset", &[How::UpstreamReset]),
        ("client_reset", &[How::ClientReset]),
        ("internal", &[]),
    ] {
        let booked = now.value("switchboard_sessions_total", &[("mode", "proxy"), ("cause", cause)]);
        assert_eq!(booked, count(wanted), "{cause}");
    }
    let bytes = |direction| now.value("switchboard_bytes_total", &[("direction", direction)]);
    let counted = |total: &AtomicU64| total.load(SeqCst) as f64;
    assert_eq!((bytes("client"), bytes("client")), (counted(&ours.sent), counted(&theirs.received)));
    assert_eq!((bytes("upstream"), bytes("upstream")), (counted(&ours.received), counted(&theirs.sent)));
    assert_eq!(now.value("switchboard_dial_duration_seconds_count", &[]), ways.len() as f64);
    let spliced = now.value("switchboard_pipes_open", &[]) > 0.0;
    assert_eq!(spliced, splice == "auto", "splice {splice} shows nothing");
}

#[test]
fn totals_agree_with_both_ends_where_bulk_is_spliced() {
    totals_agree("auto");
}

#[test]
fn totals_agree_with_both_ends_where_all_is_copied() {
    totals_agree("off");
}
