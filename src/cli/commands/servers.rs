//! The commands that serve.

use crate::{
    cli::{
        Answer, Config, Parsed,
        commands::reason,
        config_file::{self, Loaded, meaning::GivenOptions},
        one_line, proxy_file,
        values::{self, UpstreamAddress},
    },
    control::place::Control,
    net::{
        dial::Override,
        endpoint::{Endpoint, Host},
        network::{Access, Network},
        options::{self, Congestion, Keepalive},
        proxy_header::ProxyVersion,
        tls::{
            client::{ClientTls, ClientTlsFiles},
            files::{CertificatePair, TlsFault, TlsKey},
            server::{ClientCertificates, ServerTls, ServerTlsFiles},
        },
    },
    report::format::{self, Dump, Log},
    server::{
        plan::{self, Plan, PlannedListener, PlannedTarget, PlannedTls, PlannedUpstream},
        toxiproxy,
    },
    session::{
        deadline::{self, Deadlines},
        sources::{SOURCE_PREFIX, SourceLimit},
    },
};
use argh::{ArgsInfo, FromArgs};
use std::{
    mem,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// Declares a server's command: its own options, then those of all servers. What stands after `wait` is the option of the
/// drain, where its default is another one.
macro_rules! server {
    ($(#[$($about:tt)*])* $vis:vis struct $name:ident { $($own:tt)* }) => {
        server! {
            $(#[$($about)*])*
            $vis struct $name { $($own)* } wait {
                /// wait for sessions after a signal to stop (default 30s)
                #[argh(option, arg_name = "TIME", default = "Some(plan::DRAIN_TIMEOUT)")]
                #[argh(from_str_fn(values::duration))]
                drain_timeout: Option<Duration>,
            }
        }
    };
    ($(#[$($about:tt)*])* $vis:vis struct $name:ident { $($own:tt)* } wait { $($wait:tt)* }) => {
        #[derive(FromArgs, ArgsInfo)]
        $(#[$($about)*])*
        #[argh(note = "ADDR: 8002 (loopback), :8002 (all interfaces), host:8002, [::1]:8002,")]
        #[argh(note = "  unix:/path, unix:@name; of a listener also fd:NAME, a passed socket")]
        #[argh(note = "TIME: 250ms, 10s, 1m30s, 1h, off.  -v is --dump text.")]
        #[argh(note = "Each option may come from the environment, as SWITCHBOARD_MAX_SESSIONS=10.")]
        #[argh(note = "Exit: 0 drained, 1 failed, 2 usage, 3 cut at the deadline or by a second signal")]
        $vis struct $name {
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
            /// networks that may connect; may repeat
            #[argh(option, arg_name = "CIDR,...", from_str_fn(values::networks))]
            allow: Vec<Vec<Network>>,
            /// networks that may not; counts before --allow
            #[argh(option, arg_name = "CIDR,...", from_str_fn(values::networks))]
            deny: Vec<Vec<Network>>,
            /// networks that must send a PROXY header
            #[argh(option, arg_name = "CIDR,...", from_str_fn(values::networks))]
            accept_proxy: Vec<Vec<Network>>,
            /// connections to accept a second; more wait (default off)
            #[argh(option, arg_name = "N/s|off", default = "None", from_str_fn(values::rate_or_off))]
            accept_rate: Option<NonZeroU32>,
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
            /// PROXY header, hello and handshake of TLS (default 10s)
            #[argh(option, arg_name = "TIME", default = "Some(deadline::HANDSHAKE_TIMEOUT)")]
            #[argh(from_str_fn(values::duration))]
            handshake_timeout: Option<Duration>,
            /// longest life of a session (default off)
            #[argh(option, arg_name = "TIME", default = "None", from_str_fn(values::duration))]
            max_lifetime: Option<Duration>,
            $($wait)*
            /// accept so long after a signal, not ready (default off)
            #[argh(option, arg_name = "TIME", default = "None", from_str_fn(values::delay))]
            drain_delay: Option<Duration>,
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
            /// a group that may use it too, if a PATH is given
            #[argh(option, arg_name = "NAME", from_str_fn(values::group))]
            group: Option<String>,
            /// ended sessions that 'ctl closed' knows (default 1000)
            #[argh(option, arg_name = "N|off", default = "plan::REMEMBER", from_str_fn(values::remember))]
            remember: usize,
            /// serves /metrics, /healthz and /readyz (default off)
            #[argh(option, arg_name = "ADDR|off", default = "None", from_str_fn(values::endpoint_or_off))]
            metrics: Option<Endpoint>,
            /// tells HAProxy's agent-check the load (default off)
            #[argh(option, arg_name = "ADDR|off", default = "None", from_str_fn(values::endpoint_or_off))]
            agent: Option<Endpoint>,
        }

        impl $name {
            /// A listener with these options; `connect` is how long it may dial.
            pub fn listener(
                &self,
                name: Option<String>,
                endpoints: Vec<Endpoint>,
                target: PlannedTarget,
                connect: Option<Duration>,
            ) -> PlannedListener {
                PlannedListener {
                    name,
                    endpoints,
                    mode: None,
                    target,
                    access: Access { allow: self.allow.concat(), deny: self.deny.concat() },
                    accept_proxy: self.accept_proxy.concat(),
                    tls: None,
                    faults: Vec::new(),
                    enabled: true,
                    is_down: false,
                    accept_rate: self.accept_rate,
                    max_per_source: None,
                    backlog: self.backlog,
                    deadlines: Deadlines {
                        connect,
                        handshake: self.handshake_timeout,
                        idle: self.idle_timeout,
                        half_close: self.half_close_timeout,
                        stall: self.stall_timeout,
                        lifetime: self.max_lifetime,
                    },
                    keepalive: self.keepalive,
                    congestion: self.congestion.clone(),
                    splice: self.splice,
                    dump: self.dump,
                    dump_limit: self.dump_limit,
                }
            }

            /// The limit of sessions from one source.
            pub fn source_limit(&self) -> Option<SourceLimit> {
                self.max_per_source.map(|sessions| SourceLimit { sessions, prefix: self.source_prefix })
            }

            /// The plan of a server with these listeners.
            pub fn plan(self, listeners: Vec<PlannedListener>, upstreams: Vec<PlannedUpstream>) -> Plan {
                Plan {
                    listeners,
                    upstreams,
                    tls: Vec::new(),
                    max_sessions: self.max_sessions,
                    max_per_source: self.source_limit(),
                    drain_timeout: self.drain_timeout,
                    drain_delay: self.drain_delay.unwrap_or_default(),
                    log: self.log,
                    seed: None,
                    scenario: None,
                    threads: self.threads,
                    busy_poll: self.busy_poll,
                    control: self.control,
                    group: self.group,
                    remember: self.remember,
                    metrics: self.metrics,
                    agent: self.agent,
                    api: None,
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
    pub struct Echo {
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
    pub struct Proxy {
        /// a port, and where it leads; as many as you like
        #[argh(positional, arg_name = "LISTEN=UPSTREAM")]
        pairs: Vec<String>,
        /// where to listen; may repeat (default 127.0.0.1:8002)
        #[argh(option, short = 'l', arg_name = "ADDR", from_str_fn(values::listen))]
        listen: Vec<Endpoint>,
        /// where to relay to (default www.google.com:80)
        #[argh(option, short = 'u', arg_name = "ADDR", from_str_fn(values::upstream))]
        upstream: Vec<UpstreamAddress>,
        /// addresses of a name, by commas; may repeat
        #[argh(option, arg_name = "HOST:PORT:ADDR", from_str_fn(values::resolve))]
        resolve: Vec<Override>,
        /// to resolve and connect, all addresses (default 10s)
        #[argh(option, arg_name = "TIME", default = "Some(deadline::CONNECT_TIMEOUT)")]
        #[argh(from_str_fn(values::duration))]
        connect_timeout: Option<Duration>,
        /// begins with a PROXY header of this version
        #[argh(option, arg_name = "v1|v2", from_str_fn(values::send_proxy))]
        send_proxy: Option<ProxyVersion>,
        /// ends TLS, with this certificate, in PEM
        #[argh(option, arg_name = "FILE")]
        tls_cert: Option<PathBuf>,
        /// the key of that certificate, in PEM
        #[argh(option, arg_name = "FILE")]
        tls_key: Option<PathBuf>,
        /// wants client certificates of these authorities
        #[argh(option, arg_name = "FILE")]
        client_ca: Option<PathBuf>,
        /// ends TLS, with a certificate that it makes at its start
        #[argh(switch)]
        tls_self_signed: bool,
        /// speaks TLS to the upstream, as tls://ADDR does
        #[argh(switch)]
        upstream_tls: bool,
        /// authorities of its certificate, in PEM
        #[argh(option, arg_name = "FILE")]
        upstream_ca: Option<PathBuf>,
        /// the name that it must have; else that of ADDR
        #[argh(option, arg_name = "HOST", from_str_fn(values::host_name))]
        upstream_name: Option<String>,
    }
}

server! {
    /// serve what a configuration file says; options win
    #[argh(subcommand, name = "run")]
    #[argh(example = "switchboard run /etc/switchboard.toml")]
    #[argh(example = "switchboard run /etc/switchboard.toml --log json --threads 2")]
    pub struct Run {
        /// a configuration; see 'help configuration'
        #[argh(positional, arg_name = "FILE")]
        file: String,
        /// addresses of a name, by commas; may repeat
        #[argh(option, arg_name = "HOST:PORT:ADDR", from_str_fn(values::resolve))]
        pub resolve: Vec<Override>,
        /// to resolve and connect, all addresses (default 10s)
        #[argh(option, arg_name = "TIME", default = "Some(deadline::CONNECT_TIMEOUT)")]
        #[argh(from_str_fn(values::duration))]
        pub connect_timeout: Option<Duration>,
    }
}

server! {
    /// a small HTTP server, to stand in for the internet when offline
    #[argh(subcommand, name = "origin")]
    #[argh(example = "switchboard origin")]
    #[argh(example = "switchboard client http://127.0.0.1:8003/bytes/1000 --body")]
    pub struct Origin {
        /// where to listen; may repeat (default 127.0.0.1:8003)
        #[argh(option, short = 'l', arg_name = "ADDR", from_str_fn(values::listen))]
        listen: Vec<Endpoint>,
        /// ends TLS, with a certificate that it makes at its start
        #[argh(switch)]
        tls_self_signed: bool,
    }
}

server! {
    /// break connections on purpose, by the API of toxiproxy
    #[argh(subcommand, name = "faults")]
    #[argh(example = "switchboard faults")]
    #[argh(example = "switchboard faults --api :8474 --config toxiproxy.json --seed 1234")]
    pub struct Faults {
        /// where the API answers (default 127.0.0.1:8474)
        #[argh(option, arg_name = "ADDR", default = "Endpoint::loopback(plan::API_PORT)")]
        #[argh(from_str_fn(values::endpoint))]
        api: Endpoint,
        /// proxies and toxics to begin with, in JSON
        #[argh(option, arg_name = "FILE")]
        config: Option<PathBuf>,
        /// what draws follow from; the same repeats a run
        #[argh(option, arg_name = "N", from_str_fn(values::seed))]
        seed: Option<u64>,
        /// what is done to proxies, and when, in JSON
        #[argh(option, arg_name = "FILE")]
        scenario: Option<PathBuf>,
        /// to resolve and connect, all addresses (default 10s)
        #[argh(option, arg_name = "TIME", default = "Some(deadline::CONNECT_TIMEOUT)")]
        #[argh(from_str_fn(values::duration))]
        connect_timeout: Option<Duration>,
    } wait {
        /// wait for sessions after a signal to stop (default none)
        #[argh(option, arg_name = "TIME", default = "Some(Duration::ZERO)")]
        #[argh(from_str_fn(values::duration))]
        drain_timeout: Option<Duration>,
    }
}

/// The names of what ends TLS by the command line.
const SELF_SIGNED: &str = "self-signed";
const FROM_FILES: &str = "tls-cert";

/// Of a server that does not dial: an operator is told the default.
const CONNECT: Option<Duration> = Some(deadline::CONNECT_TIMEOUT);

impl Echo {
    pub fn config(mut self) -> Config {
        let listen = or_loopback(mem::take(&mut self.listen), plan::ECHO_PORT);
        let one = |endpoint| self.listener(None, vec![endpoint], PlannedTarget::Echo, CONNECT);
        let listeners = listen.into_iter().map(one).collect();
        config(self.plan(listeners, Vec::new()), Vec::new())
    }
}

impl Faults {
    /// What to run, or what is wrong with the file.
    pub fn parsed(self) -> Parsed {
        let proxies = match self.config.as_deref().map(proxy_file::read).transpose() {
            Ok(proxies) => proxies.unwrap_or_default(),
            Err(mistake) => return failed(&mistake),
        };
        let scenario = match self.scenario.as_deref().map(proxy_file::read_scenario).transpose() {
            Ok(scenario) => scenario,
            Err(mistake) => return failed(&mistake),
        };
        let target = PlannedTarget::Routes(Vec::new());
        let template = self.listener(None, vec![Endpoint::loopback(0)], target, self.connect_timeout);
        let (endpoint, seed) = (self.api.clone(), self.seed);
        let plan = self.plan(Vec::new(), Vec::new());
        let plan = toxiproxy::with_api(plan, endpoint, template, proxies);
        Parsed::Run(config(Plan { seed, scenario, ..plan }, Vec::new()))
    }
}

impl Origin {
    /// What to run, or why there is no certificate.
    pub fn parsed(mut self) -> Parsed {
        let listen = or_loopback(mem::take(&mut self.listen), plan::ORIGIN_PORT);
        let tls = match self.tls_self_signed.then(|| self_signed(&listen)).transpose() {
            Ok(tls) => tls,
            Err(reason) => return failed(&reason),
        };
        let one = |endpoint| PlannedListener {
            tls: tls.as_ref().map(|tls| tls.name.clone()),
            ..self.listener(None, vec![endpoint], PlannedTarget::Origin, CONNECT)
        };
        let listeners = listen.into_iter().map(one).collect();
        let tls = tls.iter().cloned().collect();
        Parsed::Run(config(Plan { tls, ..self.plan(listeners, Vec::new()) }, Vec::new()))
    }
}

/// A listener, and where it leads.
type Pair = (Endpoint, UpstreamAddress);

impl Proxy {
    /// The plan, unless it is not clear what leads where and how, or a file cannot be used.
    pub fn parsed(mut self) -> Result<Parsed, String> {
        let (pairs, notes) = self.pairs()?;
        self.refuse_half_of_tls(&pairs)?;
        let (tls, over_tls) =
            match self.server_tls(&pairs).and_then(|tls| Ok((tls, self.client_tls(&pairs)?))) {
                Ok(both) => both,
                Err(mistakes) => return Ok(failed(&mistakes)),
            };
        let overrides: Arc<[Override]> = mem::take(&mut self.resolve).into();
        let (mut listeners, mut upstreams) = (Vec::new(), Vec::new());
        for (listen, upstream) in pairs {
            let mut planned = PlannedUpstream::address(upstream.endpoint, overrides.clone());
            planned.settings.send_proxy = self.send_proxy;
            let planned = match over_tls.clone().filter(|_| self.upstream_tls || upstream.is_tls) {
                Some(tls) => planned.over_tls(tls),
                None => planned,
            };
            let ended = tls.as_ref().map(|tls| tls.name.clone());
            let target = PlannedTarget::ending_tls(ended, planned.name.clone());
            listeners.push(self.listener(None, vec![listen], target, self.connect_timeout));
            if !upstreams.contains(&planned) {
                upstreams.push(planned);
            }
        }
        let plan = Plan { tls: tls.into_iter().collect(), ..self.plan(listeners, upstreams) };
        Ok(Parsed::Run(config(plan, notes)))
    }

    /// Each listener with its upstream, and what to say of that.
    fn pairs(&mut self) -> Result<(Vec<Pair>, Vec<String>), String> {
        let (words, listen, upstream) =
            (mem::take(&mut self.pairs), mem::take(&mut self.listen), mem::take(&mut self.upstream));
        let to = |upstream: UpstreamAddress| {
            let listen = or_loopback(listen.clone(), plan::PROXY_PORT).into_iter();
            listen.map(move |endpoint| (endpoint, upstream.clone())).collect()
        };
        match (&words[..], &upstream[..]) {
            ([], []) => {
                let upstream = values::upstream(plan::UPSTREAM)?;
                let note = format!(
                    "no upstream is given: {upstream} is the default; choose another with --upstream ADDR or \
                     LISTEN=UPSTREAM"
                );
                Ok((to(upstream), vec![note]))
            }
            ([], [upstream]) => Ok((to(upstream.clone()), Vec::new())),
            ([], _) => Err(several_upstreams(&listen, &upstream)),
            ([first, ..], _) if !listen.is_empty() || !upstream.is_empty() => {
                let option = if upstream.is_empty() { "--listen" } else { "--upstream" };
                Err(format!(
                    "option '{option}' does not go with '{first}'; write each port as LISTEN=UPSTREAM"
                ))
            }
            _ => Ok((values::pairs(&words)?, Vec::new())),
        }
    }

    /// Errors: an option of TLS without the one that it goes with.
    fn refuse_half_of_tls(&self, pairs: &[Pair]) -> Result<(), String> {
        if self.tls_self_signed && (self.tls_cert.is_some() || self.tls_key.is_some()) {
            return Err(
                "option '--tls-self-signed' makes a certificate; leave out '--tls-cert' and '--tls-key'"
                    .into(),
            );
        }
        let needs = |option, other| Err(format!("option '{option}' needs another one; write {other} FILE"));
        match (&self.tls_cert, &self.tls_key, &self.client_ca) {
            (Some(_), None, _) => return needs("--tls-cert", "--tls-key"),
            (None, Some(_), _) => return needs("--tls-key", "--tls-cert"),
            (None, None, Some(_)) => return needs("--client-ca", "--tls-cert FILE --tls-key"),
            _ => {}
        }
        let speaks = |upstream: &UpstreamAddress| self.upstream_tls || upstream.is_tls;
        let given = [
            ("--upstream-ca", self.upstream_ca.is_some()),
            ("--upstream-name", self.upstream_name.is_some()),
        ];
        if let Some((option, _)) = given.iter().find(|(_, is_given)| *is_given)
            && !pairs.iter().any(|(_, upstream)| speaks(upstream))
        {
            return Err(format!("option '{option}' is about TLS, which is not spoken; write --upstream-tls"));
        }
        let nameless = |upstream: &&UpstreamAddress| speaks(upstream) && !upstream.has_name();
        match pairs.iter().map(|(_, upstream)| upstream).find(nameless) {
            Some(upstream) if self.upstream_name.is_none() => Err(format!(
                "the certificate of '{upstream}' must have a name, and it has no host; write --upstream-name HOST"
            )),
            _ => Ok(()),
        }
    }

    /// What ends the clients' TLS. Errors: all that is wrong with the files.
    fn server_tls(&self, pairs: &[Pair]) -> Result<Option<PlannedTls>, String> {
        if self.tls_self_signed {
            let listen: Vec<Endpoint> = pairs.iter().map(|(listen, _)| listen.clone()).collect();
            return self_signed(&listen).map(Some);
        }
        let (Some(cert), Some(key)) = (self.tls_cert.clone(), self.tls_key.clone()) else { return Ok(None) };
        let files = ServerTlsFiles {
            pairs: vec![CertificatePair { cert, key }],
            client_ca: self.client_ca.clone(),
            client_cert: ClientCertificates::Required,
            alpn: Vec::new(),
        };
        let tls = ServerTls::load(files.clone()).map_err(|mistakes| told(&mistakes))?;
        Ok(Some(PlannedTls { name: FROM_FILES.to_owned(), files: Some(files), tls }))
    }

    /// How TLS is spoken to upstreams. Errors: all that is wrong with the files.
    fn client_tls(&self, pairs: &[Pair]) -> Result<Option<ClientTls>, String> {
        if !self.upstream_tls && !pairs.iter().any(|(_, upstream)| upstream.is_tls) {
            return Ok(None);
        }
        let (ca, name) = (self.upstream_ca.clone(), self.upstream_name.clone());
        let files = ClientTlsFiles { ca, name, ..ClientTlsFiles::default() };
        ClientTls::load(files).map(Some).map_err(|mistakes| told(&mistakes))
    }
}

impl Run {
    /// The options of several places, as the command line has them.
    pub fn of(given: &GivenOptions) -> Result<Self, String> {
        let options = given.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        let words: Vec<String> =
            options.flat_map(|(name, value)| [format!("--{name}"), value.clone()]).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).chain(["--", ""]).collect();
        Run::from_args(&["run"], &words).map_err(|exit| reason(&exit.output))
    }

    /// Errors: why `option` cannot have this value, as a sentence for the user.
    pub fn check(option: &str, value: &str) -> Result<(), String> {
        let parsed = Run::from_args(&["run"], &[option, value, "--", ""]);
        parsed.map(drop).map_err(|exit| {
            let reason = reason(&exit.output);
            let known = format!("option '{option}' cannot be '{value}': ");
            reason.strip_prefix(&known).unwrap_or(&reason).to_owned()
        })
    }

    /// The plan of the file and of `words`, the command line in argh's form; or what is wrong with the file.
    pub fn loaded(self, words: &[&str]) -> Parsed {
        let mut typed = GivenOptions::new();
        for option in words.split(|word| *word == "--").next().unwrap_or_default().chunks(2) {
            if let [name, value] = option {
                typed.entry(name.trim_start_matches('-').to_owned()).or_default().push((*value).to_owned());
            }
        }
        let path = PathBuf::from(self.file);
        match config_file::load(&path, &typed, config_file::shows_colour()) {
            Ok(Loaded { plan, warnings: notes }) => {
                let load = Some(config_file::loader(path, typed));
                Parsed::Run(Config::Server { plan: Box::new(plan), notes, load })
            }
            Err(mistakes) => {
                Parsed::Answer(Answer { answer: String::new(), notes: mistakes.text, is_good: false })
            }
        }
    }
}

/// The command line is right, and what it names cannot be used.
fn failed(reason: &str) -> Parsed {
    let notes = format!("switchboard: {}\n", one_line(reason));
    Parsed::Answer(Answer { answer: String::new(), notes, is_good: false })
}

/// Mistakes of files with the options that name them.
fn told(mistakes: &[TlsFault]) -> String {
    let mistake = |mistake: &TlsFault| {
        let option = match mistake.what {
            TlsKey::Cert(_) => "--tls-cert",
            TlsKey::Key(_) => "--tls-key",
            TlsKey::ClientCa => "--client-ca",
            TlsKey::Name => "--upstream-name",
            TlsKey::Ca | TlsKey::Alpn => "--upstream-ca",
        };
        format!("option '{option}': {}", mistake.text)
    };
    mistakes.iter().map(mistake).collect::<Vec<_>>().join("; ")
}

/// Who an origin is that listens there: this machine, and the hosts that are given.
fn names(listen: &[Endpoint]) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    for endpoint in listen {
        let name = match endpoint {
            Endpoint::Tcp { host: Host::Name(name), .. } => name.clone(),
            Endpoint::Tcp { host: Host::Ip(ip), .. } if !ip.is_unspecified() => ip.to_string(),
            _ => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What ends TLS for listeners at these addresses, with a certificate that no authority vouches for.
fn self_signed(listen: &[Endpoint]) -> Result<PlannedTls, String> {
    let tls = ServerTls::self_signed(&names(listen), &[]);
    let tls = tls.map_err(|reason| format!("option '--tls-self-signed': {reason}"))?;
    Ok(PlannedTls { name: SELF_SIGNED.to_owned(), files: None, tls })
}

fn config(plan: Plan, notes: Vec<String>) -> Config {
    Config::Server { plan: Box::new(plan), notes, load: None }
}

/// Without an address, that of `port`.
fn or_loopback(mut listen: Vec<Endpoint>, port: u16) -> Vec<Endpoint> {
    if listen.is_empty() {
        listen.push(Endpoint::loopback(port));
    }
    listen
}

/// Several upstreams, and it is not said which listener leads to which.
fn several_upstreams(listen: &[Endpoint], upstream: &[UpstreamAddress]) -> String {
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
