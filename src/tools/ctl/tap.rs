//! What a tap tells, printed: the bytes of sessions as they flow, and what happens beside them.

use crate::{
    control::{
        client::ControlClient,
        protocol::{Named, Request, TapChoice, TapItem},
    },
    report::format::{Dump, Format, Log},
    session::{
        event::{Event, Side, What},
        mark::MarkKind,
    },
    text::{escape::Terminal, moment::TimeOfDay, safe::SafeText, units::duration},
    tools::ctl::{Failure, Streams, report::Reader, settings::Show, written},
};
use serde_json::Value;
use std::{
    io::{self, Write as _},
    time::Duration,
};

/// What happens to a session, as a line of the log would tell it.
pub struct MarkLine<'a> {
    pub mark: &'a Named<MarkKind>,
    pub from: Option<Side>,
    pub after_us: u64,
    pub about: Option<&'a SafeText>,
}

impl std::fmt::Display for MarkLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let about = self.about.map_or("", SafeText::as_str);
        let side = match self.from {
            Some(Side::Client) => "client > ",
            Some(Side::Upstream) => "upstream < ",
            None => "",
        };
        let after = duration(Duration::from_micros(self.after_us));
        match self.mark {
            Named::Known(MarkKind::Open) => write!(f, "opened by {about}"),
            Named::Known(MarkKind::Dial) => write!(f, "dialled {about}, after {after}"),
            Named::Known(MarkKind::FirstByte) => write!(f, "{side}first byte after {after}"),
            Named::Known(MarkKind::Fin) => write!(f, "{side}FIN after {after}"),
            Named::Known(MarkKind::Reset) => write!(f, "{side}RST after {after} ({about})"),
            Named::Other(name) => write!(f, "{side}{name} after {after} {about}"),
        }
    }
}

/// Prints what the taps tell until their sessions have ended and no more come; as JSON lines without `show`.
pub async fn run(
    mut client: ControlClient,
    choice: &TapChoice,
    show: Option<Show>,
    reader: Reader,
    mut streams: Streams,
) -> Result<(), Failure> {
    client.send(&Request::Tap(choice.clone())).await?;
    if streams.terminal.is_some() && (choice.next || choice.all) {
        let what = if choice.all { "every session" } else { "the next session" };
        let _ = writeln!(streams.notes, "waiting for {what}; Ctrl-C ends it");
    }
    let only = choice.named().into_iter().next().unwrap_or(0);
    let mut terminal = streams.terminal.map(|_| Terminal::default());
    loop {
        let done = match show {
            None => {
                let Some(item) = client.next_item::<Value>().await? else { return Ok(()) };
                writeln!(streams.out, "{item}").and_then(|()| streams.out.flush())
            }
            Some(show) => {
                let Some(item) = client.next_item::<TapItem>().await? else { return Ok(()) };
                tapped(item, only, show, terminal.as_mut(), reader, &mut streams)
            }
        };
        if matches!(&done, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return Ok(());
        }
        written(done)?;
    }
}

/// Prints an item; what an older server tells is of session `only`.
fn tapped(
    item: TapItem,
    only: u64,
    show: Show,
    terminal: Option<&mut Terminal>,
    reader: Reader,
    streams: &mut Streams,
) -> io::Result<()> {
    let of = |session: u64| if session == 0 { only } else { session };
    let (at, from, offset, shown, session) = match item {
        TapItem::Data { ts, from, offset, hex, session, .. } => (ts.0, from, offset, hex.0, of(session)),
        TapItem::Mark { mark, ts, from, after_us, about, session } => {
            let mark = MarkLine { mark: &mark, from, after_us, about: about.as_ref() };
            let line = reader.shown(format!("{} #{} {mark}\n", TimeOfDay(ts.0), of(session)));
            // Beside the exact bytes there is no place for it.
            let to = if show == Show::Raw { &mut streams.notes } else { &mut streams.out };
            return to.write_all(line.as_bytes()).and_then(|()| to.flush());
        }
        TapItem::Lost { lost, session } => {
            let session = of(session);
            return writeln!(
                streams.notes,
                "{lost} pieces of session {session} were lost: this tap was too slow"
            );
        }
        TapItem::Missed { missed } => {
            return writeln!(
                streams.notes,
                "{missed} sessions were not tapped: there are too many, or they have too many taps"
            );
        }
        TapItem::Ended { ended, session } => {
            return writeln!(streams.notes, "session {} has ended: {ended}", of(session));
        }
        TapItem::Attached { .. } | TapItem::Other(_) => return Ok(()),
    };
    match (show, terminal) {
        (Show::Raw, None) => streams.out.write_all(&shown)?,
        (Show::Raw, Some(terminal)) => {
            // Nothing that a peer sends may control the terminal.
            let mut safe = String::new();
            terminal.push(&shown, &mut safe);
            streams.out.write_all(safe.as_bytes())?;
        }
        (Show::Text | Show::Hex, _) => {
            // The line that a server with `--dump` would have written.
            let what = What::Data { session, from, offset, bytes: shown.len(), shown: shown.into() };
            let dump = if show == Show::Hex { Dump::Hex } else { Dump::Text };
            let mut line = String::new();
            Format { log: Log::Text, dump, ..Format::default() }.line(&Event { at, what }, &mut line);
            streams.out.write_all(reader.shown(line).as_bytes())?;
        }
    }
    streams.out.flush()
}
