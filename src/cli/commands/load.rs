//! The command that loads a server.

use crate::{
    cli::{Config, commands::client::tls, values},
    net::{dial::Override, proxy_header::ProxyVersion},
    tools::{
        client::settings::Target,
        findings::Form,
        load::condition::Condition,
        load::settings::{self, Body, Expect, Http, Message, Mode},
        tls::Trust,
    },
};
use argh::{ArgsInfo, FromArgs};
use std::{path::PathBuf, time::Duration};

/// load a server with requests, verify its answers, measure
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "load")]
#[argh(note = "TARGET: tcp://host:port, tls://host[:port], unix:/path, http://host[:port]/path,")]
#[argh(note = "        https://host[:port]/path.  SIZE: 64, 16k, 1m")]
#[argh(note = r"TEXT: \r \n \t \0 \xNN and a doubled backslash stand for one byte each.")]
#[argh(
    note = "Echoed bytes are verified: each is of one connection and one place in it. With --rate, requests are due by a schedule, and latency counts from then: a stall of the server shows. Ctrl-C ends the run early, with its report."
)]
#[argh(
    note = "Exit: 0 no errors, 1 errors, 2 usage, 6 cannot resolve, 7 cannot connect at all, 23 cannot write the report, 35 no TLS at all, 60 certificate not trusted"
)]
#[argh(example = "switchboard load tcp://127.0.0.1:8001 -c 50 --rate 10000 --html report.html")]
#[argh(example = "switchboard load http://127.0.0.1:8003/ -c 100 --duration 30s --warmup 2s")]
#[argh(example = r"switchboard load tcp://127.0.0.1:6379 --send 'PING\r\n' --expect 7")]
#[argh(example = "switchboard load tcp://127.0.0.1:8002 --mode churn --requests 10000 --json")]
pub struct Load {
    /// the server to load
    #[argh(positional, arg_name = "TARGET", from_str_fn(values::target))]
    target: Option<Target>,
    /// begin each connection with a PROXY header
    #[argh(option, arg_name = "v1|v2")]
    send_proxy: Option<ProxyVersion>,
    /// at once; max: as ulimit -n allows (default 10)
    #[argh(option, short = 'c', arg_name = "N|max", default = "Some(settings::CONNECTIONS)")]
    #[argh(from_str_fn(values::connections))]
    connections: Option<usize>,
    /// answers one by one, a stream, or one each
    #[argh(option, arg_name = "pingpong|bulk|churn", default = "None", from_str_fn(values::mode))]
    mode: Option<Mode>,
    /// bytes of a request (default 64, bulk 1m)
    #[argh(option, arg_name = "SIZE", from_str_fn(values::size))]
    size: Option<u64>,
    /// authorities in place of the system's, in PEM
    #[argh(option, arg_name = "FILE")]
    cacert: Option<PathBuf>,
    /// speak TLS without verifying the server
    #[argh(switch)]
    insecure: bool,
    /// resume sessions of TLS: fewer whole handshakes
    #[argh(switch)]
    tls_resume: bool,
    /// send this TEXT
    #[argh(option, arg_name = "TEXT", from_str_fn(values::escaped))]
    send: Option<Vec<u8>>,
    /// send this file
    #[argh(option, arg_name = "PATH")]
    file: Option<PathBuf>,
    /// http: another method than GET
    #[argh(option, short = 'X', arg_name = "METHOD", from_str_fn(values::method))]
    method: Option<String>,
    /// http: a field of the request; may repeat
    #[argh(option, short = 'H', arg_name = "'NAME: VALUE'", from_str_fn(values::field))]
    header: Vec<String>,
    /// http: POST this TEXT, or what @FILE holds
    #[argh(option, short = 'd', arg_name = "TEXT|@FILE", from_str_fn(values::body))]
    data: Option<Body>,
    /// what comes back: the same, N bytes, any (default echo)
    #[argh(option, arg_name = "echo|N|until-close", from_str_fn(values::expect))]
    expect: Option<Expect>,
    /// end the stream after the last request
    #[argh(switch)]
    half_close: bool,
    /// how long requests count (default 10s; -n: off)
    #[argh(option, short = 'z', arg_name = "TIME", from_str_fn(values::duration))]
    duration: Option<Option<Duration>>,
    /// how many requests count
    #[argh(option, short = 'n', arg_name = "N", from_str_fn(values::count))]
    requests: Option<usize>,
    /// requests a second, by a schedule (open loop)
    #[argh(option, short = 'q', arg_name = "R", from_str_fn(values::count))]
    rate: Option<usize>,
    /// new connections a second, at most
    #[argh(option, arg_name = "R", from_str_fn(values::count))]
    connect_rate: Option<usize>,
    /// run before requests count (default off)
    #[argh(option, arg_name = "TIME", default = "None", from_str_fn(values::duration))]
    warmup: Option<Duration>,
    /// longest time that a request may take (default 10s)
    #[argh(option, arg_name = "TIME", default = "Some(settings::TIMEOUT)", from_str_fn(values::duration))]
    timeout: Option<Duration>,
    /// threads that share the connections (default 1)
    #[argh(option, arg_name = "N", default = "1", from_str_fn(values::threads))]
    threads: usize,
    /// print one JSON object instead of text
    #[argh(switch)]
    json: bool,
    /// write a page with charts here
    #[argh(option, arg_name = "PATH")]
    html: Option<PathBuf>,
    /// also as junit=FILE, md=FILE, html=FILE or github
    #[argh(option, arg_name = "FORM", from_str_fn(values::form))]
    report: Vec<Form>,
    /// exit 1 if it holds: 'p99>5ms', 'errors>0'; may repeat
    #[argh(option, arg_name = "CONDITION")]
    fail_if: Vec<Condition>,
    /// beside the --json of an older run
    #[argh(option, arg_name = "FILE")]
    compare: Option<PathBuf>,
    /// addresses of a name, by commas; may repeat
    #[argh(option, arg_name = "HOST:PORT:ADDR", from_str_fn(values::resolve))]
    resolve: Vec<Override>,
}

impl Load {
    /// The settings, unless options do not go together.
    pub fn config(self) -> Result<Config, String> {
        let Some(target) = &self.target else {
            return Err("a target is missing; write tcp://host:port or http://host/path".into());
        };
        self.refuse_options_of_other_targets(target)?;
        let expect = self.expect.unwrap_or_default();
        let ends = expect == Expect::UntilClose;
        let mode = self.mode.unwrap_or(if ends { Mode::Churn } else { Mode::Pingpong });
        if ends && mode != Mode::Churn {
            let name = mode.name();
            return Err(format!(
                "'--expect until-close' takes a connection a request; write --mode churn, not {name}"
            ));
        }
        let message = match (self.size, self.send, self.file) {
            (None, Some(text), None) => Message::Text(text),
            (None, None, Some(path)) => Message::File(path),
            (Some(size), None, None) => Message::Pattern(size),
            (None, None, None) if mode == Mode::Bulk => Message::Pattern(settings::BULK_SIZE_BYTES),
            (None, None, None) => Message::Pattern(settings::SIZE_BYTES),
            _ => return Err("options '--size', '--send' and '--file' exclude each other; give one".into()),
        };
        let nothing = matches!(&message, Message::Pattern(0))
            || matches!(&message, Message::Text(text) if text.is_empty());
        if nothing && matches!(expect, Expect::Echo | Expect::Bytes(0)) {
            return Err(
                "a request of no bytes has no answer to wait for; give --expect a number of bytes".into()
            );
        }
        let needs = self.fail_if.iter().find(|condition| condition.needs_an_older_run());
        if let (Some(condition), None) = (needs, &self.compare) {
            return Err(format!("'--fail-if {}' needs an older run; write --compare FILE", condition.text()));
        }
        let duration = match self.duration {
            Some(duration) => duration,
            None if self.requests.is_some() => None,
            None => Some(settings::DURATION),
        };
        let trust = Trust { ca: self.cacert, anybody: self.insecure };
        Ok(Config::Load(Box::new(settings::Load {
            tls: tls(target, trust, self.tls_resume)?,
            target: target.clone(),
            send_proxy: self.send_proxy,
            mode,
            http: Http { method: self.method, fields: self.header, body: self.data },
            message,
            expect,
            half_close: self.half_close,
            connections: self.connections,
            threads: self.threads,
            duration,
            requests: self.requests.map(|requests| requests as u64),
            rate: self.rate,
            connect_rate: self.connect_rate,
            warm_up: self.warmup.unwrap_or_default(),
            timeout: self.timeout,
            json: self.json,
            html: self.html,
            report: self.report,
            fail_if: self.fail_if,
            compare: self.compare,
            overrides: self.resolve.into(),
        })))
    }

    fn refuse_options_of_other_targets(&self, target: &Target) -> Result<(), String> {
        if self.tls_resume && !target.speaks_tls() {
            return Err(format!(
                "option '--tls-resume' is about TLS, which '{target}' does not speak; write https:// or tls://"
            ));
        }
        match target {
            Target::Http { .. } => self.for_tcp().map_or(Ok(()), |option| {
                Err(format!(
                    "option '{option}' is for tcp targets, and '{target}' is none; write tcp://host:port"
                ))
            }),
            Target::Tcp(_) | Target::Tls(_) => self.for_http().map_or(Ok(()), |option| {
                Err(format!(
                    "option '{option}' is for http targets, and '{target}' is none; write http://host/path"
                ))
            }),
        }
    }

    /// An option that a tcp target does not use.
    fn for_http(&self) -> Option<&'static str> {
        let given = [
            ("--method", self.method.is_some()),
            ("--header", !self.header.is_empty()),
            ("--data", self.data.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }

    /// An option that an http target does not use.
    fn for_tcp(&self) -> Option<&'static str> {
        let given = [
            ("--mode=bulk", self.mode == Some(Mode::Bulk)),
            ("--size", self.size.is_some()),
            ("--send", self.send.is_some()),
            ("--file", self.file.is_some()),
            ("--expect", self.expect.is_some()),
            ("--half-close", self.half_close),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
    }
}
