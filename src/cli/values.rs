//! The values of options: one function for each kind, from the text typed to what the settings hold.
//! Each error is the reason alone; the caller names the option and the value before it.

use crate::{
    control::{place::Control, protocol::Sort},
    net::network::Network,
    net::{
        dial::Override,
        endpoint::{Endpoint, Host},
        options::Keepalive,
    },
    report::format::{Dump, Log},
    session::event::Side,
    tools::{ctl::settings::Show, top::settings::INTERVAL_MIN},
};
use std::{net::IpAddr, time::Duration};

/// Ten years of 365.25 days: far beyond any use, and far below what a clock or a timer can add.
const DURATION_MAX: Duration = Duration::from_secs(10 * 31_557_600);
/// Numbers of so many digits cannot add up to 2^64 seconds, near which humantime's own sum panics.
const DURATION_DIGITS_MAX: usize = 9;
/// With [`DURATION_DIGITS_MAX`], at most a handful of numbers to add.
const DURATION_BYTES_MAX: usize = 64;
/// Beyond any machine; two such numbers can still be multiplied in 64 bits.
const COUNT_MAX: usize = 1_000_000_000;
/// As many descriptors as Linux grants one process (`fs.nr_open`); each client needs one.
const PARALLEL_MAX: usize = 1 << 20;
/// What Linux takes for `TCP_KEEPIDLE` and `TCP_KEEPINTVL` (`MAX_TCP_KEEPIDLE`), in seconds.
const KEEPALIVE_SECONDS_MAX: u64 = 32_767;
/// What Linux takes for `TCP_KEEPCNT` (`MAX_TCP_KEEPCNT`).
const KEEPALIVE_PROBES_MAX: usize = 127;

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
            Err("it is more than ten years; write off for no limit".into())
        }
        Ok(duration) => Ok(Some(duration)),
        Err(_) => Err("it is not a duration; write 250ms, 10s, 1m30s, 1h or off".into()),
    }
}

/// A time between two looks at a server.
pub fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Some(interval) if interval >= INTERVAL_MIN => Ok(interval),
        _ => Err(format!("it must be at least {}ms", INTERVAL_MIN.as_millis())),
    }
}

/// A number of at least one.
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

/// A number of sessions to remember; `off` is 0.
pub fn remember(text: &str) -> Result<usize, String> {
    if text == "off" { Ok(0) } else { count(text) }
}

/// Clients at once.
pub fn parallel(text: &str) -> Result<usize, String> {
    up_to(PARALLEL_MAX, text)
}

/// The length of a listening socket's queue.
pub fn backlog(text: &str) -> Result<i32, String> {
    let count = count(text)?;
    i32::try_from(count).map_err(|_| format!("it must be at most {}", i32::MAX))
}

/// A whole number from one to `max`.
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

/// An address with its port.
pub fn endpoint(text: &str) -> Result<Endpoint, String> {
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

/// An address to connect to; port 80 where none is named.
pub fn upstream(text: &str) -> Result<Endpoint, String> {
    connectable(endpoint_or(Some(80), text)?)
}

fn endpoint_or(port: Option<u16>, text: &str) -> Result<Endpoint, String> {
    match text.split_once("://") {
        _ if text.is_empty() => Err("it is empty; write host:port".into()),
        Some((scheme, _)) if !scheme.starts_with("unix:") => {
            Err("it is a URL; write the address alone, as in host:port".into())
        }
        _ => Endpoint::parse(text, port),
    }
}

/// Port 0 asks the kernel to choose one, which only a listener can.
pub fn connectable(endpoint: Endpoint) -> Result<Endpoint, String> {
    match endpoint {
        Endpoint::Tcp { port: 0, .. } => Err("nobody listens on port 0; write a port from 1 to 65535".into()),
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
    let probes =
        up_to(KEEPALIVE_PROBES_MAX, probes).map_err(|reason| format!("{probes:?} as probes: {reason}"))?;
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
            Endpoint::Unix(path) => Ok(Control::At(path)),
            Endpoint::Tcp { .. } => Err("it is not a path".into()),
        },
    }
}

/// The number of a session.
pub fn session(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "it is not the number of a session; 'ctl list' shows them".into())
}

/// `age`, `bytes`, `rate` or `idle`.
pub fn sort(text: &str) -> Result<Sort, String> {
    choice(text, &[("age", Sort::Age), ("bytes", Sort::Bytes), ("rate", Sort::Rate), ("idle", Sort::Idle)])
}

/// `client`, `upstream`, or `both`, which is `None`.
pub fn side(text: &str) -> Result<Option<Side>, String> {
    choice(text, &[("client", Some(Side::Client)), ("upstream", Some(Side::Upstream)), ("both", None)])
}

/// `text`, `hex` or `raw`.
pub fn show(text: &str) -> Result<Show, String> {
    choice(text, &[("text", Show::Text), ("hex", Show::Hex), ("raw", Show::Raw)])
}

/// `10.0.0.0/8`, or one address.
pub fn network(text: &str) -> Result<Network, String> {
    text.parse()
}

/// `text`, `json` or `off`.
pub fn log(text: &str) -> Result<Log, String> {
    choice(text, &[("text", Log::Text), ("json", Log::Json), ("off", Log::Off)])
}

/// `off`, `text` or `hex`.
pub fn dump(text: &str) -> Result<Dump, String> {
    choice(text, &[("off", Dump::Off), ("text", Dump::Text), ("hex", Dump::Hex)])
}

/// `auto` or `off`.
pub fn auto(text: &str) -> Result<bool, String> {
    choice(text, &[("auto", true), ("off", false)])
}

/// One of several words.
pub fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    if let Some(&(_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(value);
    }
    let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
    Err(format!("it is none of the choices; write {}", names.join(" or ")))
}
