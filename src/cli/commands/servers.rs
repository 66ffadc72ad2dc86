//! The commands that serve.

use crate::{
    cli::{Config, values},
    control::place::Control,
    net::{
        dial::{Destination, Override},
        endpoint::Endpoint,
        options::{self, Congestion, Keepalive},
    },
    report::format::{self, Dump, Log},
    server::{
        plan::{self, Plan, PlannedListener},
        sources::{SOURCE_PREFIX, SourceLimit},
    },
    session::{
        deadline::{self, Deadlines},
        target::Target,
    },
};
use argh::{ArgsInfo, FromArgs};
use std::{mem, num::NonZeroUsize, sync::Arc, time::Duration};

/// Declares a server's command: its own options, then those of all servers.
macro_rules! server {
    ($(#[$about:meta])* struct $name:ident { $($own:tt)* }) => {
        #[derive(FromArgs, ArgsInfo)]
        $(#[$about])*
        #[argh(note = "ADDR: 8002 (loopback), :8002 (all interfaces), host:8002, [::1]:8002, unix:/path,")]
        #[argh(note = "  unix:@name; of a listener also fd:NAME, a socket of the service manager")]
        #[argh(note = "TIME: 250ms, 10s, 1m30s, 1h, off.  -v is --dump text.")]
        #[argh(note = "Each option may come from the environment, as SWITCHBOARD_MAX_SESSIONS=10.")]
        #[argh(note = "Exit: 0 drained, 1 failed, 2 usage, 3 cut at the deadline or by a second signal")]
        pub struct $name {
            $($own)*
            /// sessions at once; more wait (default from ulimit -n)
            #[argh(option, short = 'c', arg_name = "N", from_str_fn(values::count))]
            max_sessions: Option<usize>,
            /// the same from one source; more are reset (default off)
            #[argh(option, arg_name = "N|off", default = "None", from_str_fn(values::count_or_off))]
            max_per_source: Option<usize>,
            /// bits of an IPv6 address that make a source (default 64)
            #[argh(option, arg_name = "N", default = "SOURCE_PREFIX", from_str_fn(values::source_prefix))]
            source_prefix: u8,
            /// connections that may wait for accept (default 4096)
            #[argh(option, arg_name = "N", default = "plan::BACKLOG", from_str_fn(values::backlog))]
            backlog: i32,
            /// longest time without a byte either way (default 1h)
            #[argh(option, arg_name = "TIME", default = "Some(deadline::IDLE_TIMEOUT)")]
            #[argh(from_str_fn(values::duration))]
            idle_timeout: Option<Duration>,
            /// the same, once one side has finished (default 60s)
            #[argh(option, arg_name = "TIME", default = "Some(deadline::HALF_CLOSE_TIMEOUT)")]
            #[argh(from_str_fn(values::duration))]
            half_close_timeout: Option<Duration>,
            /// wait for a peer that takes no bytes (default 5m)
            #[argh(option, arg_name = "TIME", default = "Some(deadline::STALL_TIMEOUT)")]
            #[argh(from_str_fn(values::duration))]
            stall_timeout: Option<Duration>,
            /// longest life of a session (default off)
            #[argh(option, arg_name = "TIME", default = "None", from_str_fn(values::duration))]
            max_lifetime: Option<Duration>,
            /// wait for sessions after a signal to stop (default 30s)
            #[argh(option, arg_name = "TIME", default = "Some(deadline::DRAIN_TIMEOUT)")]
            #[argh(from_str_fn(values::duration))]
            drain_timeout: Option<Duration>,
            /// idle time, interval, probes of TCP (default 60s/10s/6)
            #[argh(option, arg_name = "I/I/P|off", default = "Some(options::KEEPALIVE)")]
            #[argh(from_str_fn(values::keepalive))]
            keepalive: Option<Keepalive>,
            /// congestion control, or 'auto' (default system)
            #[argh(option, arg_name = "NAME", default = "Congestion::default()")]
            congestion: Congestion,
            /// event lines on standard output (default text)
            #[argh(option, arg_name = "text|json|off", default = "Log::default()", from_str_fn(values::log))]
            log: Log,
            /// payload in the event lines (default off)
            #[argh(option, arg_name = "off|text|hex", default = "Dump::default()", from_str_fn(values::dump))]
            dump: Dump,
            /// payload that one event shows (default 4096)
            #[argh(option, arg_name = "BYTES", default = "format::DUMP_LIMIT_BYTES", from_str_fn(values::dump_limit))]
            dump_limit: usize,
            /// relay bulk data without copying it (default auto)
            #[argh(option, arg_name = "auto|off", default = "true", from_str_fn(values::auto))]
            splice: bool,
            /// threads, each with its own sessions (default auto)
            #[argh(option, arg_name = "N|auto", default = "None", from_str_fn(values::threads_or_auto))]
            threads: Option<NonZeroUsize>,
            /// look for events before sleeping (default 200us)
            #[argh(option, arg_name = "TIME", default = "plan::BUSY_POLL", from_str_fn(values::duration))]
            busy_poll: Option<Duration>,
            /// the socket for ctl (default from XDG_RUNTIME_DIR)
            #[argh(option, arg_name = "PATH|off", default = "Control::default()")]
            #[argh(from_str_fn(values::control))]
            control: Control,
            /// a group that may use that socket too, at a --control PATH
            #[argh(option, arg_name = "NAME", from_str_fn(values::group))]
            group: Option<String>,
            /// ended sessions that 'ctl closed' knows (default 1000)
            #[argh(option, arg_name = "N|off", default = "plan::REMEMBER", from_str_fn(values::remember))]
            remember: usize,
            /// serves /metrics, /healthz and /readyz (default off)
            #[argh(option, arg_name = "ADDR|off", default = "None", from_str_fn(values::endpoint_or_off))]
            metrics: Option<Endpoint>,
        }

        impl $name {
            /// The plan of a server with these listeners; `connect` is how long it may dial.
            fn plan(self, listeners: Vec<PlannedListener>, connect: Option<Duration>) -> Plan {
                let limit = |sessions| SourceLimit { sessions, prefix: self.source_prefix };
                Plan {
                    listeners,
                    max_sessions: self.max_sessions,
                    max_per_source: self.max_per_source.map(limit),
                    backlog: self.backlog,
                    deadlines: Deadlines {
                        connect,
                        idle: self.idle_timeout,
                        half_close: self.half_close_timeout,
                        stall: self.stall_timeout,
                        lifetime: self.max_lifetime,
                        drain: self.drain_timeout,
                    },
                    keepalive: self.keepalive,
                    congestion: self.congestion,
                    log: self.log,
                    dump: self.dump,
                    dump_limit: self.dump_limit,
                    splice: self.splice,
                    threads: self.threads,
                    busy_poll: self.busy_poll,
                    control: self.control,
                    group: self.group,
                    remember: self.remember,
                    metrics: self.metrics,
                }
            }
        }
    };
}

server! {
    /// send back what each client sends (RFC 862)
    #[argh(subcommand, name = "echo")]
    #[argh(example = "switchboard echo --dump text")]
    #[argh(example = "echo Foobar | nc -q 1 127.0.0.1 8001")]
    struct Echo {
        /// where to listen; may repeat (default 127.0.0.1:8001)
        #[argh(option, short = 'l', arg_name = "ADDR", from_str_fn(values::listen))]
        listen: Vec<Endpoint>,
    }
}

server! {
    /// relay each client to an upstream, and both ends as they are
    #[argh(subcommand, name = "proxy")]
    #[argh(note = "LISTEN=UPSTREAM: two ADDR, as in 5432=db:5432")]
    #[argh(example = "switchboard proxy 5432=db.example:5432 :6379=10.0.0.7:6379 unix:/tmp/web=8003")]
    #[argh(example = "switchboard proxy --listen :8002 --upstream www.google.com:80 --dump text")]
    struct Proxy {
        /// a port, and where it leads; as many as you like
        #[argh(positional, arg_name = "LISTEN=UPSTREAM")]
        pairs: Vec<String>,
        /// where to listen; may repeat (default 127.0.0.1:8002)
        #[argh(option, short = 'l', arg_name = "ADDR", from_str_fn(values::listen))]
        listen: Vec<Endpoint>,
        /// where to relay to (default www.google.com:80)
        #[argh(option, short = 'u', arg_name = "ADDR", from_str_fn(values::upstream))]
        upstream: Vec<Endpoint>,
        /// addresses of a name, by commas; may repeat
        #[argh(option, arg_name = "HOST:PORT:ADDR", from_str_fn(values::resolve))]
        resolve: Vec<Override>,
        /// to resolve and connect, all addresses (default 10s)
        #[argh(option, arg_name = "TIME", default = "Some(deadline::CONNECT_TIMEOUT)")]
        #[argh(from_str_fn(values::duration))]
        connect_timeout: Option<Duration>,
    }
}

server! {
    /// a small HTTP server, to stand in for the internet when offline
    #[argh(subcommand, name = "origin")]
    #[argh(example = "switchboard origin")]
    #[argh(example = "switchboard client http://127.0.0.1:8003/bytes/1000 --body")]
    struct Origin {
        /// where to listen; may repeat (default 127.0.0.1:8003)
        #[argh(option, short = 'l', arg_name = "ADDR", from_str_fn(values::listen))]
        listen: Vec<Endpoint>,
    }
}

impl Echo {
    pub fn config(mut self) -> Config {
        let listeners = listeners(mem::take(&mut self.listen), plan::ECHO_PORT, &Target::Echo);
        config(self.plan(listeners, Some(deadline::CONNECT_TIMEOUT)), Vec::new())
    }
}

impl Origin {
    pub fn config(mut self) -> Config {
        let listeners = listeners(mem::take(&mut self.listen), plan::ORIGIN_PORT, &Target::Origin);
        config(self.plan(listeners, Some(deadline::CONNECT_TIMEOUT)), Vec::new())
    }
}

impl Proxy {
    /// The plan, unless it is not clear which listener leads where.
    pub fn config(mut self) -> Result<Config, String> {
        let overrides: Arc<[Override]> = mem::take(&mut self.resolve).into();
        let target =
            |endpoint| Target::Upstream(Destination { endpoint, overrides: overrides.clone() }.into());
        let (pairs, listen, upstream) =
            (mem::take(&mut self.pairs), mem::take(&mut self.listen), mem::take(&mut self.upstream));
        let mut notes = Vec::new();
        let listeners = match (&pairs[..], &upstream[..]) {
            ([], []) => {
                let upstream = values::upstream(plan::UPSTREAM)?;
                notes.push(format!(
                    "no upstream is given: {upstream} is the default; choose another with --upstream ADDR or \
                     LISTEN=UPSTREAM"
                ));
                listeners(listen, plan::PROXY_PORT, &target(upstream))
            }
            ([], [upstream]) => listeners(listen, plan::PROXY_PORT, &target(upstream.clone())),
            ([], _) => return Err(several_upstreams(&listen, &upstream)),
            ([first, ..], _) => {
                let option = if upstream.is_empty() { "--listen" } else { "--upstream" };
                if !listen.is_empty() || !upstream.is_empty() {
                    return Err(format!(
                        "option '{option}' does not go with '{first}'; write each port as LISTEN=UPSTREAM"
                    ));
                }
                let pairs = values::pairs(&pairs)?;
                pairs.into_iter().map(|(listen, upstream)| planned(listen, target(upstream))).collect()
            }
        };
        let connect = self.connect_timeout;
        Ok(config(self.plan(listeners, connect), notes))
    }
}

fn config(plan: Plan, notes: Vec<String>) -> Config {
    Config::Server { plan: Box::new(plan), notes }
}

fn planned(endpoint: Endpoint, target: Target) -> PlannedListener {
    PlannedListener { name: None, endpoint, target }
}

/// A listener for each address, all with one target; without an address it is `port`.
fn listeners(mut listen: Vec<Endpoint>, port: u16, target: &Target) -> Vec<PlannedListener> {
    if listen.is_empty() {
        listen.push(Endpoint::loopback(port));
    }
    listen.into_iter().map(|endpoint| planned(endpoint, target.clone())).collect()
}

/// Several upstreams, and it is not said which listener leads to which.
fn several_upstreams(listen: &[Endpoint], upstream: &[Endpoint]) -> String {
    let form = if listen.len() == upstream.len() {
        let pairs = listen.iter().zip(upstream).map(|(listen, upstream)| format!("{listen}={upstream}"));
        pairs.collect::<Vec<_>>().join(" ")
    } else {
        "LISTEN=UPSTREAM for each port".to_owned()
    };
    format!(
        "option '--upstream' is given {} times, and one listener leads to one; write proxy {form}",
        upstream.len()
    )
}
