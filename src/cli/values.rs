//! The values of options: one function for each kind, from the text typed to what the settings hold.
//! Each error is the reason alone; the caller names the option and the value before it.

use crate::{
    control::{
        place::Control,
        protocol::{Named, Sort},
    },
    net::{
        address::is_abstract,
        dial::Override,
        endpoint::{Endpoint, Host},
        network::{Network, V6_BITS},
        options::{KEEPALIVE_PROBES_MAX, KEEPALIVE_SECONDS_MAX, Keepalive},
        proxy_header::ProxyVersion,
    },
    report::format::{Dump, Log},
    session::{event::Side, health::Health},
    tools::{
        client::settings::Target,
        ctl::settings::Show,
        findings::Form,
        load::settings::{Body, Expect, Mode},
        top::settings::INTERVAL_MIN,
    },
};
use std::{
    fmt::{self, Write},
    net::IpAddr,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};
use strum::VariantArray;

/// A hundred years of 365.25 days: beyond any use, and far below what a clock, a timer or 64 bits of milliseconds hold.
const DURATION_MAX: Duration = Duration::from_secs(100 * 31_557_600);
/// Numbers of nine digits cannot add up to 2^64 seconds, near which humantime's own sum panics.
const DURATION_DIGITS_MAX: usize = 9;
/// With [`DURATION_DIGITS_MAX`], at most a handful of numbers to add.
const DURATION_BYTES_MAX: usize = 64;
/// Beyond any machine; the product of two such numbers fits 64 bits.
const COUNT_MAX: usize = 1_000_000_000;
/// Linux grants one process this many descriptors (`fs.nr_open`). Each client or connection needs one.
const CONNECTIONS_MAX: usize = 1 << 20;
/// 400 MB: some 400 bytes a session.
const REMEMBER_MAX: usize = 1_000_000;
/// More than any piece has: one read fills at most a buffer of 16 KiB. It bounds what the reporter's mailbox may hold.
const DUMP_LIMIT_BYTES_MAX: usize = 1 << 20;
/// One message of a load. For a stream there is `--mode bulk`.
const SIZE_MAX: u64 = 1 << 30;
const ANSWER_MAX: u64 = 1 << 40;
/// More than any machine has processors.
const THREADS_MAX: usize = 256;
const HTTP_PORT: u16 = 80;
/// What the port of most servers that speak TLS from the first byte is (RFC 9110 §4.2.2).
const TLS_PORT: u16 = 443;
const TLS_SCHEME: &str = "tls://";
/// Said of `fd:NAME` where no listener of a server is meant.
const NOT_PASSED: &str = "fd: names a socket that a service manager passes, and only a listener can have one; write \
                          host:port or unix:/path";
/// The URI type of the HTTP library takes no more.
const PATH_BYTES_MAX: usize = 65_534;
/// Printable ASCII characters that users type, and that RFC 3986 §3.3 and §3.4 do not allow unless they are encoded.
const ENCODED: &[char] = &[' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}'];

/// `250ms`, `10s`, `1m30s`, `1h`, or `off`, which is `None`.
pub fn duration(text: &str) -> Result<Option<Duration>, String> {
    if text == "off" {
        return Ok(None);
    }
    let digits = |char: char| char.is_ascii_digit();
    if !text.is_empty() && text.chars().all(|char| digits(char) || char == '.') {
        return Err(match text.trim_matches(['0', '.']) {
            "" => "it needs a unit, and it is zero; write off for no limit".into(),
            _ => format!("it needs a unit; write {text}s for seconds"),
        });
    }
    let digits_max = text.split(|char| !digits(char)).map(str::len).max().unwrap_or(0);
    if text.len() > DURATION_BYTES_MAX || digits_max > DURATION_DIGITS_MAX {
        return Err("it is too long to read; write a few digits and a unit, as in 10s".into());
    }
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("it is zero; write off for no limit".into()),
        Ok(duration) if duration > DURATION_MAX => {
            Err("it is more than 100 years; write off for no limit".into())
        }
        Ok(duration) => Ok(Some(duration)),
        Err(_) => Err("it is not a duration; write 250ms, 10s, 1m30s, 1h or off".into()),
    }
}

/// A duration that may be zero, which is `None`.
pub fn delay(text: &str) -> Result<Option<Duration>, String> {
    if ["0", "0s", "0ms"].contains(&text) { Ok(None) } else { duration(text) }
}

pub fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Some(interval) if interval >= INTERVAL_MIN => Ok(interval),
        _ => Err(format!("it must be at least {}ms", INTERVAL_MIN.as_millis())),
    }
}

pub fn count(text: &str) -> Result<usize, String> {
    up_to(COUNT_MAX, text)
}

/// A number of at least one, or `off`, which is `None`.
pub fn count_or_off(text: &str) -> Result<Option<usize>, String> {
    match text {
        "off" => Ok(None),
        "0" => Err("it would refuse every client; write off for no limit".into()),
        _ => count(text).map(Some),
    }
}

/// A number of leading bits of an IPv6 address.
pub fn source_prefix(text: &str) -> Result<u8, String> {
    up_to(usize::from(V6_BITS), text).map(|bits| u8::try_from(bits).unwrap_or(V6_BITS))
}

/// A number of sessions to remember; `off` is 0.
pub fn remember(text: &str) -> Result<usize, String> {
    if text == "off" { Ok(0) } else { up_to(REMEMBER_MAX, text) }
}

/// Any number of 64 bits.
pub fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("it is not a whole number from 0 to {}", u64::MAX))
}

pub fn dump_limit(text: &str) -> Result<usize, String> {
    up_to(DUMP_LIMIT_BYTES_MAX, text)
}

pub fn parallel(text: &str) -> Result<usize, String> {
    up_to(CONNECTIONS_MAX, text)
}

pub fn backlog(text: &str) -> Result<i32, String> {
    let count = count(text)?;
    i32::try_from(count).map_err(|_| format!("it must be at most {}", i32::MAX))
}

/// Networks, by commas: `10.0.0.0/8,192.0.2.7`.
pub fn networks(text: &str) -> Result<Vec<Network>, String> {
    text.split(',').map(|one| one.trim().parse()).collect()
}

/// A number a second, `2000/s`, or `off`, which is `None`.
pub fn rate_or_off(text: &str) -> Result<Option<NonZeroU32>, String> {
    if text == "off" {
        return Ok(None);
    }
    let number = text.strip_suffix("/s").ok_or("it needs its unit; write 2000/s, or off for no limit")?;
    let number = up_to(COUNT_MAX, number)?;
    Ok(u32::try_from(number).ok().and_then(NonZeroU32::new))
}

pub fn up_to(max: usize, text: &str) -> Result<usize, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("it is not a whole number; write one from 1 to {max}"));
    }
    match text.parse() {
        Ok(0) => Err("it must be at least 1".into()),
        Ok(number) if number <= max => Ok(number),
        _ => Err(format!("it must be at most {max}")),
    }
}

/// An address to listen on that is no listener of a server: no service manager passes it by name.
pub fn endpoint(text: &str) -> Result<Endpoint, String> {
    match listen(text)? {
        Endpoint::Passed(_) => Err(NOT_PASSED.into()),
        endpoint => Ok(endpoint),
    }
}

/// The address of a server's listener.
pub fn listen(text: &str) -> Result<Endpoint, String> {
    endpoint_or(None, text)
}

/// An address with its port, or `off`, which is `None`.
pub fn endpoint_or_off(text: &str) -> Result<Option<Endpoint>, String> {
    if text == "off" { Ok(None) } else { endpoint(text).map(Some) }
}

/// An address to connect to, with its port.
pub fn peer(text: &str) -> Result<Endpoint, String> {
    connectable(endpoint_or(None, text)?)
}

/// Where to relay to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAddress {
    pub endpoint: Endpoint,
    /// It stands after `tls://`.
    pub is_tls: bool,
}

impl UpstreamAddress {
    /// Whether it has a host, a name or an IP address, that a certificate could have.
    pub fn has_name(&self) -> bool {
        matches!(&self.endpoint, Endpoint::Tcp { host: Host::Name(_) | Host::Ip(_), .. })
    }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_tls { TLS_SCHEME } else { "" }, self.endpoint)
    }
}

/// A host name, which a certificate may have.
pub fn host_name(text: &str) -> Result<String, String> {
    match Endpoint::parse(text, Some(1))? {
        Endpoint::Tcp { host: Host::Name(name), .. } if !text.contains(':') => Ok(name),
        _ => Err("it is no host name".into()),
    }
}

/// An address to relay to, by default port 80; after `tls://` TLS is spoken there, by default port 443.
pub fn upstream(text: &str) -> Result<UpstreamAddress, String> {
    match text.split_at_checked(TLS_SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(TLS_SCHEME) => {
            Ok(UpstreamAddress { endpoint: over_tls(rest)?, is_tls: true })
        }
        _ => Ok(UpstreamAddress { endpoint: connectable(endpoint_or(Some(80), text)?)?, is_tls: false }),
    }
}

/// One rule for every command: an address alone, or after `tcp://`.
fn endpoint_or(port: Option<u16>, text: &str) -> Result<Endpoint, String> {
    refuse_other_transports(text)?;
    match split_scheme(text) {
        _ if text.is_empty() => Err("it is empty; write host:port".into()),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tcp") => Endpoint::parse(rest, port),
        Some(_) => Err("it is a URL; write the address alone, as in host:port".into()),
        None => Endpoint::parse(text, port),
    }
}

/// What looks like an address here, of something that is not TCP.
fn refuse_other_transports(text: &str) -> Result<(), String> {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("udp:") {
        return Err("UDP is out of scope; write a TCP address, as in host:port".into());
    }
    if lower.starts_with("tls:") {
        let text =
            "TLS is spoken to a target or an upstream, as in tls://host:443; write host:port for plain TCP";
        return Err(text.into());
    }
    Ok(())
}

/// Listeners, and where each leads to: `5432=db:5432`.
pub fn pairs(words: &[String]) -> Result<Vec<(Endpoint, UpstreamAddress)>, String> {
    if let [listen, upstream] = words
        && !listen.contains('=')
        && self::listen(listen).is_ok()
        && self::upstream(upstream).is_ok()
    {
        return Err(format!("'{listen}' and '{upstream}' are two words; did you mean {listen}={upstream}?"));
    }
    words.iter().map(|word| pair(word)).collect()
}

fn pair(word: &str) -> Result<(Endpoint, UpstreamAddress), String> {
    let sides = || word.match_indices('=').map(|(at, _)| (&word[..at], &word[at + 1..]));
    let read = |(listen, to)| Ok::<_, String>((self::listen(listen)?, upstream(to)?));
    // A path may hold an equals sign: it is the one that leaves two addresses.
    if let Some(pair) = sides().find_map(|sides| read(sides).ok()) {
        return Ok(pair);
    }
    let Some((listen, to)) = sides().next() else { return Err(no_pair(word)) };
    if let Err(reason) = self::listen(listen) {
        return Err(format!("'{listen}' in '{word}' is no address to listen on: {reason}"));
    }
    let reason = upstream(to).err().unwrap_or_default();
    Err(format!("'{to}' in '{word}' is no upstream: {reason}"))
}

fn no_pair(word: &str) -> String {
    match endpoint(word) {
        Ok(Endpoint::Tcp { host: Host::Name(_), port }) => {
            format!("'{word}' is one address; did you mean {port}={word}?")
        }
        Ok(_) => {
            format!("'{word}' does not say where it leads to; write {word}=UPSTREAM, as in {word}=db:5432")
        }
        Err(_) => format!("'{word}' is no LISTEN=UPSTREAM; write 5432=db:5432"),
    }
}

/// Port 0 lets the kernel choose; only a listener can ask that.
pub fn connectable(endpoint: Endpoint) -> Result<Endpoint, String> {
    match endpoint {
        Endpoint::Tcp { port: 0, .. } => {
            Err("port 0 takes no connections; write a port from 1 to 65535".into())
        }
        Endpoint::Passed(_) => Err(NOT_PASSED.into()),
        endpoint => Ok(endpoint),
    }
}

/// `host:port:addr[,addr…]`, as in curl; an IPv6 address may stand in brackets.
pub fn resolve(text: &str) -> Result<Override, String> {
    let form = "write host:port:addr[,addr...], as in example.com:80:127.0.0.1";
    let mut parts = text.splitn(3, ':');
    let (Some(host), Some(port), Some(addresses)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("it has fewer than three parts; {form}"));
    };
    let Endpoint::Tcp { host: Host::Name(host), port } = peer(&format!("{host}:{port}"))? else {
        return Err(format!("it does not begin with a host name; {form}"));
    };
    let addresses = addresses.split(',').map(ip).collect::<Result<_, _>>()?;
    Ok(Override { host, port, addresses })
}

fn ip(text: &str) -> Result<IpAddr, String> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    inner.parse().map_err(|_| format!("{text:?} is not an IP address; write one like 127.0.0.1 or [::1]"))
}

/// `IDLE/INTERVAL/PROBES`, or `off`, which is `None`.
pub fn keepalive(text: &str) -> Result<Option<Keepalive>, String> {
    if text == "off" {
        return Ok(None);
    }
    let parts: Vec<&str> = text.split('/').collect();
    let [idle, interval, probes] = parts[..] else {
        return Err(
            "it does not have three parts; write idle/interval/probes, as in 60s/10s/6, or off".into()
        );
    };
    let probes = up_to(KEEPALIVE_PROBES_MAX as usize, probes)
        .map_err(|reason| format!("{probes:?} as probes: {reason}"))?;
    Ok(Some(Keepalive {
        idle: whole_seconds(idle)?,
        interval: whole_seconds(interval)?,
        probes: u32::try_from(probes).map_err(|reason| reason.to_string())?,
    }))
}

/// The kernel counts the times of keepalive in seconds.
fn whole_seconds(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(Some(time)) if time.subsec_nanos() == 0 && time.as_secs() <= KEEPALIVE_SECONDS_MAX => Ok(time),
        _ => Err(format!("{text:?} must be whole seconds from 1s to {KEEPALIVE_SECONDS_MAX}s")),
    }
}

/// The path of a control socket, or `off`.
pub fn control(text: &str) -> Result<Control, String> {
    match text {
        "off" => Ok(Control::Off),
        path => match format!("unix:{path}").parse()? {
            Endpoint::Unix(path) if is_abstract(&path) => Err(
                "a name without a file has no mode that keeps others out; write a path in place of the name"
                    .into(),
            ),
            Endpoint::Unix(path) => Ok(Control::At(path)),
            Endpoint::Tcp { .. } | Endpoint::Passed(_) => Err("it is not a path".into()),
        },
    }
}

pub fn session(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "it is not the number of a session; 'ctl list' shows them".into())
}

/// `42,43`.
pub fn sessions(text: &str) -> Result<Vec<u64>, String> {
    text.split(',').map(|one| session(one.trim())).collect()
}

/// A duration in whole milliseconds, at least one.
pub fn milliseconds(text: &str) -> Result<u64, String> {
    let duration = duration(text)?.ok_or("it cannot be off; write a duration, as in 2s")?;
    match u64::try_from(duration.as_millis()) {
        Ok(ms) if ms > 0 => Ok(ms),
        _ => Err("it must be at least 1ms".into()),
    }
}

/// `stalled,half-closed`: how sessions do that are to be shown.
pub fn healths(text: &str) -> Result<Vec<Named<Health>>, String> {
    let names = || Health::VARIANTS.iter().map(|health| health.name()).collect::<Vec<_>>().join(", ");
    let one = |name: &str| match Named::of(name) {
        Named::Other(_) => Err(format!("'{name}' is none of {}", names())),
        known => Ok(known),
    };
    text.split(',').map(one).collect()
}

/// Functions that read one of several words.
macro_rules! choices {
    ($($name:ident -> $type:ty { $($word:literal => $value:expr),* })*) => {$(
        pub fn $name(text: &str) -> Result<$type, String> {
            match text {
                $($word => Ok($value),)*
                _ => Err(format!("it is none of the choices; write {}", [$($word),*].join(" or "))),
            }
        }
    )*};
}

choices! {
    auto -> bool { "auto" => true, "off" => false }
    dump -> Dump { "off" => Dump::Off, "text" => Dump::Text, "hex" => Dump::Hex }
    log -> Log { "text" => Log::Text, "json" => Log::Json, "off" => Log::Off }
    mode -> Option<Mode> { "pingpong" => Some(Mode::Pingpong), "bulk" => Some(Mode::Bulk), "churn" => Some(Mode::Churn) }
    show -> Show { "text" => Show::Text, "hex" => Show::Hex, "raw" => Show::Raw }
    side -> Option<Side> { "client" => Some(Side::Client), "upstream" => Some(Side::Upstream), "both" => None }
    send_proxy -> ProxyVersion { "v1" => ProxyVersion::V1, "v2" => ProxyVersion::V2 }
    sort -> Sort { "age" => Sort::Age, "bytes" => Sort::Bytes, "rate" => Sort::Rate, "idle" => Sort::Idle, "problems" => Sort::Problems, "client" => Sort::Client, "upstream" => Sort::Upstream, "up" => Sort::ClientRate, "down" => Sort::UpstreamRate, "waiting" => Sort::Waiting }
}

/// A method (RFC 9110 §9.1) whose answer has a body.
pub fn method(text: &str) -> Result<String, String> {
    match text {
        "HEAD" | "CONNECT" => Err("its answer has no body to verify; write another method".into()),
        _ if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            Ok(text.to_owned())
        }
        _ => Err("it is no method; write one like POST or PUT".into()),
    }
}

/// A field of a request (RFC 9110 §5.1): `Name: value`.
pub fn field(text: &str) -> Result<String, String> {
    let form = "write a name and a value, as in 'Accept: text/html'";
    let (name, value) = text.split_once(':').ok_or(form)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_name) || value.chars().any(char::is_control) {
        return Err(form.into());
    }
    match name.to_ascii_lowercase().as_str() {
        "content-length" | "transfer-encoding" => {
            Err("the length of the body is ours to say; leave it out".into())
        }
        _ => Ok(format!("{name}: {}", value.trim())),
    }
}

/// The body of a request: a text, or `@FILE`.
pub fn body(text: &str) -> Result<Body, String> {
    match text.strip_prefix('@') {
        Some("") => Err("it names no file; write @FILE".into()),
        Some(path) => Ok(Body::File(path.into())),
        None => escaped(text).map(Body::Text),
    }
}

/// `junit=FILE`, `md=FILE`, `html=FILE` or `github`.
pub fn form(text: &str) -> Result<Form, String> {
    match text.split_once('=') {
        None if text == "github" => Ok(Form::Github),
        Some((_, "")) => Err("it names no file; write junit=FILE".into()),
        Some(("junit", path)) => Ok(Form::Junit(path.into())),
        Some(("md", path)) => Ok(Form::Markdown(path.into())),
        Some(("html", path)) => Ok(Form::Html(path.into())),
        _ => Err("it is no form of a report; write junit=FILE, md=FILE, html=FILE or github".into()),
    }
}

/// A number of connections, or `max`, which is `None`.
pub fn connections(text: &str) -> Result<Option<usize>, String> {
    if text == "max" { Ok(None) } else { up_to(CONNECTIONS_MAX, text).map(Some) }
}

pub fn threads(text: &str) -> Result<usize, String> {
    up_to(THREADS_MAX, text)
}

/// The name of a group (useradd(8) takes at most 32 characters), or its number.
pub fn group(text: &str) -> Result<String, String> {
    let is_name = (1..=32).contains(&text.len()) && !text.contains([':', '/', ',', ' ']);
    if is_name { Ok(text.to_owned()) } else { Err("it is not the name of a group".into()) }
}

/// A number of threads; none is `auto`.
pub fn threads_or_auto(text: &str) -> Result<Option<NonZeroUsize>, String> {
    if text == "auto" { Ok(None) } else { threads(text).map(NonZeroUsize::new) }
}

/// `64`, `16k`, `1m`, `1g`: in steps of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    amount(text, SIZE_MAX)
}

fn amount(text: &str, most: u64) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("it is not a number of bytes; write 64, 16k or 1m".into());
    }
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    bytes.filter(|bytes| *bytes <= most).ok_or_else(|| format!("it must be at most {}g", most >> 30))
}

/// `echo`, `until-close`, or a number of bytes.
pub fn expect(text: &str) -> Result<Expect, String> {
    match text {
        "echo" => Ok(Expect::Echo),
        "until-close" => Ok(Expect::UntilClose),
        _ if text.starts_with(|c: char| c.is_ascii_digit()) => amount(text, ANSWER_MAX).map(Expect::Bytes),
        _ => Err("it is no answer; write echo, until-close, or a number of bytes".into()),
    }
}

/// Text in which each escape stands for one byte.
pub fn escaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let mut chars = after.chars();
        match chars.next() {
            Some('r') => bytes.push(b'\r'),
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits =
                    after.get(1..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                bytes.push(byte.ok_or("two hexadecimal digits follow \\x, as in \\x0a")?);
                chars = after[3..].chars();
            }
            _ => return Err("a backslash begins \\r \\n \\t \\0 \\xNN or \\\\; write \\\\ for itself".into()),
        }
        rest = chars.as_str();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// What a client or a load asks: `http://host[:port]/path`, `https://…`, `tcp://host:port`, `tls://host[:port]`,
/// `unix:/path`; a host with nothing before it means http.
pub fn target(text: &str) -> Result<Target, String> {
    if text.chars().any(char::is_control) {
        return Err("it holds a control character; leave it out".into());
    }
    if let Some((scheme, rest)) = split_scheme(text)
        && scheme.eq_ignore_ascii_case("tls")
    {
        return address("tls", rest).and_then(over_tls).map(Target::Tls);
    }
    refuse_other_transports(text)?;
    match split_scheme(text) {
        None if text.starts_with("unix:") => peer(text).map(Target::Tcp),
        None => http(text, false),
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "http" => http(rest, false),
            "https" => http(rest, true),
            "tcp" => address("tcp", rest).and_then(peer).map(Target::Tcp),
            _ => Err(format!("{scheme:?} is not spoken here; write https://host/path or tcp://host:port")),
        },
    }
}

/// Splits `scheme://rest` (RFC 3986 §3.1); a `://` further on belongs to a path or a query.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.split_once("://").filter(|(scheme, _)| scheme.bytes().all(legal))
}

/// The address after a scheme that knows no paths.
fn address<'a>(scheme: &str, rest: &'a str) -> Result<&'a str, String> {
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) && !authority.starts_with("unix:") {
        return Err(format!("a {scheme}:// target has no path; write {scheme}://host:port"));
    }
    if authority.is_empty() {
        return Err(format!("it names no host; write {scheme}://host:port"));
    }
    Ok(authority)
}

/// An address that TLS is spoken to, by default at port 443.
fn over_tls(text: &str) -> Result<Endpoint, String> {
    if text.is_empty() || split_scheme(text).is_some() {
        return Err("it names no host; write tls://host:port".into());
    }
    connectable(Endpoint::parse(text, Some(TLS_PORT))?)
}

fn http(rest: &str, over_tls: bool) -> Result<Target, String> {
    let own_port = if over_tls { TLS_PORT } else { HTTP_PORT };
    // RFC 9110 §7.1: a fragment is not sent.
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.is_empty() || authority.starts_with(':') {
        return Err("it names no host; write http://host/path".into());
    }
    if authority.contains('@') {
        return Err("a user name is not sent; write http://host/path".into());
    }
    let endpoint = connectable(Endpoint::parse(authority, Some(own_port))?)?;
    let host = match &endpoint {
        Endpoint::Unix(_) | Endpoint::Passed(_) => {
            return Err("a UNIX socket has no place in http://; use --via unix:/path".into());
        }
        Endpoint::Tcp { port, .. } => {
            let shown = endpoint.to_string();
            let own = if *port == own_port { format!(":{port}") } else { String::new() };
            shown.strip_suffix(&own).unwrap_or(&shown).to_owned()
        }
    };
    let path = encode(path);
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("its path is longer than {PATH_BYTES_MAX} bytes"));
    }
    Ok(Target::Http { endpoint, host, path, over_tls })
}

/// The path and query as they are sent: encoded by RFC 3986 §2.1. What is encoded already stays as it is.
fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        encoded.push('/');
    }
    for char in path.chars() {
        if char.is_ascii() && !ENCODED.contains(&char) {
            encoded.push(char);
        } else {
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                write!(encoded, "%{byte:02X}").expect("a String takes all that is written to it");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_steps_of_1024() {
        for (text, bytes) in [("0", 0), ("64", 64), ("16k", 16_384), ("1m", 1 << 20), ("1G", 1 << 30)] {
            assert_eq!(size(text), Ok(bytes));
        }
        for text in [
            "",
            "k",
            "-1",
            "+1",
            "1.5k",
            "1kb",
            "64 ",
            "2g",
            "99999999999999999999",
            "18446744073709551615k",
            "ä",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn escapes_are_single_bytes() {
        assert_eq!(escaped(r"PING\r\n").unwrap(), b"PING\r\n");
        assert_eq!(escaped(r"\\r\x00\xfFä\0\t").unwrap(), b"\\r\0\xff\xc3\xa4\0\t");
        for text in [r"\", r"\q", r"\x", r"\x1", r"\xg0", r"\x+1", r"\xä0"] {
            assert!(escaped(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_is_a_word_or_a_number() {
        assert_eq!(expect("7"), Ok(Expect::Bytes(7)));
        assert_eq!(expect("until-close"), Ok(Expect::UntilClose));
        assert!(expect("all").is_err() && expect("").is_err());
    }

    #[track_caller]
    fn assert_http(text: &str, at: &str, host: &str, path: &str) {
        let endpoint = Endpoint::parse(at, None).unwrap();
        let over_tls = text.to_ascii_lowercase().starts_with("https:");
        let expected = Target::Http { endpoint, host: host.into(), path: path.into(), over_tls };
        assert_eq!(target(text).unwrap(), expected, "{text}");
    }

    #[test]
    fn an_http_target_is_split_into_its_parts() {
        assert_http("http://www.google.com/", "www.google.com:80", "www.google.com", "/");
        assert_http("HTTP://a:8080/b?c=d#e", "a:8080", "a:8080", "/b?c=d");
        assert_http("http://a:80?q", "a:80", "a", "/?q");
        assert_http("http://[::1]:81/x", "[::1]:81", "[::1]:81", "/x");
        assert_http("http://[::1]/", "[::1]:80", "[::1]", "/");
        assert_http("http://a/s p/ä%20", "a:80", "a", "/s%20p/%C3%A4%20");
        assert_http("https://a/b", "a:443", "a", "/b");
        assert_http("HTTPS://[::1]:80", "[::1]:80", "[::1]:80", "/");
        assert_http("http://a:443/", "a:443", "a:443", "/");
    }

    #[test]
    fn a_bare_host_means_http() {
        assert_http("example.com", "example.com:80", "example.com", "/");
        assert_http("localhost:8003/bytes/9", "localhost:8003", "localhost:8003", "/bytes/9");
        assert_http("a/?u=https://b/", "a:80", "a", "/?u=https://b/");
        assert_http("8003", "127.0.0.1:8003", "127.0.0.1:8003", "/");
    }

    #[test]
    fn a_tcp_target_is_an_address() {
        for text in ["tcp://127.0.0.1:8001", "tcp://127.0.0.1:8001/", "tcp://8001"] {
            assert_eq!(target(text).unwrap(), Target::Tcp(Endpoint::loopback(8001)), "{text}");
        }
        assert_eq!(target("unix:/tmp/a").unwrap(), Target::Tcp("unix:/tmp/a".parse().unwrap()));
        for (text, at) in [("tls://a", "a:443"), ("TLS://a:1/", "a:1"), ("tls://unix:/tmp/a", "unix:/tmp/a")]
        {
            assert_eq!(target(text).unwrap(), Target::Tls(at.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_upstream_is_an_address_that_tls_may_be_spoken_to() {
        for (text, address, is_tls) in [
            ("tcp://127.0.0.1:8001", "127.0.0.1:8001", false),
            ("a", "a:80", false),
            ("tls://a", "a:443", true),
            ("TLS://a:1", "a:1", true),
            ("tls://[::1]:1", "[::1]:1", true),
            ("tls://unix:/a", "unix:/a", true),
        ] {
            let upstream = upstream(text).unwrap();
            assert_eq!(
                (upstream.endpoint.to_string().as_str(), upstream.is_tls),
                (address, is_tls),
                "{text}"
            );
            let shown = if is_tls { format!("tls://{address}") } else { address.to_owned() };
            assert_eq!(upstream.to_string(), shown);
        }
        for (text, reason) in [
            ("tls://", "names no host"),
            ("tls://tcp://a:1", "names no host"),
            ("tls:a:1", "tls://host:443"),
            ("tls://a:0", "port 0"),
            ("tls://a b", "not a host name"),
            ("tls://fd:a", "only a listener"),
        ] {
            let refused = upstream(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "names no host"),
            ("http://", "names no host"),
            ("http:///path", "names no host"),
            ("http://:80/", "names no host"),
            ("https://", "names no host"),
            ("https://unix:a/", "--via"),
            ("tls:a:1", "as in tls://host:443"),
            ("tls://", "names no host"),
            ("tls://a:1/b", "no path"),
            ("tls://a:0", "port 0"),
            ("udp:a:1", "UDP is out of scope"),
            ("UDP://a:1", "UDP is out of scope"),
            ("ftp://a/", "\"ftp\" is not spoken"),
            ("://a", "\"\" is not spoken"),
            ("http://me@a/", "user name"),
            ("http://a:0/", "port 0"),
            ("http://a:x/", "not a port"),
            ("http://a\r\nX: y/", "control character"),
            ("http://unix:a/", "--via"),
            ("unix:", "the path after unix: is empty"),
            ("tcp://", "names no host"),
            ("tcp://a", "names no port"),
            ("tcp://a:1/b", "no path"),
            ("tcp://a:0", "port 0"),
        ] {
            let refused = target(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
