//! What toxiproxy's own tests check of connections, with their numbers (its `toxics/*_test.go`, `link_test.go`, `proxy_test.go`,
//! `scripts/test-e2e`). Times have their lower bounds; the upper ones are of a machine that is busy with other things.

use crate::support::{
    api::Api,
    server::Server,
    stream::{End, connect, read_exactly, read_to_end},
};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// What a busy machine may add.
const BUSY: Duration = Duration::from_secs(2);

/// The API, with a proxy `p` of a server that echoes.
struct Ground {
    api: Api,
    _echo: Server,
    address: SocketAddr,
}

impl Ground {
    fn new() -> Ground {
        let (api, echo) = (Api::start(&["--log", "off"]), Server::echo(&[]));
        let address = api.proxy("p", echo.address());
        Ground { api, _echo: echo, address }
    }

    fn add(&self, toxic: Value) {
        self.api.post("/proxies/p/toxics", toxic);
    }

    fn remove(&self, name: &str) {
        assert_eq!(self.api.call("DELETE", &format!("/proxies/p/toxics/{name}"), "").status, 204);
    }

    fn client(&self) -> TcpStream {
        connect(self.address)
    }
}

fn latency(name: &str, stream: &str, ms: u64) -> Value {
    json!({"type": "latency", "name": name, "stream": stream, "attributes": {"latency": ms}})
}

/// How long `bytes` take there and back.
fn round_trip(client: &mut TcpStream, bytes: &[u8]) -> Duration {
    let begin = Instant::now();
    client.write_all(bytes).unwrap();
    assert!(read_exactly(client, bytes.len()) == bytes);
    begin.elapsed()
}

#[test]
fn latency_up_and_down_and_both_ways_delays_a_whole_message() {
    let message: Vec<u8> = (0..32 * 1024).map(|at| at as u8).collect();
    for (up, down) in [(0, 0), (100, 0), (0, 100), (100, 100), (1000, 0), (0, 1000)] {
        let ground = Ground::new();
        ground.add(latency("up", "upstream", up));
        ground.add(latency("down", "downstream", down));
        let took = round_trip(&mut ground.client(), &message);
        let least = Duration::from_millis(up + down);
        assert!((least..least + BUSY).contains(&took), "{up} {down}: {took:?}");
    }
}

#[test]
fn five_latencies_add_up() {
    let ground = Ground::new();
    (1..=5).for_each(|number| ground.add(latency(&format!("l{number}"), "upstream", 200)));
    let took = round_trip(&mut ground.client(), b"hello");
    assert!((Duration::from_secs(1)..Duration::from_secs(1) + BUSY).contains(&took), "{took:?}");
}

#[test]
fn latency_costs_no_rate() {
    let ground = Ground::new();
    ground.add(latency("l", "upstream", 100));
    let took = round_trip(&mut ground.client(), &vec![7; 1_200_000]);
    // A pause for each of 37 pieces of 32 KiB would take 3.7 s.
    assert!(took < Duration::from_millis(3000), "{took:?}");
}

#[test]
fn sessions_that_begin_and_end_while_a_latency_comes_and_goes_lose_nothing() {
    let ground = Ground::new();
    for _ in 0..200 {
        ground.add(latency("l", "upstream", 10));
        let mut client = ground.client();
        client.write_all(b"hello").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        ground.remove("l");
        let received = read_to_end(&mut client);
        assert_eq!((&received.bytes[..], received.end), (&b"hello"[..], End::Fin));
    }
}

#[test]
fn bandwidth_lets_480_kilobytes_pass_in_480_milliseconds() {
    let ground = Ground::new();
    ground.add(json!({"type": "bandwidth", "stream": "upstream", "attributes": {"rate": 1000}}));
    let took = round_trip(&mut ground.client(), &vec![7; 480_000]);
    // The burst is 10 ms' worth.
    let least = Duration::from_millis(470);
    assert!((least..least + BUSY).contains(&took), "{took:?}");
}

#[test]
fn slices_lose_and_reorder_nothing() {
    let ground = Ground::new();
    let sizes = |average: u64, variation: u64| {
        json!({"type": "slicer", "name": "s", "stream": "upstream",
               "attributes": {"average_size": average, "size_variation": variation, "delay": 10}})
    };
    for (average, variation, bytes) in [(1024, 512, 480_000), (1, 0, 24)] {
        ground.add(sizes(average, variation));
        let message: Vec<u8> = (0..bytes).map(|at: usize| (at / 7) as u8).collect();
        round_trip(&mut ground.client(), &message);
        ground.remove("s");
    }
}

#[test]
fn a_limit_of_100_bytes_is_exact_however_they_come() {
    let ground = Ground::new();
    ground.add(json!({"type": "limit_data", "name": "l", "attributes": {"bytes": 100}}));
    for (pieces, passed) in
        [(&[50, 50][..], 100), (&[100], 100), (&[150], 100), (&[25, 25, 25, 25], 100), (&[90, 20], 100)]
    {
        let mut client = ground.client();
        for piece in pieces {
            client.write_all(&vec![7; *piece]).unwrap();
        }
        let received = read_to_end(&mut client);
        assert_eq!((received.bytes.len(), received.end), (passed, End::Fin), "{pieces:?}");
    }
    // What it has counted stays over an update.
    let mut client = ground.client();
    round_trip(&mut client, &[7; 90]);
    ground.api.post("/proxies/p/toxics/l", json!({"attributes": {"bytes": 100}}));
    client.write_all(&[7; 20]).unwrap();
    let received = read_to_end(&mut client);
    assert_eq!((received.bytes.len(), received.end), (10, End::Fin));
    ground.api.post("/proxies/p/toxics/l", json!({"attributes": {"bytes": 0}}));
    let mut client = ground.client();
    client.write_all(b"x").unwrap();
    let received = read_to_end(&mut client);
    assert_eq!((received.bytes.len(), received.end), (0, End::Fin));
}

#[test]
fn a_reset_comes_after_its_timeout_in_either_stream() {
    for stream in ["upstream", "downstream"] {
        for ms in [0, 100] {
            let ground = Ground::new();
            ground.add(json!({"type": "reset_peer", "stream": stream, "attributes": {"timeout": ms}}));
            let (begin, mut client) = (Instant::now(), ground.client());
            // It may be here before that is written.
            let is_reset = client.write_all(b"hello").is_err() || read_to_end(&mut client).end == End::Reset;
            assert!(is_reset, "{stream} {ms}");
            assert!(begin.elapsed() >= Duration::from_millis(ms), "{stream} {ms}");
        }
    }
}

#[test]
fn toxicity_decides_whether_a_timeout_ends_a_session() {
    let ground = Ground::new();
    let toxic = |toxicity: f64| json!({"type": "timeout", "name": "t", "toxicity": toxicity, "attributes": {"timeout": 100}});
    ground.add(toxic(0.0));
    round_trip(&mut ground.client(), b"through");
    ground.remove("t");
    ground.add(toxic(1.0));
    let (begin, mut client) = (Instant::now(), ground.client());
    client.write_all(b"swallowed").unwrap();
    let received = read_to_end(&mut client);
    assert_eq!((received.bytes.len(), received.end), (0, End::Fin));
    assert!(begin.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_latency_in_the_way_of_a_timeout_is_removed_at_once() {
    let ground = Ground::new();
    ground.add(latency("l", "upstream", 1000));
    ground.add(json!({"type": "timeout", "name": "t", "stream": "upstream"}));
    let mut client = ground.client();
    client.write_all(b"swallowed").unwrap();
    let begin = Instant::now();
    ground.remove("l");
    ground.remove("t");
    assert_eq!(read_to_end(&mut client).end, End::Fin);
    assert!(begin.elapsed() < Duration::from_secs(1) + BUSY);
}

#[test]
fn no_record_is_lost_while_a_latency_of_a_second_comes_and_goes() {
    const RECORDS: u16 = u16::MAX;
    let ground = Ground::new();
    let client = ground.client();
    let mut writer = client.try_clone().unwrap();
    let sends = thread::spawn(move || {
        for number in 0..RECORDS {
            writer.write_all(&number.to_be_bytes()).unwrap();
        }
    });
    let mut reader = client;
    let reads = thread::spawn(move || {
        let mut record = [0; 2];
        for number in 0..RECORDS {
            reader.read_exact(&mut record).unwrap();
            assert_eq!(u16::from_be_bytes(record), number);
        }
    });
    while !reads.is_finished() {
        ground.add(latency("l", "upstream", 1000));
        ground.remove("l");
    }
    sends.join().unwrap();
    reads.join().unwrap();
}

#[test]
fn a_session_outlives_noops_that_come_and_go_and_resets() {
    let ground = Ground::new();
    let mut client = ground.client();
    for round in 0..100 {
        ground.add(json!({"type": "noop", "name": "n", "stream": "upstream"}));
        ground.add(json!({"type": "noop", "name": "m"}));
        round_trip(&mut client, b"hello");
        ground.remove("n");
        if round % 2 == 0 {
            ground.remove("m");
        } else {
            assert_eq!(ground.api.call("POST", "/reset", "").status, 204);
        }
        round_trip(&mut client, b"hello");
    }
}

#[test]
fn six_toxics_come_change_and_go_under_load() {
    let ground = Ground::new();
    let toxics = [
        json!({"type": "latency", "name": "t", "attributes": {"latency": 5, "jitter": 2}}),
        json!({"type": "bandwidth", "name": "t", "attributes": {"rate": 100_000}}),
        json!({"type": "slow_close", "name": "t", "attributes": {"delay": 5}}),
        json!({"type": "slicer", "name": "t", "attributes": {"average_size": 500, "size_variation": 100}}),
        json!({"type": "noop", "name": "t"}),
        json!({"type": "limit_data", "name": "t", "toxicity": 0, "attributes": {"bytes": 10}}),
    ];
    thread::scope(|scope| {
        let loads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = ground.client();
                    (0..100).for_each(|_| _ = round_trip(&mut client, &[7; 3000]));
                })
            })
            .collect();
        while loads.iter().any(|load| !load.is_finished()) {
            for toxic in &toxics {
                ground.add(toxic.clone());
                let change = json!({"attributes": toxic["attributes"]});
                assert_eq!(ground.api.call("PATCH", "/proxies/p/toxics/t", change).status, 200);
                ground.remove("t");
            }
        }
    });
}
