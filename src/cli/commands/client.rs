//! The command that asks a server.

use crate::{
    cli::{Config, values},
    net::{dial::Override, endpoint::Endpoint, proxy_header::ProxyVersion},
    session::deadline,
    tools::{
        client::settings::{self, Input, Target},
        tls::{TargetTls, Trust},
    },
};
use argh::{ArgsInfo, FromArgs};
use std::{path::PathBuf, time::Duration};

/// ask a server, and print what it answers
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "client")]
#[argh(note = "TARGET: http://host[:port]/path, https://host[:port]/path, tcp://host:port,")]
#[argh(note = "        tls://host[:port], unix:/path, host[:port][/path] (http)")]
#[argh(note = "ADDR: 8002 (loopback), host:8002, [::1]:8002, unix:/path.  TIME: 250ms, 10s, off")]
#[argh(note = r"TEXT: \r \n \t \0 \xNN and a doubled backslash stand for one byte each.")]
#[argh(note = "Of many runs a summary is written to standard error, and no answer is printed.")]
#[argh(
    note = "Exit: 0 complete, 2 usage, 6 cannot resolve, 7 cannot connect, 8 not HTTP, 18 truncated, 23 cannot write the answer, 28 timed out, 35 no TLS, 56 connection reset, 60 certificate not trusted; of many, the most frequent"
)]
#[argh(example = "switchboard client --via 127.0.0.1:8002")]
#[argh(example = "switchboard client http://127.0.0.1:8003/ --body --parallel 10 --repeat 100")]
#[argh(example = "switchboard client tcp://127.0.0.1:8001 --send Foobar")]
#[argh(example = "switchboard client https://localhost:8003/ --insecure --verbose")]
pub struct Client {
    /// the server to ask (default http://www.google.com/)
    #[argh(positional, arg_name = "TARGET", from_str_fn(values::target))]
    target: Option<Target>,
    /// connect here; ask for the target's host
    #[argh(option, arg_name = "ADDR", from_str_fn(values::peer))]
    via: Option<Endpoint>,
    /// authorities in place of the system's, in PEM
    #[argh(option, arg_name = "FILE")]
    cacert: Option<PathBuf>,
    /// speak TLS without verifying the server
    #[argh(switch)]
    insecure: bool,
    /// begin each connection with a PROXY header
    #[argh(option, arg_name = "v1|v2")]
    send_proxy: Option<ProxyVersion>,
    /// tell on standard error what the connection and its TLS came to
    #[argh(switch, short = 'v')]
    verbose: bool,
    /// http: print only the body
    #[argh(switch)]
    body: bool,
    /// tcp, tls: send TEXT (default: standard input)
    #[argh(option, arg_name = "TEXT", from_str_fn(values::escaped))]
    send: Option<Vec<u8>>,
    /// tcp, tls: send this file
    #[argh(option, arg_name = "PATH")]
    file: Option<PathBuf>,
    /// clients at once (default 1)
    #[argh(option, short = 'c', arg_name = "N", default = "1", from_str_fn(values::parallel))]
    parallel: usize,
    /// times that each client asks (default 1)
    #[argh(option, short = 'n', arg_name = "M", default = "1", from_str_fn(values::count))]
    repeat: usize,
    /// to resolve and connect, all addresses (default 10s)
    #[argh(option, arg_name = "TIME", default = "Some(deadline::CONNECT_TIMEOUT)")]
    #[argh(from_str_fn(values::duration))]
    connect_timeout: Option<Duration>,
    /// longest time without a byte either way (default 60s)
    #[argh(option, arg_name = "TIME", default = "Some(settings::IDLE_TIMEOUT)")]
    #[argh(from_str_fn(values::duration))]
    idle_timeout: Option<Duration>,
    /// addresses of a name, by commas; may repeat
    #[argh(option, arg_name = "HOST:PORT:ADDR", from_str_fn(values::resolve))]
    resolve: Vec<Override>,
}

impl Client {
    /// The settings, unless options do not go together.
    pub fn config(self) -> Result<Config, String> {
        let target = match self.target {
            Some(target) => target,
            None => values::target(settings::TARGET)?,
        };
        let input = match (self.send, self.file) {
            (Some(_), Some(_)) => {
                return Err("options '--send' and '--file' exclude each other; give one".into());
            }
            (Some(text), None) => Input::Text(text),
            (None, Some(path)) => Input::File(path),
            (None, None) => Input::Stdin,
        };
        match (&target, &input) {
            (target @ (Target::Tcp(_) | Target::Tls(_)), _) if self.body => {
                return Err(format!(
                    "option '--body' is for http targets, and '{target}' is none; leave it out"
                ));
            }
            (target @ Target::Http { .. }, Input::Text(_) | Input::File(_)) => {
                let option = if matches!(input, Input::Text(_)) { "--send" } else { "--file" };
                return Err(format!(
                    "option '{option}' is for tcp targets, and '{target}' is none; write tcp://host:port"
                ));
            }
            _ => {}
        }
        if self.verbose && self.parallel.max(self.repeat) > 1 {
            return Err(
                "option '--verbose' tells of one connection; leave out '--parallel' and '--repeat'".into()
            );
        }
        let trust = Trust { ca: self.cacert, anybody: self.insecure };
        Ok(Config::Client(Box::new(settings::Client {
            tls: tls(&target, trust, true)?,
            target,
            via: self.via,
            send_proxy: self.send_proxy,
            verbose: self.verbose,
            body: self.body,
            input,
            parallel: self.parallel,
            repeat: self.repeat,
            connect_timeout: self.connect_timeout,
            idle_timeout: self.idle_timeout,
            overrides: self.resolve.into(),
        })))
    }
}

/// How TLS is spoken to a target; none if it is not.
/// Errors: options that do not go together, or a file that cannot be used.
pub(super) fn tls(target: &Target, trust: Trust, resume: bool) -> Result<Option<TargetTls>, String> {
    if trust.ca.is_some() && trust.anybody {
        return Err("options '--cacert' and '--insecure' exclude each other; give one".into());
    }
    if target.speaks_tls() {
        return TargetTls::of(target, trust, resume).map(Some);
    }
    let given = [("--cacert", trust.ca.is_some()), ("--insecure", trust.anybody)];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(format!(
            "option '{option}' is about TLS, which '{target}' does not speak; write https:// or tls://"
        )),
        None => Ok(None),
    }
}
