//! A server whose faults come by toxiproxy's API: Switchboard, and toxiproxy where it is there.

use crate::{
    bench::Bench,
    child::{Child, quiet},
    command::SWITCHBOARD,
    server::await_accept,
};
use serde_json::{Value, json};
use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

const TOXIPROXY: &str = "toxiproxy-server";
/// toxiproxy hangs at times: that is a figure, not a failure of the run.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    Switchboard,
    Toxiproxy,
}

/// A running one.
pub struct Faulty {
    pub breaker: Breaker,
    api: SocketAddr,
    child: Child,
}

impl Breaker {
    /// Those that this machine has.
    pub fn found() -> Vec<Breaker> {
        let mut found = vec![Breaker::Switchboard];
        let version = Command::new(TOXIPROXY).arg("-version").stdin(Stdio::null()).output();
        if version.is_ok_and(|output| output.status.success()) {
            found.push(Breaker::Toxiproxy);
        }
        found
    }

    pub fn name(self) -> &'static str {
        match self {
            Breaker::Switchboard => "switchboard",
            Breaker::Toxiproxy => "toxiproxy",
        }
    }

    fn command(self, api: SocketAddr, threads: usize) -> Command {
        let (ip, port) = (api.ip().to_string(), api.port().to_string());
        match self {
            Breaker::Switchboard => {
                let mut command = quiet(SWITCHBOARD);
                let threads = threads.to_string();
                command.args(["faults", "--api", &api.to_string(), "--threads", &threads, "--log", "off"]);
                command
            }
            Breaker::Toxiproxy => {
                let mut command = quiet(TOXIPROXY);
                command.args(["-host", &ip, "-port", &port]).env("LOG_LEVEL", "error");
                command.env("GOMAXPROCS", threads.to_string());
                command
            }
        }
    }
}

impl Faulty {
    /// Starts one without a proxy, with the threads and the processors of the layout.
    pub fn start(bench: &Bench<'_>, breaker: Breaker) -> io::Result<Self> {
        let api = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = breaker.command(api, bench.layout.threads);
        let child = bench.layout.start_server(|| Child::start(&mut command))?;
        await_accept(api).map_err(|error| {
            io::Error::new(error.kind(), format!("{} does not accept: {error}", breaker.name()))
        })?;
        Ok(Faulty { breaker, api, child })
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Its process, for what is measured at one of its proxies.
    pub fn into_child(self) -> Child {
        self.child
    }

    /// A proxy in front of `upstream`, and where it listens.
    pub fn proxy(&self, name: &str, upstream: SocketAddr) -> io::Result<SocketAddr> {
        let body = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": upstream.to_string() });
        let made = self.call("POST", "/proxies", Some(&body))?;
        let listen = made["listen"].as_str().and_then(|listen| listen.parse().ok());
        listen.ok_or_else(|| io::Error::other(format!("{} listens nowhere: {made}", self.breaker.name())))
    }

    /// Adds a fault to what the upstream of a proxy sends, by the name of its kind.
    pub fn add(&self, proxy: &str, kind: &str, attributes: Value) -> io::Result<()> {
        let body = json!({ "name": kind, "type": kind, "stream": "downstream", "attributes": attributes });
        self.call("POST", &format!("/proxies/{proxy}/toxics"), Some(&body)).map(drop)
    }

    pub fn change(&self, proxy: &str, kind: &str, attributes: Value) -> io::Result<()> {
        let body = json!({ "attributes": attributes });
        self.call("POST", &format!("/proxies/{proxy}/toxics/{kind}"), Some(&body)).map(drop)
    }

    pub fn remove(&self, proxy: &str, kind: &str) -> io::Result<()> {
        self.call("DELETE", &format!("/proxies/{proxy}/toxics/{kind}"), None).map(drop)
    }

    pub fn list(&self) -> io::Result<()> {
        self.call("GET", "/proxies", None).map(drop)
    }

    /// One call, on a connection of its own; the object that is answered, or null. A status from 300 on is an error.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(self.api)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(CALL_LIMIT))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            self.api,
            body.len()
        );
        stream.write_all((head + &body).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 2") {
            return Err(io::Error::other(format!("{method} {path}: {answer}")));
        }
        let (_, text) = answer.split_once("\r\n\r\n").unwrap_or_default();
        Ok(serde_json::from_str(text).unwrap_or_default())
    }
}
