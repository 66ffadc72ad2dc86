//! Events for people: one line an event; a hex dump has one more for every 16 bytes.
//!
//! Times are UTC. Every line of a session has its number, `#42`. The first line of an event begins with the time.

use crate::{
    net::address::EscapedAddress,
    report::format::Dump,
    session::{
        cause::Cause,
        event::{Close, Event, FaultEvent, Mode, Side, What},
        group::Change,
        introduction::Introduced,
        record::Selection,
    },
    text::{
        escape::Escaped,
        hex::{ROW_BYTES, Row},
        moment::TimeOfDay,
        safe::SafeText,
        units::duration,
    },
};
use std::fmt::{self, Write};

/// Appends an event to `out`; payload without a dump adds nothing.
pub fn text(event: &Event, dump: Dump, colour: bool, out: &mut String) {
    let page = Page { time: TimeOfDay(event.at), paint: if colour { COLOUR } else { PLAIN } };
    page.event(&event.what, dump, out).expect("a string takes every write");
}

/// What begins and ends a colour (ECMA-48 §8.3.117).
struct Paint {
    dim: &'static str,
    good: &'static str,
    bad: &'static str,
    end: &'static str,
}

const PLAIN: Paint = Paint { dim: "", good: "", bad: "", end: "" };
const COLOUR: Paint = Paint { dim: "\x1b[2m", good: "\x1b[32m", bad: "\x1b[31m", end: "\x1b[0m" };

/// What all lines of an event share.
struct Page {
    time: TimeOfDay,
    paint: Paint,
}

impl Page {
    fn event(&self, what: &What, dump: Dump, out: &mut String) -> fmt::Result {
        match what {
            What::Open { session, mode, listener, client, name: _, source } => {
                let (client, listener) = (EscapedAddress(client), EscapedAddress(listener));
                self.begin(*session, out)?;
                write!(out, "open {} {client} -> {listener}", mode.name())?;
                if let Some(source) = source {
                    write!(out, " (source {})", EscapedAddress(source))?;
                }
                out.write_char('\n')
            }
            What::Connect { session, upstream, upstream_name, resolve, connect, choice, introduced } => {
                let (name, upstream) = (Escaped(upstream_name.as_bytes()), EscapedAddress(upstream));
                self.begin(*session, out)?;
                write!(out, "connect {name} at {upstream} in {}", duration(*connect))?;
                resolve.map_or(Ok(()), |resolve| write!(out, " (resolved in {})", duration(resolve)))?;
                choice.as_ref().map_or(Ok(()), |choice| selected(choice, out))?;
                introduced.as_ref().map_or(Ok(()), |introduced| introduction(introduced, out))?;
                out.write_char('\n')
            }
            What::Data { .. } if dump == Dump::Off => Ok(()),
            What::Data { session, from, offset, bytes, shown } => {
                let Paint { dim, end, .. } = self.paint;
                let direction = if *from == Side::Client { "client >" } else { "upstream <" };
                let cut = match bytes.saturating_sub(shown.len()) {
                    0 => String::new(),
                    cut => format!("{dim}... ({cut} more bytes){end}"),
                };
                self.begin(*session, out)?;
                write!(out, "{direction} offset {offset}, {bytes} B")?;
                if dump == Dump::Text {
                    return writeln!(out, ": {}{cut}", Escaped(shown));
                }
                out.write_char('\n')?;
                let offsets = (0..).map(|row| offset.saturating_add(row * ROW_BYTES as u64));
                for (offset, bytes) in offsets.zip(shown.chunks(ROW_BYTES)) {
                    writeln!(out, "#{session} {direction} {}", Row { offset, bytes })?;
                }
                if cut.is_empty() { Ok(()) } else { writeln!(out, "#{session} {direction} {cut}") }
            }
            What::Close(close) => self.close(close, out),
            What::Server { group, server, change } => {
                let Paint { dim, good, bad, end } = self.paint;
                let paint = if *change == Change::Up { good } else { bad };
                let (group, server) = (Escaped(group.as_bytes()), Escaped(server.as_bytes()));
                write!(out, "{dim}{}{end} upstream {group}: {server} {paint}", self.time)?;
                writeln!(out, "{}{end}", Escaped(change.to_string().as_bytes()))
            }
            What::Fault(fault) => self.fault(fault, out),
            What::Step { step, listener, did, error } => self.step(*step, listener, did, error, out),
            What::Config { applied, lines } => {
                let Paint { dim, good, bad, end } = self.paint;
                let (paint, state) = if *applied { (good, "applied") } else { (bad, "refused") };
                let lines = lines.join("; ");
                writeln!(
                    out,
                    "{dim}{}{end} config {paint}{state}{end}: {}",
                    self.time,
                    Escaped(lines.as_bytes())
                )
            }
            What::Dropped { lines } => {
                let Paint { dim, bad, end, .. } = self.paint;
                let unit = if *lines == 1 { "line" } else { "lines" };
                writeln!(out, "{dim}{}{end} {bad}dropped{end} {lines} {unit}", self.time)
            }
        }
    }

    fn close(&self, close: &Close, out: &mut String) -> fmt::Result {
        self.begin(close.session, out)?;
        // Every other cause ends in a reset.
        let paint = if close.cause == Cause::Done { self.paint.good } else { self.paint.bad };
        write!(out, "close {paint}{}{}", close.cause, self.paint.end)?;
        if let Some(side) = close.first_closer {
            write!(out, ", {} first", side.name())?;
        }
        write!(out, ": {}", EscapedAddress(&close.client))?;
        if let Some(upstream) = &close.upstream {
            write!(out, " -> {}", EscapedAddress(upstream))?;
        }
        let back = if close.mode == Mode::Proxy { "from upstream" } else { "sent back" };
        write!(out, ", {} B from client, {} B {back}", close.client_bytes, close.upstream_bytes)?;
        write!(out, " in {}", duration(close.duration))?;
        if let Some(first_byte) = close.first_byte {
            write!(out, " (first byte after {})", duration(first_byte))?;
        }
        if let Some(error) = &close.error {
            write!(out, ": {}", Escaped(error.as_bytes()))?;
        }
        out.write_char('\n')
    }

    fn step(
        &self,
        step: usize,
        listener: &Option<String>,
        did: &str,
        error: &Option<String>,
        out: &mut String,
    ) -> fmt::Result {
        let Paint { dim, bad, end, .. } = self.paint;
        let listener = listener.as_deref().unwrap_or("all listeners");
        let (listener, did) = (Escaped(listener.as_bytes()), Escaped(did.as_bytes()));
        write!(out, "{dim}{}{end} step {step}: {did} ({listener})", self.time)?;
        if let Some(error) = error {
            write!(out, ": {bad}{}{end}", Escaped(error.as_bytes()))?;
        }
        out.write_char('\n')
    }

    fn fault(&self, fault: &FaultEvent, out: &mut String) -> fmt::Result {
        let FaultEvent { session, listener, fault, kind, stream, did } = fault;
        match session {
            Some(session) => self.begin(*session, out)?,
            None => write!(out, "{}{}{} ", self.paint.dim, self.time, self.paint.end)?,
        }
        let (listener, fault) = (Escaped(listener.as_bytes()), Escaped(fault.as_bytes()));
        writeln!(out, "fault {fault} of {listener} ({}, {}) {did}", kind.name(), stream.name())
    }

    /// How every event of a session begins.
    fn begin(&self, session: u64, out: &mut String) -> fmt::Result {
        let Paint { dim, end, .. } = self.paint;
        write!(out, "{dim}{}{end} #{session} ", self.time)
    }
}

/// What the client said before its stream; its source was told when it began.
fn introduction(introduced: &Introduced, out: &mut String) -> fmt::Result {
    let Introduced { source: _, sni, alpn, tls } = introduced;
    let said = [("sni", sni), ("alpn", alpn), ("tls", tls)].into_iter();
    let said: Vec<_> =
        said.filter_map(|(key, text)| Some(format!("{key} {}", text.as_ref()?.as_str()))).collect();
    if said.is_empty() { Ok(()) } else { write!(out, " ({})", said.join(", ")) }
}

/// Which way a session went, and what was tried before.
fn selected(choice: &Selection, out: &mut String) -> fmt::Result {
    let Selection { route, upstream_group, server: _, why, tried } = choice;
    let way: Vec<_> = [route, upstream_group, why].into_iter().flatten().map(SafeText::as_str).collect();
    write!(out, " ({})", way.join(", "))?;
    tried.iter().try_for_each(|tried| write!(out, ", after {} {}", tried.server, tried.error))
}
