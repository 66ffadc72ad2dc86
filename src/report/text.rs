//! Events for people: one line an event; a hex dump has one more for every 16 bytes.
//!
//! Times are UTC. Every line of a session has its number, `#42`. The first line of an event begins with the time.

use crate::{
    net::address::EscapedAddress,
    report::format::Dump,
    session::{
        cause::Cause,
        event::{Close, Event, Mode, Side, What},
    },
    text::{
        escape::Escaped,
        hex::{ROW_BYTES, Row},
        moment::TimeOfDay,
        units::duration,
    },
};
use std::{
    fmt::{self, Write},
    time::SystemTime,
};

/// Appends an event to `out`; a warning adds nothing, nor does payload without a dump.
pub fn text(event: &Event, dump: Dump, colour: bool, out: &mut String) {
    let page = Page { time: TimeOfDay(event.at), paint: if colour { COLOUR } else { PLAIN } };
    page.event(&event.what, dump, out).expect(TAKES_EVERY_WRITE);
}

/// Appends the line that says how many lines were dropped.
pub fn dropped(at: SystemTime, lines: u64, colour: bool, out: &mut String) {
    let page = Page { time: TimeOfDay(at), paint: if colour { COLOUR } else { PLAIN } };
    page.dropped(lines, out).expect(TAKES_EVERY_WRITE);
}

const TAKES_EVERY_WRITE: &str = "a string takes every write";

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
            What::Open { session, mode, listener, client } => {
                let (client, listener) = (EscapedAddress(client), EscapedAddress(listener));
                self.begin(*session, out)?;
                writeln!(out, "open {} {client} -> {listener}", mode.name())
            }
            What::Connect { session, upstream, upstream_name, resolve, connect } => {
                let (name, upstream) = (Escaped(upstream_name.as_bytes()), EscapedAddress(upstream));
                self.begin(*session, out)?;
                write!(out, "connect {name} at {upstream} in {}", duration(*connect))?;
                resolve.map_or(Ok(()), |resolve| write!(out, " (resolved in {})", duration(resolve)))?;
                out.write_char('\n')
            }
            What::Data { session, from, offset, bytes, shown } => {
                let piece = Piece { session: *session, from: *from, offset: *offset, bytes: *bytes, shown };
                match dump {
                    Dump::Off => Ok(()),
                    Dump::Text => self.text_dump(&piece, out),
                    Dump::Hex => self.hex_dump(&piece, out),
                }
            }
            What::Close(close) => self.close(close, out),
            What::Warning(_) => Ok(()),
        }
    }

    fn text_dump(&self, piece: &Piece<'_>, out: &mut String) -> fmt::Result {
        self.head(piece, out)?;
        write!(out, ": {}", Escaped(piece.shown))?;
        if let Some(cut) = piece.cut() {
            let Paint { dim, end, .. } = self.paint;
            write!(out, "{dim}… ({cut} more bytes){end}")?;
        }
        out.write_char('\n')
    }

    fn hex_dump(&self, piece: &Piece<'_>, out: &mut String) -> fmt::Result {
        self.head(piece, out)?;
        out.write_char('\n')?;
        let (session, direction, mut offset) = (piece.session, piece.direction(), piece.offset);
        for bytes in piece.shown.chunks(ROW_BYTES) {
            writeln!(out, "#{session} {direction} {}", Row { offset, bytes })?;
            offset = offset.saturating_add(ROW_BYTES as u64);
        }
        if let Some(cut) = piece.cut() {
            let Paint { dim, end, .. } = self.paint;
            writeln!(out, "#{session} {direction} {dim}… ({cut} more bytes){end}")?;
        }
        Ok(())
    }

    /// How a piece of payload begins: its sender, its place in the stream, its size.
    fn head(&self, piece: &Piece<'_>, out: &mut String) -> fmt::Result {
        self.begin(piece.session, out)?;
        write!(out, "{} offset {}, {} B", piece.direction(), piece.offset, piece.bytes)
    }

    fn close(&self, close: &Close, out: &mut String) -> fmt::Result {
        self.begin(close.session, out)?;
        // Every other cause ends in a reset.
        let paint = if close.cause == Cause::Done { self.paint.good } else { self.paint.bad };
        write!(out, "close {paint}{}{}", close.cause, self.paint.end)?;
        if let Some(side) = close.first_closer {
            write!(out, ", {} first", side_name(side))?;
        }
        write!(out, ": {}", EscapedAddress(&close.client))?;
        if let Some(upstream) = &close.upstream {
            write!(out, " -> {}", EscapedAddress(upstream))?;
        }
        let back = if close.mode == Mode::Proxy { "from upstream" } else { "sent back" };
        let (client_bytes, upstream_bytes) = (close.client_bytes, close.upstream_bytes);
        write!(
            out,
            ", {client_bytes} B from client, {upstream_bytes} B {back} in {}",
            duration(close.duration)
        )?;
        if let Some(first_byte) = close.first_byte {
            write!(out, " (first byte after {})", duration(first_byte))?;
        }
        if let Some(error) = &close.error {
            write!(out, ": {}", Escaped(error.as_bytes()))?;
        }
        out.write_char('\n')
    }

    fn dropped(&self, lines: u64, out: &mut String) -> fmt::Result {
        let Paint { dim, bad, end, .. } = self.paint;
        let unit = if lines == 1 { "line" } else { "lines" };
        writeln!(out, "{dim}{}{end} {bad}dropped{end} {lines} {unit}", self.time)
    }

    /// How every event of a session begins.
    fn begin(&self, session: u64, out: &mut String) -> fmt::Result {
        let Paint { dim, end, .. } = self.paint;
        write!(out, "{dim}{}{end} #{session} ", self.time)
    }
}

/// The payload of a data event.
struct Piece<'a> {
    session: u64,
    from: Side,
    offset: u64,
    bytes: usize,
    shown: &'a [u8],
}

impl Piece<'_> {
    /// How many bytes are not shown; none if all are.
    fn cut(&self) -> Option<usize> {
        self.bytes.checked_sub(self.shown.len()).filter(|cut| *cut > 0)
    }

    fn direction(&self) -> &'static str {
        match self.from {
            Side::Client => "client >",
            Side::Upstream => "upstream <",
        }
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Upstream => "upstream",
    }
}
