//! `toxiproxy_rust` against `switchboard faults`, with traffic from the client's side.
//!
//!     switchboard-toxiproxy API ECHO CHECK      (ADDRESS:PORT of the API, of an echo, and the name of a check below)
//!
//! Each check has a proxy of its own, in front of the echo, and deletes it. What is to be late may not be early. The library
//! looks at no status: what it cannot do (reset_peer, an update, errors told apart) is for the others to check.
#![forbid(unsafe_code)]

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    process,
    time::{Duration, Instant},
};
use toxiproxy_rust::{
    client::Client,
    proxy::{Proxy, ProxyPack},
};

const LIMIT: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_millis(500);
const MS: fn(u64) -> Duration = Duration::from_millis;

struct Check {
    api: String,
    client: Client,
    echo: String,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [api, echo, name] = &arguments[..] else { panic!("API ECHO CHECK") };
    let check = Check { api: api.clone(), client: Client::new(api.as_str()), echo: echo.clone() };
    match name.as_str() {
        "proxies" => check.proxies(),
        "populate" => check.populate(),
        "toxics" => check.toxics(),
        "others" => check.others(),
        "latency" => check.latency(),
        "bandwidth" => check.bandwidth(),
        "timeout" => check.timeout(),
        "limit_data" => check.limit_data(),
        "slow_close" => check.slow_close(),
        "slicer" => check.slicer(),
        "half_close" => check.half_close(),
        "down" => check.down(),
        "reset" => check.reset(),
        "version" => check.version(),
        _ => panic!("there is no check {name}"),
    }
}

/// A proxy that is deleted when this is dropped.
struct Deleted<'a>(&'a Proxy);

impl Drop for Deleted<'_> {
    fn drop(&mut self) {
        let _ = self.0.delete();
    }
}

impl Check {
    fn pack(&self, name: &str, listen: &str) -> ProxyPack {
        ProxyPack::new(name.to_owned(), listen.to_owned(), self.echo.clone())
    }

    /// A proxy in front of the echo; deleted after `body`, however that ends.
    fn proxied(&self, body: impl FnOnce(&Proxy)) {
        let name = format!("rust-{}", process::id());
        let made = self.client.populate(vec![self.pack(&name, "127.0.0.1:0")]).unwrap();
        let proxy = Deleted(&made[0]);
        body(proxy.0);
    }

    fn proxies(&self) {
        self.proxied(|proxy| {
            let pack = &proxy.proxy_pack;
            assert!(
                pack.listen.starts_with("127.0.0.1:") && pack.enabled && pack.toxics.is_empty(),
                "{pack:?}"
            );
            let found = self.client.find_proxy(&pack.name).unwrap();
            assert_eq!((&found.proxy_pack.listen, &found.proxy_pack.upstream), (&pack.listen, &self.echo));
            assert!(self.client.all().unwrap().contains_key(&pack.name));
            echoed(&mut connect(proxy), &vec![7; 1 << 20]);
        });
        let gone = self.client.find_proxy(&format!("rust-{}", process::id()));
        assert!(gone.is_err(), "an error is no proxy");
    }

    fn populate(&self) {
        let names =
            |made: &[Proxy]| made.iter().map(|proxy| proxy.proxy_pack.name.clone()).collect::<Vec<_>>();
        let first = self
            .client
            .populate(vec![self.pack("two", "localhost:0"), self.pack("one", "127.0.0.1:0")])
            .unwrap();
        assert_eq!(names(&first), ["two", "one"], "in the order of the request");
        let listen = &first[0].proxy_pack.listen;
        let mut session = connect(&first[0]);
        let again = self.client.populate(vec![self.pack("two", listen)]).unwrap();
        assert_eq!(&again[0].proxy_pack.listen, listen);
        echoed(&mut session, b"an equal one keeps its sessions");
        assert!(self.client.populate(Vec::new()).unwrap().is_empty());
        first.iter().for_each(|proxy| proxy.delete().unwrap());
    }

    fn toxics(&self) {
        self.proxied(|proxy| {
            for stream in ["upstream", "downstream"].map(str::to_owned) {
                proxy
                    .with_latency(stream.clone(), 20, 5, 0.2)
                    .with_bandwidth(stream.clone(), 1000, 0.2)
                    .with_slow_close(stream.clone(), 10, 0.2)
                    .with_timeout(stream.clone(), 20, 0.2)
                    .with_slicer(stream.clone(), 100, 10, 5, 0.2)
                    .with_limit_data(stream, 4000, 0.2);
            }
            let toxics = proxy.toxics().unwrap();
            assert_eq!(toxics.len(), 12);
            assert!(
                toxics.iter().all(|toxic| toxic.toxicity == 0.2 && toxic.name.starts_with(&toxic.r#type))
            );
            assert_eq!((toxics[4].r#type.as_str(), toxics[4].attributes["average_size"]), ("slicer", 100));
            assert_eq!((toxics[6].stream.as_str(), toxics[6].attributes["jitter"]), ("downstream", 5));
            let listed = self.client.find_proxy(&proxy.proxy_pack.name).unwrap();
            assert_eq!(listed.proxy_pack.toxics.len(), 12);
            proxy.delete_all_toxics().unwrap();
            assert!(proxy.toxics().unwrap().is_empty());
        });
    }

    /// Kinds that it does not know, and extra fields, are listed all the same: every attribute is a u32.
    fn others(&self) {
        self.proxied(|proxy| {
            let kinds = [
                "stall",
                "cut",
                "corrupt",
                "hiccup",
                "window",
                "slow_open",
                "refuse",
                "noop",
                "reset_peer",
                "bandwidth",
            ];
            for kind in kinds {
                let toxic =
                    format!(r#"{{"type":"{kind}","toxicity":0,"attributes":{{"bytes":9}},"every":2,"clients":["192.0.2.0/24"]}}"#);
                self.post(&format!("/proxies/{}/toxics", proxy.proxy_pack.name), &toxic);
            }
            let toxics = proxy.toxics().unwrap();
            let listed: BTreeSet<&str> = toxics.iter().map(|toxic| toxic.r#type.as_str()).collect();
            assert_eq!(listed, BTreeSet::from(kinds));
            assert!(self.client.all().is_ok());
            proxy.delete_all_toxics().unwrap();
        });
    }

    /// Posts what the library cannot.
    fn post(&self, path: &str, body: &str) {
        let mut stream = TcpStream::connect(&self.api).unwrap();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{body}: {answer}");
    }

    /// The scoped form: `with_…` and `apply`, after which the toxics are gone.
    fn latency(&self) {
        self.proxied(|proxy| {
            let mut session = connect(proxy);
            takes(MS(0), MS(200), || echoed(&mut session, b"ping"));
            let applied = proxy.with_latency("downstream".into(), 200, 0, 1.0).apply(|| {
                takes(MS(200), LATE, || echoed(&mut session, b"ping"));
                takes(MS(200), LATE, || echoed(&mut connect(proxy), b"ping"));
            });
            applied.unwrap();
            takes(MS(0), MS(200), || echoed(&mut session, b"ping"));
            proxy
                .with_latency("downstream".into(), 100, 0, 1.0)
                .with_latency("upstream".into(), 100, 0, 1.0)
                .apply(|| takes(MS(200), LATE, || echoed(&mut session, b"ping")))
                .unwrap();
        });
    }

    fn bandwidth(&self) {
        self.proxied(|proxy| {
            // A burst of 10 ms may come at once.
            let limited = proxy.with_bandwidth("downstream".into(), 200, 1.0);
            limited
                .apply(|| takes(MS(475), LATE, || echoed(&mut connect(proxy), &vec![7; 100_000])))
                .unwrap();
        });
    }

    fn timeout(&self) {
        self.proxied(|proxy| {
            proxy.with_timeout("downstream".into(), 200, 1.0);
            let mut session = connect(proxy);
            takes(MS(200), LATE, || {
                session.write_all(b"swallowed").unwrap();
                assert_eq!(rest(&mut session), b"");
            });
        });
    }

    fn limit_data(&self) {
        self.proxied(|proxy| {
            proxy.with_limit_data("downstream".into(), 1000, 1.0);
            let mut session = connect(proxy);
            session.write_all(&[7; 5000]).unwrap();
            assert_eq!(rest(&mut session), [7; 1000]);
        });
    }

    fn slow_close(&self) {
        self.proxied(|proxy| {
            proxy.with_slow_close("downstream".into(), 300, 1.0);
            let mut session = connect(proxy);
            takes(MS(0), MS(250), || echoed(&mut session, b"ping"));
            takes(MS(300), LATE, || {
                session.shutdown(Shutdown::Write).unwrap();
                assert_eq!(rest(&mut session), b"");
            });
        });
    }

    fn slicer(&self) {
        self.proxied(|proxy| {
            // At least 100 slices, each followed by a millisecond.
            proxy.with_slicer("downstream".into(), 50, 0, 1000, 1.0);
            takes(MS(95), MS(2000), || echoed(&mut connect(proxy), &[7; 5000]));
        });
    }

    fn half_close(&self) {
        self.proxied(|proxy| {
            proxy.with_latency("upstream".into(), 50, 0, 1.0).with_bandwidth("downstream".into(), 1000, 1.0);
            let mut session = connect(proxy);
            session.write_all(&[7; 50_000]).unwrap();
            session.shutdown(Shutdown::Write).unwrap();
            assert_eq!(rest(&mut session), [7; 50_000]);
        });
    }

    fn down(&self) {
        self.proxied(|proxy| {
            let mut before = connect(proxy);
            echoed(&mut before, b"ping");
            let listen = &proxy.proxy_pack.listen;
            let done = proxy.with_down(|| {
                let error = TcpStream::connect(listen).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                assert_eq!(rest(&mut before), b"", "the session that was there ends");
            });
            done.unwrap();
            echoed(&mut connect(proxy), b"ping");
        });
    }

    fn reset(&self) {
        self.proxied(|proxy| {
            proxy.with_latency("downstream".into(), 5000, 0, 1.0).disable().unwrap();
            self.client.reset().unwrap();
            assert!(proxy.toxics().unwrap().is_empty());
            takes(MS(0), MS(2000), || echoed(&mut connect(proxy), b"ping"));
            proxy.with_limit_data("downstream".into(), 0, 1.0).disable().unwrap();
            let found = self.client.find_and_reset_proxy(&proxy.proxy_pack.name).unwrap();
            echoed(&mut connect(&found), b"ping");
        });
    }

    fn version(&self) {
        assert!(self.client.is_running());
        let version = self.client.version().unwrap();
        assert!(version.contains(r#""version":"2."#) || version.contains(r#""version": "2."#), "{version}");
    }
}

fn connect(proxy: &Proxy) -> TcpStream {
    let session = TcpStream::connect(&proxy.proxy_pack.listen).unwrap();
    session.set_nodelay(true).unwrap();
    session.set_read_timeout(Some(LIMIT)).unwrap();
    session
}

/// Sends while it reads: more than the buffers on the way may be under way.
fn echoed(session: &mut TcpStream, data: &[u8]) {
    let mut sender = session.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.write_all(data).unwrap());
        let mut received = vec![0; data.len()];
        session.read_exact(&mut received).unwrap();
        assert!(received == data);
    });
}

/// All that comes to the end of the stream; an error is a failure.
fn rest(session: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    session.read_to_end(&mut received).unwrap();
    received
}

fn takes(at_least: Duration, late: Duration, body: impl FnOnce()) {
    let begin = Instant::now();
    body();
    let took = begin.elapsed();
    println!("{took:?} for {at_least:?}");
    assert!(took >= at_least && took < at_least + late, "{took:?} for {at_least:?}");
}
