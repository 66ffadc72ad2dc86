//! What an upgrade hands on beside sockets: the proxies and toxics of the API, faults, and what they go on from.

use crate::{
    support::{
        api::{Api, read_answer},
        fake::peer,
        operator::{Operated, Talk},
        server::Server,
        stream::{connect, exchange, read_to_end},
        wait::{LIMIT, within},
    },
    upgrade::Successor,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

const TRY: Duration = Duration::from_millis(300);

fn connects(address: SocketAddr) -> Result<(), ErrorKind> {
    TcpStream::connect_timeout(&address, TRY).map(drop).map_err(|error| error.kind())
}

/// The lines that tell the seed.
fn seeds(server: &Server) -> Vec<String> {
    server.errors.all().into_iter().filter(|line| line.starts_with("seed ")).collect()
}

#[test]
fn the_api_goes_on_with_its_proxies_and_toxics() {
    let upstream = peer::echoes();
    let mut api = Api::start(&[]);
    let address = api.proxy("a", upstream.address);
    api.post("/proxies", json!({"name": "off", "upstream": "x", "listen": "localhost:0", "enabled": false}));
    api.proxy("stopped", "nonsense");
    api.post("/proxies/stopped", json!({"enabled": false}));
    let unix = tempfile::TempDir::new().unwrap();
    let path = format!("unix:{}", unix.path().join("a:b c").display());
    api.post("/proxies", json!({"name": "ü/:", "upstream": "[::1]:9", "listen": path}));
    let limit = json!({"type": "limit_data", "name": "once", "attributes": {"bytes": 3}, "count": 1});
    let slow = json!({"type": "latency", "name": "slow", "attributes": {"latency": 7}, "toxicity": 0.25,
        "clients": ["10.0.0.0/8"], "expires_ms": 3_600_000, "every": 3});
    for toxic in [limit, slow] {
        api.post("/proxies/a/toxics", toxic);
    }
    let mut cut = connect(address);
    cut.write_all(b"hello").unwrap();
    assert_eq!(read_to_end(&mut cut).bytes, b"hel");
    let before = api.get("/proxies");
    let mut pooled = api.connect();
    pooled.write_all(b"GET /version HTTP/1.1\r\n\r\n").unwrap();
    read_answer(&mut pooled);
    let mut live = connect(address);
    exchange(&mut live, b"live");
    api.server.signal(Signal::USR2);
    let first = Successor::of(&api.server, 1);
    assert_eq!(api.get("/proxies"), before);
    // The end of the old process there, so that its next request goes to the new one.
    assert_eq!(pooled.read(&mut [0]).unwrap(), 0);
    // One is hit by it, and it was before the upgrade.
    exchange(&mut connect(address), b"hello");
    exchange(&mut live, b"live still");
    drop(live);
    assert_eq!(api.server.await_exit(), 0);
    let made = api.proxy("new", upstream.address);
    exchange(&mut connect(made), b"hello");
    assert_eq!(api.call("DELETE", "/proxies/stopped", "").status, 204);
    let before = api.get("/proxies");
    first.signal(Signal::USR2);
    let second = Successor::of(&api.server, 2);
    assert_eq!(api.get("/proxies"), before);
    let seeds = seeds(&api.server);
    assert!(seeds.len() == 3 && seeds.iter().all(|seed| *seed == seeds[0]), "{seeds:?}");
    second.signal(Signal::TERM);
    second.await_end();
}

#[test]
fn no_change_that_the_api_confirms_is_lost_by_an_upgrade() {
    let api = Api::start(&[]);
    api.proxy("a", "127.0.0.1:9");
    let (is_over, address) = (Arc::new(AtomicBool::new(false)), api.address);
    let change = |number: usize| {
        let is_over = is_over.clone();
        thread::spawn(move || {
            let mut made = Vec::new();
            for count in (0..).take_while(|_| !is_over.load(Relaxed)) {
                let name = format!("{number}-{count}");
                let (path, body) = match number {
                    0 => ("/proxies", json!({"name": name, "upstream": "127.0.0.1:9"})),
                    _ => ("/proxies/a/toxics", json!({"name": name, "type": "noop", "stream": "upstream"})),
                };
                let body = body.to_string();
                let mut stream = connect(address);
                let request = format!("POST {path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                let mut status = [0; 12];
                // A connection that ends without an answer has changed nothing.
                let asked =
                    stream.write_all(request.as_bytes()).and_then(|()| stream.read_exact(&mut status));
                match asked.map(|()| status[9..].to_vec()).as_deref() {
                    Ok(b"200" | b"201") => made.push(name),
                    Ok(b"503") | Err(_) => {}
                    Ok(other) => panic!("{}", String::from_utf8_lossy(other)),
                }
                thread::sleep(Duration::from_millis(3));
            }
            made
        })
    };
    let changes: Vec<_> = (0..2).map(change).collect();
    thread::sleep(Duration::from_millis(100));
    api.server.signal(Signal::USR2);
    let first = Successor::of(&api.server, 1);
    thread::sleep(Duration::from_millis(100));
    first.signal(Signal::USR2);
    let _second = Successor::of(&api.server, 2);
    is_over.store(true, Relaxed);
    let made: Vec<Vec<String>> = changes.into_iter().map(|change| change.join().unwrap()).collect();
    let (proxies, toxics) = (api.get("/proxies"), api.get("/proxies/a/toxics"));
    assert!(made.iter().all(|made| made.len() > 5), "{made:?}");
    assert!(made[0].iter().all(|name| proxies[name]["enabled"] == true), "{made:?} {proxies}");
    let has = |name: &String| toxics.as_array().unwrap().iter().any(|toxic| toxic["name"] == **name);
    assert!(made[1].iter().all(has), "{made:?} {toxics}");
}

#[test]
fn a_flap_that_is_down_keeps_its_port() {
    let mut operated = Operated::start("echo", &["--threads", "2", "--drain-timeout", "60s"]);
    let address = operated.server.address();
    let mut live = operated.server.greeted(1).remove(0);
    // It cuts no session that has another end already.
    operated.fault("add flap down=1h up=1h --after 100ms");
    read_to_end(&mut live);
    assert_eq!(connects(address), Err(ErrorKind::ConnectionRefused));
    operated.server.signal(Signal::USR2);
    let successor = Successor::of(&operated.server, 1);
    assert_eq!(operated.server.await_exit(), 0);
    assert_eq!(connects(address), Err(ErrorKind::ConnectionRefused));
    assert_eq!(operated.faults().len(), 1);
    operated.fault("remove --all");
    exchange(&mut connect(address), b"by the successor");
    drop(successor);
}

#[test]
fn faults_of_a_file_and_of_operators_go_on() {
    let upstream = peer::echoes();
    let fault = |name: &str, bytes: usize, clients: &str| {
        format!(
            "[[listener.a.fault]]\nname = \"{name}\"\ntype = \"limit_data\"\nattributes = {{ bytes = {bytes} }}\n\
             count = 1\nclients = \"{clients}\"\n"
        )
    };
    let head = format!(
        "drain-timeout = \"60s\"\n[listener.a]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n",
        upstream.address
    );
    let mut operated =
        Operated::run(&format!("{head}{}{}", fault("kept", 2, "127.0.0.1"), fault("gone", 9, "10.0.0.1")), 1);
    let (address, file) = (operated.server.address(), operated.socket.with_file_name("file.toml"));
    let ask = || {
        let mut client = connect(address);
        client.write_all(b"hello").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        read_to_end(&mut client).bytes
    };
    operated.fault("add a noop --name own --from 10.0.0.0/8 --for 1h");
    assert_eq!(ask(), b"he");
    let mut live = operated.server.greeted(1).remove(0);
    let session = operated.only_session()["session"].clone();
    operated.fault(&format!("add --session {session} noop --name of-one"));
    let written = fs::read_to_string(&file).unwrap();
    fs::write(&file, written.replace(&fault("gone", 9, "10.0.0.1"), &fault("fresh", 3, "127.0.0.1")))
        .unwrap();
    operated.server.signal(Signal::USR2);
    let successor = Successor::of(&operated.server, 1);
    let pid = || Talk::connect(&operated.socket).greeting["pid"] == successor.0;
    within(LIMIT, "the successor has the control socket", || pid().then_some(()));
    let names: Vec<Value> = operated.faults().iter().map(|fault| fault["name"].clone()).collect();
    assert_eq!(names, ["kept", "own", "fresh"]);
    // What the file had before has hit its one session; what it has now has not.
    assert_eq!(ask(), b"hel");
    assert_eq!(ask(), b"hello");
    exchange(&mut live, b"live still");
    drop(live);
    assert_eq!(operated.server.await_exit(), 0);
}

#[test]
fn accept_stall_holds() {
    let mut operated = Operated::start("echo", &["--threads", "2", "--drain-timeout", "60s"]);
    let address = operated.server.address();
    let mut live = operated.server.greeted(1).remove(0);
    operated.fault("add accept_stall");
    let is_over = Arc::new(AtomicBool::new(false));
    let client = thread::spawn({
        let is_over = is_over.clone();
        let try_once = move || TcpStream::connect_timeout(&address, Duration::from_millis(5)).is_ok();
        move || (0..).take_while(|_| !is_over.load(Relaxed)).filter(|_| try_once()).count()
    });
    operated.server.signal(Signal::USR2);
    let successor = Successor::of(&operated.server, 1);
    exchange(&mut live, b"live still");
    drop(live);
    assert_eq!(operated.server.await_exit(), 0);
    (0..4).for_each(|_| assert_eq!(connects(address), Err(ErrorKind::TimedOut)));
    is_over.store(true, Relaxed);
    assert_eq!(client.join().unwrap(), 0);
    operated.fault("remove --all");
    exchange(&mut connect(address), b"hello");
    assert!(operated.faults().is_empty());
    operated.server.await_closes(2);
    let opened = operated.server.events().into_iter().filter(|event| event["event"] == "open").count();
    assert_eq!(opened, 2, "what filled the queues is no session");
    drop(successor);
}

#[test]
fn a_scenario_goes_on_where_it_was() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("scenario.json");
    let step =
        |at_ms: u64, name: &str| json!({"at_ms": at_ms, "add": {"name": name, "type": "noop"}, "proxy": "a"});
    fs::write(&file, json!([step(1, "one"), step(2_000, "two")]).to_string()).unwrap();
    let config = folder.path().join("proxies.json");
    fs::write(&config, json!([{"name": "a", "upstream": "127.0.0.1:9"}]).to_string()).unwrap();
    let api = Api::start(&["--config", config.to_str().unwrap(), "--scenario", file.to_str().unwrap()]);
    within(LIMIT, "the first step", || {
        (api.get("/proxies/a/toxics").as_array().unwrap().len() == 1).then_some(())
    });
    api.server.signal(Signal::USR2);
    let successor = Successor::of(&api.server, 1);
    within(LIMIT, "the second step", || {
        (api.get("/proxies/a/toxics").as_array().unwrap().len() == 2).then_some(())
    });
    let steps =
        || api.server.events().into_iter().filter(|event| event["event"] == "step").collect::<Vec<_>>();
    within(LIMIT, "both are told", || (steps().len() >= 2).then_some(()));
    let steps: Vec<_> =
        steps().into_iter().map(|step| (step["step"].clone(), step["error"].clone())).collect();
    assert_eq!(steps, [(json!(1), Value::Null), (json!(2), Value::Null)]);
    drop(successor);
}
