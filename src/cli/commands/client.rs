//! The command that asks a server.

use crate::{
    cli::{Config, values},
    net::{dial::Override, endpoint::Endpoint, proxy_header::ProxyVersion},
    session::deadline,
    tools::client::settings::{self, Input, Target},
};
use argh::{ArgsInfo, FromArgs};
use std::{path::PathBuf, time::Duration};

/// ask a server, and print what it answers
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "client")]
#[argh(note = "TARGET: http://host[:port]/path, host[:port][/path] (http), tcp://host:port,")]
#[argh(note = "        unix:/path")]
#[argh(note = "ADDR: 8002 (loopback), host:8002, [::1]:8002, unix:/path.  TIME: 250ms, 10s, off")]
#[argh(note = r"TEXT: \r \n \t \0 \xNN and a doubled backslash stand for one byte each.")]
#[argh(note = "Of many runs a summary is written to standard error, and no answer is printed.")]
#[argh(
    note = "Exit: 0 complete, 2 usage, 6 cannot resolve, 7 cannot connect, 8 not HTTP, 18 truncated, 23 cannot write the answer, 28 timed out, 56 connection reset; of many, the most frequent"
)]
#[argh(example = "switchboard client --via 127.0.0.1:8002")]
#[argh(example = "switchboard client http://127.0.0.1:8003/ --body --parallel 10 --repeat 100")]
#[argh(example = "switchboard client tcp://127.0.0.1:8001 --send Foobar")]
pub struct Client {
    /// the server to ask (default http://www.google.com/)
    #[argh(positional, arg_name = "TARGET", from_str_fn(values::target))]
    target: Option<Target>,
    /// connect here; ask for the target's host
    #[argh(option, arg_name = "ADDR", from_str_fn(values::peer))]
    via: Option<Endpoint>,
    /// begin each connection with a PROXY header
    #[argh(option, arg_name = "v1|v2")]
    send_proxy: Option<ProxyVersion>,
    /// http: print only the body
    #[argh(switch)]
    body: bool,
    /// tcp: send this TEXT (default: standard input)
    #[argh(option, arg_name = "TEXT", from_str_fn(values::escaped))]
    send: Option<Vec<u8>>,
    /// tcp: send this file
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
            (target @ Target::Tcp(_), _) if self.body => {
                return Err(format!(
                    "option '--body' is for http targets, and '{target}' is none; leave it out"
                ));
            }
            (Target::Http { host, path, .. }, Input::Text(_) | Input::File(_)) => {
                let option = if matches!(input, Input::Text(_)) { "--send" } else { "--file" };
                return Err(format!(
                    "option '{option}' is for tcp targets, and 'http://{host}{path}' is none; write tcp://host:port"
                ));
            }
            _ => {}
        }
        Ok(Config::Client(Box::new(settings::Client {
            target,
            via: self.via,
            send_proxy: self.send_proxy,
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
