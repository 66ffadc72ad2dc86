//! One session, and one server, laid out for reading: `ctl` prints these lines, and `top` draws them.

use crate::{
    control::protocol::{
        EndedSession, Greeting, ListedSession, MetFault, MetFaults, Named, ServerStats, SessionDetail,
    },
    net::{kernel::TcpInfo, tls::facts::TlsFacts},
    report::tally::{HandshakeResults, Handshakes},
    session::{event::Mode, health::Health, introduction::Introduced, record::Selection},
    text::{
        columns::width,
        escape::Escaped,
        safe::SafeText,
        table::{Colour, span},
        units::{self, bytes, duration, rate},
        wrap::{WIDTH, wrap},
    },
};
use std::time::Duration;

/// Where the second column begins.
const LABEL: usize = 11;

/// A line, and how it stands out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub tone: Tone,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Head,
    Dim,
    /// As a session does.
    Health(Health),
    /// It ended in a failure.
    Failed,
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Line { text, tone: Tone::Plain }
    }
}

/// How a session does, as a sign that is told from the others without colours.
pub fn sign(health: Health) -> char {
    match health {
        Health::Opening => '◔',
        Health::Dialling => '◌',
        Health::Live => '●',
        Health::Idle => '○',
        Health::HalfClosed => '◐',
        Health::Stalled => '✖',
        Health::Held => '‖',
    }
}

pub fn colour(health: Health) -> Colour {
    match health {
        Health::Opening | Health::Dialling => Colour::Cyan,
        Health::Live => Colour::Green,
        Health::Idle => Colour::Dim,
        Health::HalfClosed => Colour::Yellow,
        Health::Stalled => Colour::Red,
        Health::Held => Colour::Magenta,
    }
}

/// The sign and the word; the word alone for what only a newer server knows.
pub fn state(health: &Named<Health>) -> String {
    match health {
        Named::Known(known) => format!("{} {known}", sign(*known)),
        Named::Other(other) => other.to_string(),
    }
}

/// As [`state`], with a `!` after the sign if a fault hits the session.
pub fn marked_state(listed: &ListedSession) -> String {
    let state = state(&listed.health);
    if listed.faults.is_empty() { state } else { state.replacen(' ', "!", 1) }
}

/// All about a live session. In `brief` the kernel's view has three lines.
pub fn session(facts: &SessionDetail, brief: bool) -> Vec<Line> {
    let listed = &facts.listed;
    let mut lines = vec![head(listed)];
    lines.extend(addresses(facts));
    let (age, idle) = (span(listed.age_ms), span(listed.idle_ms));
    let taps = match facts.taps {
        0 => String::new(),
        1 => ", 1 tap".to_owned(),
        taps => format!(", {taps} taps"),
    };
    lines.push(labelled("life", format!("{}, age {age}, idle {idle}{taps}", listed.phase)));
    lines.push(Line::default());
    lines.extend(moved(listed));
    let (client, upstream) = (facts.client_tcp.as_ref(), facts.upstream_tcp.as_ref());
    if client.or(upstream).is_some() {
        lines.push(Line::default());
        lines.extend(if brief { kernel_rows(client, upstream) } else { kernel_columns(client, upstream) });
    }
    lines.retain(|line| !(brief && line.text.is_empty()));
    lines
}

fn head(listed: &ListedSession) -> Line {
    let text =
        format!("session {}: {}, {} on {}", listed.session, state(&listed.health), listed.mode, listed.name);
    let tone = match listed.health {
        Named::Known(health) => Tone::Health(health),
        Named::Other(_) => Tone::Head,
    };
    Line { text, tone }
}

fn labelled(label: &str, text: String) -> Line {
    let space = " ".repeat(LABEL.saturating_sub(width(label)));
    format!("{label}{space}{text}").into()
}

fn addresses(facts: &SessionDetail) -> Vec<Line> {
    let listed = &facts.listed;
    let mut lines = vec![labelled("client", format!("{} to {}", listed.client, facts.local))];
    lines.extend(listed.source.iter().map(|source| labelled("source", source.to_string())));
    if listed.mode == Named::Known(Mode::Proxy) {
        let ends = [&facts.upstream_local, &listed.upstream].map(|end| SafeText::or_dash(end.as_ref()));
        lines.push(labelled("upstream", format!("{} to {}", ends[0], ends[1])));
        lines.push(labelled("dialled", dialled(facts.resolve_ms, facts.connect_ms, facts.first_byte_ms)));
    }
    lines.extend(way(&facts.choice));
    lines.extend(introduction(facts));
    lines
}

/// What the client said before its stream, what was agreed on with both sides, and whether bulk is copied.
fn introduction(facts: &SessionDetail) -> Vec<Line> {
    let mut lines = Vec::new();
    if facts.sni.is_some() || !facts.alpn.is_empty() {
        let alpn: Vec<_> = facts.alpn.iter().map(SafeText::as_str).collect();
        let offers = if alpn.is_empty() { String::new() } else { format!(", offers {}", alpn.join(", ")) };
        let ech = if facts.ech { ", ech" } else { "" };
        lines.push(labelled("hello", format!("{}{offers}{ech}", SafeText::or_dash(facts.sni.as_ref()))));
    }
    lines.extend(facts.client_tls.iter().map(|tls| labelled("↑ tls", agreed(tls))));
    lines.extend(facts.upstream_tls.iter().map(|tls| labelled("↓ tls", agreed(tls))));
    lines.extend(facts.met.iter().flat_map(met));
    lines.extend(facts.splice_off.iter().map(|why| labelled("spliced", format!("no ({why})"))));
    lines
}

/// The faults that a session has met, and what they hold.
fn met(faults: &MetFaults) -> Vec<Line> {
    let fault = |one: &MetFault| {
        let MetFault { name, kind, stream, values, hit, acts } = one;
        let hits = match (hit, acts) {
            (true, true) => "hits",
            (true, false) => "hits, and pauses",
            (false, _) => "spares it",
        };
        let values = if values.as_str().is_empty() { String::new() } else { format!(", {values}") };
        labelled("fault", format!("{name}: {hits}; {kind} {stream}{values}"))
    };
    let mut lines: Vec<Line> = faults.met_faults.iter().map(fault).collect();
    let (client, upstream) = (bytes(faults.client_held), bytes(faults.upstream_held));
    let most = bytes(faults.held_max);
    lines.push(labelled("faults hold", format!(" ↑ {client}, ↓ {upstream}, each at most {most}")));
    lines
}

fn agreed(tls: &TlsFacts) -> String {
    let [exchange, alpn, peer] = [
        tls.key_exchange.as_deref().map(|exchange| format!(", {exchange}")),
        tls.alpn.as_deref().map(|alpn| format!(", {alpn}")),
        tls.peer.as_deref().map(|peer| format!(", peer {peer}")),
    ]
    .map(Option::unwrap_or_default);
    let resumed = if tls.resumed { ", resumed" } else { "" };
    Escaped(format!("{} {}{exchange}{alpn}{resumed}{peer}", tls.version, tls.suite).as_bytes()).to_string()
}

/// Which way a session went, if there was a choice: its route, its server, and those that could not be reached.
fn way(choice: &Selection) -> Vec<Line> {
    let Selection { route, upstream_group, server, why, tried } = choice;
    let mut lines: Vec<Line> = route.iter().map(|route| labelled("route", route.to_string())).collect();
    if let Some(group) = upstream_group {
        let server = SafeText::or_dash(server.as_ref());
        let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        lines.push(labelled("server", format!("{server} of {group}{why}")));
    }
    lines.extend(tried.iter().map(|one| {
        let time = Duration::try_from_secs_f64(one.ms / 1e3).map_or_else(|_| "-".to_owned(), duration);
        labelled("tried", format!("{}: {} after {time}", one.server, one.error))
    }));
    lines
}

fn dialled(resolve_ms: Option<f64>, connect_ms: Option<f64>, first_byte_ms: Option<f64>) -> String {
    let took = |ms: Option<f64>| {
        ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok()).map_or("-".to_owned(), duration)
    };
    format!(
        "resolved in {}, connected in {}, first byte after {}",
        took(resolve_ms),
        took(connect_ms),
        took(first_byte_ms)
    )
}

fn moved(listed: &ListedSession) -> Vec<Line> {
    let row = |label: &str, [all, rates, here, kernel]: [String; 4]| {
        labelled(label, format!("{all:>10} {rates:>12} {here:>12} {kernel:>12}"))
    };
    let numbers = |label: &str, all, second, here, kernel| {
        row(label, [bytes(all), rate(second), bytes(here), bytes(kernel)])
    };
    let heads = ["MOVED", "A SECOND", "WAITING", "UNSENT"].map(str::to_owned);
    vec![
        Line { tone: Tone::Dim, ..row("", heads) },
        numbers(
            "↑ client",
            listed.client_bytes,
            listed.client_rate,
            listed.client_waiting,
            listed.client_queued,
        ),
        numbers(
            "↓ upstream",
            listed.upstream_bytes,
            listed.upstream_rate,
            listed.upstream_waiting,
            listed.upstream_queued,
        ),
    ]
}

fn round_trip(leg: &TcpInfo) -> String {
    duration(Duration::from_micros(leg.rtt_us.into()))
}

/// The kernel's view, a line for each connection: 80 columns.
fn kernel_rows(client: Option<&TcpInfo>, upstream: Option<&TcpInfo>) -> Vec<Line> {
    let row = |[side, state, rtt, window, unread, unsent, lost, resent]: [String; 8]| {
        format!("{side:10} {state:12} {rtt:>9} {window:>7} {unread:>10} {unsent:>10} {lost:>6} {resent:>7}")
    };
    let leg = |(side, leg): (&str, &TcpInfo)| {
        row([
            side.to_owned(),
            leg.state.to_string(),
            round_trip(leg),
            leg.congestion_window.to_string(),
            bytes(leg.receive_queue.into()),
            bytes(leg.send_queue.into()),
            leg.lost_segments.to_string(),
            leg.retransmits.to_string(),
        ])
        .into()
    };
    let heads = ["KERNEL", "STATE", "RTT", "WINDOW", "UNREAD", "UNSENT", "LOST", "RESENT"];
    let head = Line { text: row(heads.map(str::to_owned)), tone: Tone::Dim };
    let legs = [("client", client), ("upstream", upstream)];
    [head].into_iter().chain(legs.into_iter().filter_map(|(side, there)| Some(leg((side, there?))))).collect()
}

/// A fact that the kernel knows of a connection, in words.
type Fact = fn(&TcpInfo) -> String;

/// The kernel's view, a line for each fact, a column for each connection.
fn kernel_columns(client: Option<&TcpInfo>, upstream: Option<&TcpInfo>) -> Vec<Line> {
    let facts: [(&str, Fact); 11] = [
        ("state", |leg| leg.state.to_string()),
        ("round trip", round_trip),
        ("its variation", |leg| duration(Duration::from_micros(leg.rtt_variation_us.into()))),
        ("unread here", |leg| bytes(leg.receive_queue.into())),
        ("unacknowledged", |leg| bytes(leg.send_queue.into())),
        ("congestion control", |leg| leg.congestion_control.to_string()),
        ("congestion window", |leg| format!("{} segments", leg.congestion_window)),
        ("segment", |leg| bytes(leg.segment_bytes.into())),
        ("segments on the way", |leg| leg.unacknowledged_segments.to_string()),
        ("segments lost now", |leg| leg.lost_segments.to_string()),
        ("segments resent", |leg| leg.retransmits.to_string()),
    ];
    let legs = [("CLIENT", client), ("UPSTREAM", upstream)];
    let there = || legs.into_iter().filter_map(|(name, leg)| Some((name, leg?)));
    let row = |label: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>18}")).collect();
        format!("{label:20}{cells}")
    };
    let head = row("KERNEL", there().map(|(name, _)| name.to_owned()).collect());
    let lines =
        facts.into_iter().map(|(label, fact)| row(label, there().map(|(_, leg)| fact(leg)).collect()).into());
    [Line { text: head, tone: Tone::Dim }].into_iter().chain(lines).collect()
}

/// All about a session that has ended.
pub fn ended(one: &EndedSession) -> Vec<Line> {
    let failed = matches!(one.cause, Named::Known(cause) if cause.is_failure());
    let tone = if failed { Tone::Failed } else { Tone::Head };
    let mut lines = vec![
        Line { text: format!("session {} ended: {}", one.session, one.verdict), tone },
        labelled("cause", one.cause.to_string()),
        labelled("ended", one.ts.to_string()),
        labelled("mode", one.mode.to_string()),
        labelled("client", one.client.to_string()),
    ];
    if one.mode == Named::Known(Mode::Proxy) {
        lines.push(labelled("upstream", SafeText::or_dash(one.upstream.as_ref()).to_owned()));
        lines.push(labelled("dialled", dialled(one.resolve_ms, one.connect_ms, one.first_byte_ms)));
    }
    lines.extend(way(&one.choice));
    let Introduced { source, sni, alpn, tls } = &one.introduced;
    for (label, text) in [("source", source), ("sni", sni), ("alpn", alpn), ("tls", tls)] {
        lines.extend(text.iter().map(|text| labelled(label, text.to_string())));
    }
    let life = Duration::try_from_secs_f64(one.duration_ms / 1e3).unwrap_or_default();
    lines.push(labelled("life", duration(life)));
    lines.extend(one.error.as_ref().map(|error| labelled("error", error.to_string())));
    let row = |label: &str, all: String, left: String| labelled(label, format!("{all:>10} {left:>14}"));
    lines.push(Line::default());
    lines.push(Line { tone: Tone::Dim, ..row("", "MOVED".to_owned(), "UNDELIVERED".to_owned()) });
    lines.push(row("↑ client", bytes(one.client_bytes), bytes(one.client_undelivered)));
    lines.push(row("↓ upstream", bytes(one.upstream_bytes), bytes(one.upstream_undelivered)));
    lines
}

/// The line of numbers: what is open, what is not well, what has ended.
pub fn numbers(stats: &ServerStats) -> String {
    let mut parts = vec![format!("{} open", stats.live)];
    for health in [Health::Stalled, Health::Held, Health::HalfClosed, Health::Dialling, Health::Opening] {
        let count = stats.doing(health);
        if count > 0 {
            parts.push(format!("{count} {health}"));
        }
    }
    let failed = if stats.failed > 0 { format!(" ({} failed)", stats.failed) } else { String::new() };
    parts.push(format!("{} ended{failed}", stats.ended));
    if stats.paused {
        parts.push("PAUSED".to_owned());
    }
    if stats.draining {
        parts.push("DRAINING".to_owned());
    }
    parts.join(" · ")
}

/// A server and its totals.
pub fn stats(greeting: &Greeting, stats: &ServerStats) -> Vec<Line> {
    let about =
        format!("switchboard {}, pid {}, up {}", greeting.version, greeting.pid, span(stats.uptime_ms));
    let moved = |label: &str, all: u64, second: u64| {
        labelled(label, format!("{:>10} {:>12}", bytes(all), rate(second)))
    };
    let heads = labelled("", format!("{:>10} {:>12}", "MOVED", "A SECOND"));
    let mut lines = vec![Line { text: about, tone: Tone::Head }];
    lines.extend(wrap(&greeting.about(), WIDTH, 2).into_iter().map(Line::from));
    let opened = units::count(stats.opened);
    lines.extend([
        numbers(stats).into(),
        format!("{opened} opened, at most {} at once", units::count(stats.max_sessions as u64)).into(),
        Line::default(),
        Line { tone: Tone::Dim, ..heads },
        moved("↑ client", stats.client_bytes, stats.client_rate),
        moved("↓ upstream", stats.upstream_bytes, stats.upstream_rate),
    ]);
    let handshakes = handshakes(stats);
    if !handshakes.is_empty() {
        lines.push(Line::default());
        lines.extend(handshakes);
    }
    let causes = causes(stats);
    if !causes.is_empty() {
        lines.push(Line::default());
        lines.push(Line { text: format!("{:20} {:>8} {:>7}", "CAUSE", "ENDED", "SHARE"), tone: Tone::Dim });
        let row = |(cause, count, share): (SafeText, u64, f64)| {
            format!("{:20} {:>8} {:>5.1} %", cause.as_str(), units::count(count), share).into()
        };
        lines.extend(causes.into_iter().map(row));
    }
    lines
}

/// The handshakes of TLS by what came of them; nothing if there was none.
pub fn handshakes(stats: &ServerStats) -> Vec<Line> {
    let Some(Handshakes { with_clients, with_upstreams }) = &stats.tls_handshakes else { return Vec::new() };
    let row = |label: &str, cells: [String; 4]| {
        format!("{label:20} {}", cells.map(|cell| format!("{cell:>8}")).join(" "))
    };
    let head = with_clients.named().map(|(result, _)| result.to_uppercase());
    let mut lines = vec![Line { text: row("HANDSHAKES OF TLS", head), tone: Tone::Dim }];
    let sides = [("with clients", with_clients), ("with upstreams", with_upstreams)];
    let met = sides.into_iter().filter(|(_, results)| **results != HandshakeResults::default());
    lines.extend(
        met.map(|(label, results)| row(label, results.named().map(|(_, count)| units::count(count))).into()),
    );
    lines
}

/// The causes of the sessions that ended, the most frequent first, with their share in percent.
pub fn causes(stats: &ServerStats) -> Vec<(SafeText, u64, f64)> {
    let all: u64 = stats.causes.values().sum();
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let share = |count: u64| 100.0 * count as f64 / all.max(1) as f64;
    let mut causes: Vec<_> =
        stats.causes.iter().map(|(cause, &count)| (cause.clone(), count, share(count))).collect();
    causes.sort_by_key(|(_, count, _)| u64::MAX - count);
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn the_line_of_numbers_names_only_what_there_is() {
        let mut stats = ServerStats { live: 42, ended: 909, failed: 3, ..ServerStats::default() };
        stats.health = [("stalled".into(), 2), ("half-closed".into(), 1), ("live".into(), 39)].into();
        assert_eq!(numbers(&stats), "42 open · 2 stalled · 1 half-closed · 909 ended (3 failed)");
        let stats = ServerStats { paused: true, ..ServerStats::default() };
        assert_eq!(numbers(&stats), "0 open · 0 ended · PAUSED");
    }

    #[test]
    fn totals_of_a_server_fit_80_columns_however_many_listeners_it_has() {
        let listeners: Vec<_> = (8000..8020).map(|port| format!("127.0.0.1:{port}")).collect();
        let greeting = json!({"switchboard": 1, "version": "0.1.0", "pid": 4_194_304, "mode": "proxy",
            "listeners": listeners});
        let lines = stats(&from_value(greeting).unwrap(), &ServerStats::default());
        assert!(lines.iter().all(|line| width(&line.text) <= WIDTH), "{lines:?}");
        let text: Vec<_> = lines.into_iter().map(|line| line.text).collect();
        assert!(text[0].starts_with("switchboard 0.1.0, pid 4194304, up "), "{text:?}");
        assert!(text.join(" ").contains("127.0.0.1:8019"), "{text:?}");
    }

    #[test]
    fn handshakes_are_told_of_the_sides_that_made_some() {
        let plain = ServerStats::default();
        assert!(handshakes(&plain).is_empty());
        let counts = json!({"tls_handshakes": {"client": {"full": 12_000, "resumed": 3, "late": 1}}});
        let stats: ServerStats = from_value(counts).unwrap();
        let text = |lines: Vec<Line>| lines.into_iter().map(|line| line.text).collect::<Vec<_>>();
        let greeting = from_value(json!({"switchboard": 1})).unwrap();
        let told = text(handshakes(&stats));
        assert_eq!(
            told,
            [
                "HANDSHAKES OF TLS        FULL  RESUMED   FAILED     LATE",
                "with clients           12,000        3        0        1"
            ]
        );
        assert!(text(super::stats(&greeting, &stats)).ends_with(&told));
    }

    #[test]
    fn a_session_under_a_fault_has_a_mark_and_tells_what_it_met() {
        let facts = json!({"session": 7, "mode": "proxy", "name": "web", "health": "live", "client": "a:1",
            "local": "b:1", "phase": "open", "faults": ["slow"], "client_held": 65_536, "upstream_held": 0,
            "held_max": 67_108_864, "met_faults": [
                {"name": "slow", "type": "latency", "stream": "upstream", "values": "latency=120ms", "hit": true,
                 "acts": true},
                {"name": "other", "type": "noop", "stream": "downstream", "values": "", "hit": false, "acts": true}]});
        let facts: SessionDetail = from_value(facts).unwrap();
        assert_eq!(marked_state(&facts.listed), "●!live");
        let lines: Vec<String> = session(&facts, false).into_iter().map(|line| line.text).collect();
        for wanted in [
            "fault      slow: hits; latency upstream, latency=120ms",
            "fault      other: spares it; noop downstream",
            "faults hold ↑ 64 KiB, ↓ 0 B, each at most 64 MiB",
        ] {
            assert!(lines.iter().any(|line| line == wanted), "{wanted}: {lines:#?}");
        }
        let spared: ListedSession = from_value(json!({"health": "half-closed"})).unwrap();
        assert_eq!(marked_state(&spared), "◐ half-closed");
    }

    #[test]
    fn a_session_fits_80_columns_in_full_and_in_brief() {
        let leg = json!({"state": "established", "rtt_us": 999_000, "congestion_window": 99_999,
            "receive_queue": 1_048_063, "send_queue": 1_048_063, "lost_segments": 99_999, "retransmits": 99_999});
        let facts = json!({"session": 4_000_000, "mode": "proxy", "name": "web", "health": "half-closed",
            "client": "[2001:db8:1:2:3:4:5:6]:65535", "local": "[2001:db8::1]:65535",
            "upstream": "142.250.69.196:80", "upstream_local": "192.168.100.200:65535", "phase": "client-closed",
            "client_bytes": 1_048_063, "client_rate": 1_048_063, "client_waiting": 1_048_063,
            "client_queued": 1_048_063, "connect_ms": 11.04, "resolve_ms": 0.5, "first_byte_ms": 999.9,
            "taps": 2, "client_tcp": leg, "upstream_tcp": leg});
        let facts: SessionDetail = from_value(facts).unwrap();
        for brief in [false, true] {
            let lines = session(&facts, brief);
            assert_eq!(lines[0].text, "session 4000000: ◐ half-closed, proxy on web");
            assert!(lines.iter().all(|line| width(&line.text) <= 80), "{lines:#?}");
            assert_eq!(lines.iter().any(|line| line.text.contains("congestion window")), !brief);
            assert!(lines.iter().any(|line| line.text.starts_with("↑ client     1023 KiB")), "{lines:#?}");
        }
    }
}
