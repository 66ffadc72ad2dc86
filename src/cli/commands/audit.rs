//! The command that audits a proxy.

use crate::{
    cli::{Config, values},
    net::{
        endpoint::Endpoint,
        proxy_header::ProxyVersion,
        tls::client::{ClientTlsFiles, TlsVersion},
    },
    tools::{
        audit::{
            self,
            settings::{self, Audit as Settings, Subject},
        },
        findings::Form,
        tls::{TargetTls, Trust},
    },
};
use argh::{ArgsInfo, FromArgs};
use std::{path::PathBuf, time::Duration};

/// find what a proxy breaks, beside a direct connection
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "audit")]
#[argh(note = "The audit listens at the origin's address, connects to the proxy, and plays both ends.")]
#[argh(note = "ADDR: 8002 (loopback), :8002 (every interface), host:8002.  TIME: 10s, 1m30s, off")]
#[argh(note = "CHECK: half-close-0s half-close-1s half-close-5s (or half-close for all three)")]
#[argh(note = "       upload-after-reply early-reply early-data speaks-first connect-and-go refused")]
#[argh(note = "       reset-at-once reset-before-reply reset-during-reply reset-after-reply")]
#[argh(note = "       client-reset bulk-upload bulk-reply stalled-client stalled-origin")]
#[argh(note = "       one-byte-writes urgent (not over TLS) many idle proxy-header")]
#[argh(note = "       truncated-upload truncated-record (over TLS)")]
#[argh(note = "Verdicts: same; differs; lost data; lies (what was cut off looks complete); noted (not")]
#[argh(note = "       judged); unknown (the direct connection failed)")]
#[argh(note = "Exit: 0 all same, 1 not, 2 usage, 3 the proxy cannot be reached")]
#[argh(example = "switchboard audit --self")]
#[argh(example = "switchboard audit --via 127.0.0.1:8002 --origin 127.0.0.1:9000")]
#[argh(example = "switchboard audit --via 8002 --origin :9000 --idle 2m --json idle half-close")]
#[argh(example = "switchboard audit --via www:443 --origin :9000 --via-tls --insecure")]
pub struct Audit {
    /// checks to make (default all)
    #[argh(positional, arg_name = "CHECK")]
    checks: Vec<String>,
    /// where the proxy listens
    #[argh(option, arg_name = "ADDR", from_str_fn(tcp_peer))]
    via: Option<Endpoint>,
    /// where the proxy connects to; the audit listens there
    #[argh(option, arg_name = "ADDR", from_str_fn(tcp))]
    origin: Option<Endpoint>,
    /// audit this program's own proxy
    #[argh(switch, long = "self")]
    own: bool,
    /// speak TLS to the proxy, which ends it
    #[argh(switch)]
    via_tls: bool,
    /// authorities in place of the system's, in PEM
    #[argh(option, arg_name = "FILE")]
    cacert: Option<PathBuf>,
    /// speak TLS without verifying the proxy
    #[argh(switch)]
    insecure: bool,
    /// offer it no newer version of TLS (default 1.3)
    #[argh(option, arg_name = "1.2|1.3")]
    tls_max: Option<TlsVersion>,
    /// the name in its certificate, if not that of --via
    #[argh(option, arg_name = "HOST", from_str_fn(values::host_name))]
    tls_name: Option<String>,
    /// begin each connection to it with a PROXY header
    #[argh(option, arg_name = "v1|v2")]
    send_proxy: Option<ProxyVersion>,
    /// how long the idle check is idle (default 10s)
    #[argh(option, arg_name = "TIME", default = "Some(settings::IDLE)", from_str_fn(values::duration))]
    idle: Option<Duration>,
    /// print one JSON object
    #[argh(switch)]
    json: bool,
    /// also as junit=FILE, md=FILE, html=FILE or github
    #[argh(option, arg_name = "FORM", from_str_fn(values::form))]
    report: Vec<Form>,
}

impl Audit {
    /// The settings, after the checks that need more than one value: which proxy is meant, and the names of the checks.
    pub fn config(self) -> Result<Config, String> {
        let subject = match (self.own, self.via, self.origin) {
            (true, None, None) => Subject::Own,
            (true, ..) => {
                return Err("option '--self' starts a proxy; leave out '--via' and '--origin'".into());
            }
            (false, Some(via), Some(origin)) => Subject::Running { via, origin },
            (false, None, None) => {
                return Err("which proxy is missing; write --via ADDR --origin ADDR, or --self".into());
            }
            (false, None, Some(_)) => return Err("option '--via' is missing: where the proxy listens".into()),
            (false, Some(_), None) => {
                return Err("option '--origin' is missing: where the proxy connects to".into());
            }
        };
        if let Some(word) = self.checks.iter().find(|word| !audit::is_check(word)) {
            let names: Vec<&str> = audit::names().collect();
            return Err(format!("'{word}' is no check; the checks are {}", names.join(", ")));
        }
        // An audit without a check would find everything the same.
        if self.idle.is_none() && !self.checks.is_empty() && self.checks.iter().all(|word| word == "idle") {
            return Err("option '--idle off' leaves no check; name another one, or write a time".into());
        }
        if let Some(word) = self.checks.iter().find(|word| !audit::suits(word, self.via_tls)) {
            return Err(if self.via_tls {
                format!("check '{word}' cannot be made over TLS; leave it out, or '--via-tls'")
            } else {
                format!("check '{word}' is one of TLS, which is not spoken; write --via-tls")
            });
        }
        let trust = Trust { ca: self.cacert, anybody: self.insecure };
        let tls = tls(&subject, self.via_tls, trust, self.tls_name, self.tls_max)?;
        let (send_proxy, idle, json) = (self.send_proxy, self.idle, self.json);
        let (checks, report) = (self.checks, self.report);
        Ok(Config::Audit(Box::new(Settings { subject, tls, send_proxy, idle, json, checks, report })))
    }
}

/// How TLS is spoken to the proxy; none if it is not.
/// Errors: options that do not go together, or a file that cannot be used.
fn tls(
    subject: &Subject,
    via_tls: bool,
    mut trust: Trust,
    name: Option<String>,
    newest: Option<TlsVersion>,
) -> Result<Option<TargetTls>, String> {
    let given =
        [("--cacert", trust.ca.is_some()), ("--insecure", trust.anybody), ("--tls-name", name.is_some())];
    let given = given.into_iter().find(|(_, is_given)| *is_given);
    let about_tls = given.map(|(option, _)| option).or(newest.map(|_| "--tls-max"));
    if trust.ca.is_some() && trust.anybody {
        return Err("options '--cacert' and '--insecure' exclude each other; give one".into());
    }
    if let Some(option) = about_tls.filter(|_| !via_tls) {
        return Err(format!("option '{option}' is about TLS, which is not spoken; write --via-tls"));
    }
    let host = match (subject, given) {
        (Subject::Own, Some((option, _))) => {
            return Err(format!(
                "option '--self' starts a proxy with a certificate of its own; leave out '{option}'"
            ));
        }
        (Subject::Own, None) => {
            trust.anybody = true;
            Endpoint::loopback(0).name_in_certificate()
        }
        (Subject::Running { via, .. }, _) => name.unwrap_or_else(|| via.name_in_certificate()),
    };
    // Each handshake is a whole one, as of clients that come for the first time.
    let newest = newest.unwrap_or(TlsVersion::Tls13);
    let files = ClientTlsFiles { resume: false, newest, ..ClientTlsFiles::default() };
    via_tls.then(|| TargetTls::load(host, trust, files)).transpose()
}

/// A TCP address with its port.
fn tcp(text: &str) -> Result<Endpoint, String> {
    match values::endpoint(text)? {
        Endpoint::Unix(_) => Err("a UNIX socket knows no RST; write host:port".into()),
        endpoint @ (Endpoint::Tcp { .. } | Endpoint::Passed(_)) => Ok(endpoint),
    }
}

/// A TCP address to connect to.
fn tcp_peer(text: &str) -> Result<Endpoint, String> {
    values::connectable(tcp(text)?)
}
