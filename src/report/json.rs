//! Events for machines: one JSON object a line. Keys, their order and their units are stable once released.

use crate::{
    net::address::{Address, EscapedAddress},
    report::format::Dump,
    session::{
        event::{Close, Event, FaultEvent, What},
        introduction::Introduced,
        record::Selection,
    },
    text::{
        escape::{Escaped, EscapedInJson},
        hex::Hex,
        moment::Moment,
        units::milliseconds,
    },
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::fmt::{self, Write};

/// Appends an event as one line to `out`; payload without a dump adds nothing.
pub fn json(event: &Event, dump: Dump, out: &mut String) {
    if dump == Dump::Off && matches!(event.what, What::Data { .. }) {
        return;
    }
    out.push_str(&serde_json::to_string(&EventLine(event)).expect("the keys of a line are strings"));
    if let What::Data { bytes, shown, .. } = &event.what {
        out.pop();
        payload(dump, shown, bytes.saturating_sub(shown.len()), out).expect("a string takes every write");
    }
    out.push('\n');
}

/// The last keys of a piece of payload. It is the bulk of a log: it is escaped for JSON already. `cut` bytes are not shown.
fn payload(dump: Dump, shown: &[u8], cut: usize, out: &mut String) -> fmt::Result {
    match dump {
        Dump::Hex => write!(out, ",\"hex\":\"{}\"", Hex(shown))?,
        Dump::Text | Dump::Off => write!(out, ",\"text\":\"{}\"", EscapedInJson(shown))?,
    }
    if cut > 0 {
        write!(out, ",\"cut\":{cut}")?;
    }
    out.write_char('}')
}

/// Adds keys with their values to a JSON object.
macro_rules! keys {
    ($object:ident, $($key:literal: $value:expr),* $(,)?) => {{ $($object.serialize_entry($key, &$value)?;)* }};
}

/// An event as one JSON object.
pub struct EventLine<'a>(pub &'a Event);

impl Serialize for EventLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        keys!(line, "ts": Shown(Moment(self.0.at)));
        match &self.0.what {
            What::Open { session, mode, listener, client, name, source } => {
                keys! {
                    line,
                    "event": "open",
                    "session": session,
                    "mode": mode,
                    "listener": address(listener),
                    "client": address(client),
                }
                if let Some(name) = name {
                    keys!(line, "name": Shown(Escaped(name.as_bytes())));
                }
                if let Some(source) = source {
                    keys!(line, "source": address(source));
                }
            }
            What::Connect { session, upstream, upstream_name, resolve, connect, choice, introduced } => {
                keys! {
                    line,
                    "event": "connect",
                    "session": session,
                    "upstream": address(upstream),
                    "upstream_name": Shown(Escaped(upstream_name.as_bytes())),
                    "resolve_ms": resolve.map(milliseconds),
                    "connect_ms": milliseconds(*connect),
                }
                selected(&mut line, choice.as_deref())?;
                introduction(&mut line, introduced.as_deref())?;
            }
            What::Data { session, from, offset, bytes, .. } => keys! {
                line,
                "event": "data",
                "session": session,
                "from": from,
                "offset": offset,
                "bytes": bytes,
            },
            What::Close(close) => closed(&mut line, close)?,
            What::Server { group, server, change } => keys! {
                line,
                "event": "server",
                "upstream_group": Shown(Escaped(group.as_bytes())),
                "server": Shown(Escaped(server.as_bytes())),
                "state": change.name(),
                "why": change.why().map(|why| Shown(Escaped(why.as_bytes()))),
            },
            What::Fault(fault) => faulted(&mut line, fault)?,
            What::Step { step, listener, did, error } => keys! {
                line,
                "event": "step",
                "step": step,
                "listener": listener.as_ref().map(|name| Shown(Escaped(name.as_bytes()))),
                "did": Shown(Escaped(did.as_bytes())),
                "error": error.as_ref().map(|error| Shown(Escaped(error.as_bytes()))),
            },
            What::Config { applied, lines } => {
                let lines: Vec<_> = lines.iter().map(|line| Shown(Escaped(line.as_bytes()))).collect();
                keys!(line, "event": "config", "state": if *applied { "applied" } else { "refused" }, "changes": lines);
            }
            What::Dropped { lines } => keys!(line, "event": "dropped", "lines": lines),
        }
        line.end()
    }
}

fn closed<M: SerializeMap>(line: &mut M, close: &Close) -> Result<(), M::Error> {
    keys! {
        line,
        "event": "close",
        "session": close.session,
        "mode": close.mode,
        "client": address(&close.client),
        "upstream": close.upstream.as_ref().map(address),
        "cause": close.cause,
        "first_closer": close.first_closer,
        "client_bytes": close.client_bytes,
        "upstream_bytes": close.upstream_bytes,
        "duration_ms": milliseconds(close.duration),
        "resolve_ms": close.resolve.map(milliseconds),
        "connect_ms": close.connect.map(milliseconds),
        "first_byte_ms": close.first_byte.map(milliseconds),
        "error": close.error.as_ref().map(|error| Shown(Escaped(error.as_bytes()))),
    }
    selected(line, close.choice.as_deref())?;
    introduction(line, close.introduced.as_deref())?;
    if let Some(fault) = &close.fault {
        keys!(line, "fault": Shown(Escaped(fault.as_bytes())));
    }
    Ok(())
}

fn faulted<M: SerializeMap>(line: &mut M, fault: &FaultEvent) -> Result<(), M::Error> {
    keys!(line, "event": "fault");
    if let Some(session) = fault.session {
        keys!(line, "session": session);
    }
    keys! {
        line,
        "listener": Shown(Escaped(fault.listener.as_bytes())),
        "fault": Shown(Escaped(fault.fault.as_bytes())),
        "type": fault.kind,
        "stream": fault.stream,
        "did": fault.did,
    }
    Ok(())
}

/// What the client said before its stream, if it was asked.
fn introduction<M: SerializeMap>(line: &mut M, introduced: Option<&Introduced>) -> Result<(), M::Error> {
    let Some(Introduced { source, sni, alpn, tls }) = introduced else { return Ok(()) };
    for (key, text) in [("source", source), ("sni", sni), ("alpn", alpn), ("tls", tls)] {
        if let Some(text) = text {
            line.serialize_entry(key, text)?;
        }
    }
    Ok(())
}

/// Which way a session went, if there was a choice.
fn selected<M: SerializeMap>(line: &mut M, choice: Option<&Selection>) -> Result<(), M::Error> {
    let Some(Selection { route, upstream_group, server, why, tried }) = choice else { return Ok(()) };
    let texts = [("route", route), ("upstream_group", upstream_group), ("server", server), ("why", why)];
    for (key, text) in texts {
        if let Some(text) = text {
            line.serialize_entry(key, text)?;
        }
    }
    if !tried.is_empty() {
        keys!(line, "tried": tried);
    }
    Ok(())
}

fn address(address: &Address) -> Shown<EscapedAddress<'_>> {
    Shown(EscapedAddress(address))
}

/// A JSON string made from a `Display`, without an allocation.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
