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
use std::time::Duration;

/// Declares a server's command: its own options, then those of all servers.
macro_rules! server {
    ($(#[$about:meta])* struct $name:ident { $($own:tt)* }) => {
        #[derive(FromArgs, ArgsInfo)]
        $(#[$about])*
        #[argh(note = "ADDR: 8002 (loopback), :8002 (every interface), host:8002, [::1]:8002, unix:/path")]
        #[argh(note = "TIME: 250ms, 10s, 1m30s, 1h, off. The last of equal options counts; --listen adds up.")]
        #[argh(note = "Exit: 0 drained, 1 failed, 2 usage, 3 cut at the drain deadline or by a second signal")]
        pub struct $name {
            $($own)*
            /// sessions at once; then new ones wait (default from ulimit -n)
            #[argh(option, arg_name = "N", from_str_fn(values::count))]
            max_sessions: Option<usize>,
            /// the same from one source; then new ones are reset (default off)
            #[argh(option, arg_name = "N|off", default = "None", from_str_fn(values::count_or_off))]
            max_per_source: Option<usize>,
            /// leading bits of an IPv6 address that make a source (default 64)
            #[argh(option, arg_name = "N", default = "SOURCE_PREFIX", from_str_fn(values::source_prefix))]
            source_prefix: u8,
            /// connections that may wait to be accepted (default 4096)
            #[argh(option, arg_name = "N", default = "plan::BACKLOG", from_str_fn(values::backlog))]
            backlog: i32,
            /// longest time to resolve and connect to any address (default 10s)
            #[argh(option, arg_name = "TIME", default = "Some(deadline::CONNECT_TIMEOUT)")]
            #[argh(from_str_fn(values::duration))]
            connect_timeout: Option<Duration>,
            /// longest time without a byte either way (default 1h)
            #[argh(option, arg_name = "TIME", default = "Some(deadline::IDLE_TIMEOUT)")]
            #[argh(from_str_fn(values::duration))]
            idle_timeout: Option<Duration>,
            /// the same, once one side has finished (default 60s)
            #[argh(option, arg_name = "TIME", default = "Some(deadline::HALF_CLOSE_TIMEOUT)")]
            #[argh(from_str_fn(values::duration))]
            half_close_timeout: Option<Duration>,
            /// longest wait for a peer that takes no bytes (default 5m)
            #[argh(option, arg_name = "TIME", default = "Some(deadline::STALL_TIMEOUT)")]
            #[argh(from_str_fn(values::duration))]
            stall_timeout: Option<Duration>,
            /// longest life of a session (default off)
            #[argh(option, arg_name = "TIME", default = "None", from_str_fn(values::duration))]
            max_lifetime: Option<Duration>,
            /// longest wait for sessions after SIGTERM, SIGINT, SIGHUP (default 30s)
            #[argh(option, arg_name = "TIME", default = "Some(deadline::DRAIN_TIMEOUT)")]
            #[argh(from_str_fn(values::duration))]
            drain_timeout: Option<Duration>,
            /// TCP keepalive: idle time, interval and probes (default 60s/10s/6)
            #[argh(option, arg_name = "I/I/P|off", default = "Some(options::KEEPALIVE)")]
            #[argh(from_str_fn(values::keepalive))]
            keepalive: Option<Keepalive>,
            /// congestion control, or 'system' (default auto)
            #[argh(option, arg_name = "NAME", default = "Congestion::Auto")]
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
            /// how long to look for the next event before sleeping (default 50us)
            #[argh(option, arg_name = "TIME", default = "plan::BUSY_POLL", from_str_fn(values::duration))]
            busy_poll: Option<Duration>,
            /// the socket for ctl (default from $XDG_RUNTIME_DIR or /tmp)
            #[argh(option, arg_name = "PATH|off", default = "Control::default()")]
            #[argh(from_str_fn(values::control))]
            control: Control,
            /// a group that may use that socket too, at a --control PATH
            #[argh(option, arg_name = "NAME")]
            group: Option<String>,
            /// sessions that 'ctl closed' remembers (default 1000)
            #[argh(option, arg_name = "N|off", default = "plan::REMEMBER", from_str_fn(values::remember))]
            remember: usize,
            /// where to serve /metrics, /healthz and /readyz over HTTP (default off)
            #[argh(option, arg_name = "ADDR|off", default = "None", from_str_fn(values::endpoint_or_off))]
            metrics: Option<Endpoint>,
        }

        impl $name {
            /// The plan of a server that joins its sessions to `target`; without an address it listens on `port`.
            pub fn server(self, target: Target, port: u16) -> Config {
                let listen = if self.listen.is_empty() { vec![Endpoint::loopback(port)] } else { self.listen };
                let planned = |endpoint| PlannedListener { name: None, endpoint, target: target.clone() };
                let plan = Box::new(Plan {
                    listeners: listen.into_iter().map(planned).collect(),
                    max_sessions: self.max_sessions,
                    max_per_source: self
.max_per_source
.map(|sessions| SourceLimit { sessions, prefix: self.source_prefix }),
                    backlog: self.backlog,
                    deadlines: Deadlines {
                        connect: self.connect_timeout,
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
                    busy_poll: self.busy_poll,
                    control: self.control,
                    group: self.group,
                    remember: self.remember,
                    metrics: self.metrics,
                });
                Config::Server { plan, notes: Vec::new() }
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
        #[argh(option, arg_name = "ADDR", from_str_fn(values::endpoint))]
        listen: Vec<Endpoint>,
    }
}

server! {
    /// relay each client to an upstream, and both ends as they are
    #[argh(subcommand, name = "proxy")]
    #[argh(example = "switchboard proxy --listen :8002 --upstream www.google.com:80 --dump text")]
    #[argh(example = "switchboard proxy --listen unix:/tmp/db.sock --upstream 10.0.0.5:5432 --log json")]
    struct Proxy {
        /// where to listen; may repeat (default 127.0.0.1:8002)
        #[argh(option, arg_name = "ADDR", from_str_fn(values::endpoint))]
        listen: Vec<Endpoint>,
        /// where to relay to, by name or address (default www.google.com:80)
        #[argh(option, arg_name = "ADDR", from_str_fn(values::upstream))]
        upstream: Option<Endpoint>,
        /// addresses to use for a name, separated by commas; may repeat
        #[argh(option, arg_name = "HOST:PORT:ADDR", from_str_fn(values::resolve))]
        resolve: Vec<Override>,
    }
}

server! {
    /// a small HTTP server, to stand in for the internet when offline
    #[argh(subcommand, name = "origin")]
    #[argh(example = "switchboard origin")]
    #[argh(example = "switchboard client http://127.0.0.1:8003/bytes/1000 --body")]
    struct Origin {
        /// where to listen; may repeat (default 127.0.0.1:8003)
        #[argh(option, arg_name = "ADDR", from_str_fn(values::endpoint))]
        listen: Vec<Endpoint>,
    }
}

impl Proxy {
    pub fn config(mut self) -> Result<Config, String> {
        let endpoint = match self.upstream.take() {
            Some(endpoint) => endpoint,
            None => values::upstream(plan::UPSTREAM)?,
        };
        let overrides = std::mem::take(&mut self.resolve).into();
        Ok(self.server(Target::Upstream(Destination { endpoint, overrides }.into()), plan::PROXY_PORT))
    }
}
