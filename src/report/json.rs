//! Events for machines: one JSON object a line. Keys, their order and their units are stable once released.

use crate::{
    net::address::EscapedAddress,
    report::format::Dump,
    session::{
        cause::Cause,
        event::{Close, Event, Mode, Side, What},
    },
    text::{
        escape::{Escaped, EscapedInJson},
        hex::Hex,
        moment::Moment,
    },
};
use serde::{Serialize, Serializer};
use std::{
    fmt::{self, Write},
    io,
    time::{Duration, SystemTime},
};

/// Appends an event as one line to `out`; a warning adds nothing, nor does payload without a dump.
pub fn json(event: &Event, dump: Dump, out: &mut String) {
    match &event.what {
        What::Open { session, mode, listener, client } => {
            let (listener, client) = (Shown(EscapedAddress(listener)), Shown(EscapedAddress(client)));
            line(event.at, "open", Open { session: *session, mode: *mode, listener, client }, out);
        }
        What::Connect { session, upstream, upstream_name, resolve, connect } => {
            let body = Connect {
                session: *session,
                upstream: Shown(EscapedAddress(upstream)),
                upstream_name: Shown(Escaped(upstream_name.as_bytes())),
                resolve_ms: resolve.map(milliseconds),
                connect_ms: milliseconds(*connect),
            };
            line(event.at, "connect", body, out);
        }
        What::Data { session, from, offset, bytes, shown } => {
            let body = Data { session: *session, from: *from, offset: *offset, bytes: *bytes };
            let cut = bytes.checked_sub(shown.len()).filter(|cut| *cut > 0);
            match dump {
                Dump::Off => {}
                Dump::Text => data(event.at, body, ("text", EscapedInJson(shown)), cut, out),
                Dump::Hex => data(event.at, body, ("hex", Hex(shown)), cut, out),
            }
        }
        What::Close(close) => line(event.at, "close", Closed::from(&**close), out),
        What::Warning(_) => {}
    }
}

/// Appends the line that says how many lines were dropped.
pub fn dropped(at: SystemTime, lines: u64, out: &mut String) {
    line(at, "dropped", Dropped { lines }, out);
}

/// Every line begins with this.
#[derive(Serialize)]
struct Line<T> {
    ts: Shown<Moment>,
    event: &'static str,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct Open<'a> {
    session: u64,
    mode: Mode,
    listener: Shown<EscapedAddress<'a>>,
    client: Shown<EscapedAddress<'a>>,
}

#[derive(Serialize)]
struct Connect<'a> {
    session: u64,
    upstream: Shown<EscapedAddress<'a>>,
    upstream_name: Shown<Escaped<'a>>,
    resolve_ms: Option<f64>,
    connect_ms: f64,
}

#[derive(Serialize)]
struct Data {
    session: u64,
    from: Side,
    offset: u64,
    bytes: usize,
}

#[derive(Serialize)]
struct Closed<'a> {
    session: u64,
    mode: Mode,
    client: Shown<EscapedAddress<'a>>,
    upstream: Option<Shown<EscapedAddress<'a>>>,
    cause: Cause,
    first_closer: Option<Side>,
    client_bytes: u64,
    upstream_bytes: u64,
    duration_ms: f64,
    resolve_ms: Option<f64>,
    connect_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    error: Option<Shown<Escaped<'a>>>,
}

#[derive(Serialize)]
struct Dropped {
    lines: u64,
}

impl<'a> From<&'a Close> for Closed<'a> {
    fn from(close: &'a Close) -> Self {
        Closed {
            session: close.session,
            mode: close.mode,
            client: Shown(EscapedAddress(&close.client)),
            upstream: close.upstream.as_ref().map(|address| Shown(EscapedAddress(address))),
            cause: close.cause,
            first_closer: close.first_closer,
            client_bytes: close.client_bytes,
            upstream_bytes: close.upstream_bytes,
            duration_ms: milliseconds(close.duration),
            resolve_ms: close.resolve.map(milliseconds),
            connect_ms: close.connect.map(milliseconds),
            first_byte_ms: close.first_byte.map(milliseconds),
            error: close.error.as_ref().map(|error| Shown(Escaped(error.as_bytes()))),
        }
    }
}

/// A JSON string made from a `Display`, without an allocation.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Milliseconds with at most three decimals.
#[must_use]
pub fn milliseconds(duration: Duration) -> f64 {
    const MICROS_PER_MILLI: f64 = 1_000.0;
    const NANOS_PER_MICRO: f64 = 1_000.0;
    #[expect(clippy::cast_precision_loss, reason = "exact for a hundred days")]
    let nanos = duration.as_nanos() as f64;
    (nanos / NANOS_PER_MICRO).round() / MICROS_PER_MILLI
}

fn line<T: Serialize>(at: SystemTime, event: &'static str, body: T, out: &mut String) {
    let line = Line { ts: Shown(Moment(at)), event, body };
    serde_json::to_writer(Pieces(out), &line)
        .expect("a string takes every write, and the line has string keys");
    out.push('\n');
}

/// Appends the line of a piece of payload. `shown` is escaped for JSON already: it is the bulk of a log. `cut` bytes are not
/// shown.
fn data(at: SystemTime, body: Data, shown: (&str, impl fmt::Display), cut: Option<usize>, out: &mut String) {
    line(at, "data", body, out);
    out.truncate(out.len() - "}\n".len());
    let (key, shown) = shown;
    write!(out, ",\"{key}\":\"{shown}\"").expect(TAKES_EVERY_WRITE);
    if let Some(cut) = cut {
        write!(out, ",\"cut\":{cut}").expect(TAKES_EVERY_WRITE);
    }
    out.push_str("}\n");
}

const TAKES_EVERY_WRITE: &str = "a string takes every write";

/// Takes JSON piece by piece; `serde_json` writes each as one `str`.
struct Pieces<'a>(&'a mut String);

impl io::Write for Pieces<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.push_str(str::from_utf8(piece).map_err(io::Error::other)?);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
