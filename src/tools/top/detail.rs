//! One session in place of the table: what is known of it, the kernel's view of both connections, and the last of what it
//! moved.

use crate::{
    control::protocol::{Named, SessionDetail, TapItem},
    net::kernel::TcpInfo,
    session::event::{Mode, Side},
    text::{
        columns::{width, wrapped},
        escape::Escaped,
        hex::{HexBytes, ROW_BYTES, Row},
        moment::TimeOfDay,
        safe::SafeText,
        table::span,
        units::{bytes, duration},
    },
    tools::top::{
        link::Tapped,
        paint::{Paint, put},
    },
};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::{collections::VecDeque, fmt::Write, time::Duration};

/// More than any screen has lines.
const PIECES: usize = 200;
/// What a piece may take of the screen, so that several are seen.
const PIECE_ROWS: usize = 3;

pub struct Detail {
    pub session: u64,
    /// What `show` told last.
    pub facts: Option<SessionDetail>,
    pub ended: Option<SafeText>,
    /// Its bytes are to be shown.
    pub tapped: bool,
    /// They are shown as `xxd` does, and not as text.
    pub hex: bool,
    pub tap_over: Option<SafeText>,
    /// What the tap told last: bytes, and what was lost between them.
    pieces: VecDeque<TapItem>,
}

impl Detail {
    /// Before anything is known. It is tapped: a user looks at a session for that.
    pub fn new(session: u64) -> Self {
        Detail {
            session,
            facts: None,
            ended: None,
            tapped: true,
            hex: false,
            tap_over: None,
            pieces: VecDeque::new(),
        }
    }

    pub fn tell(&mut self, tapped: Tapped) {
        let item = match tapped {
            Tapped::Item(item) => item,
            Tapped::Over(reason) => {
                self.tap_over = Some(reason.unwrap_or_else(|| "the session is over".into()));
                return;
            }
        };
        match (&item, self.pieces.back_mut()) {
            (TapItem::Lost { lost: more, .. }, Some(TapItem::Lost { lost, .. })) => {
                *lost = lost.saturating_add(*more)
            }
            (TapItem::Data { .. } | TapItem::Lost { .. }, _) => {
                if self.pieces.len() == PIECES {
                    self.pieces.pop_front();
                }
                self.pieces.push_back(item);
            }
            _ => {}
        }
    }

    /// The last lines of what was tapped, at most `rows` of them, none wider than `columns`.
    pub fn lines(&self, columns: usize, rows: usize) -> Vec<String> {
        let mut lines = VecDeque::new();
        for piece in self.pieces.iter().rev() {
            for line in piece_lines(piece, columns, self.hex).into_iter().rev() {
                if lines.len() == rows {
                    return lines.into();
                }
                lines.push_front(line);
            }
        }
        lines.into()
    }
}

fn piece_lines(piece: &TapItem, columns: usize, hex: bool) -> Vec<String> {
    match piece {
        TapItem::Lost { lost, .. } => vec![format!("… {lost} pieces were lost: too many to show")],
        TapItem::Data { ts, from, offset, bytes, hex: HexBytes(shown), .. } => {
            let direction = if *from == Side::Client { "client >" } else { "upstream <" };
            let head = format!("{} {direction} offset {offset}, {bytes} B", TimeOfDay(ts.0));
            if hex {
                hex_lines(&head, *offset, shown, *bytes)
            } else {
                text_lines(&head, shown, *bytes, columns)
            }
        }
        _ => Vec::new(),
    }
}

/// What is not shown of a piece.
fn more(length: u64, shown: usize) -> String {
    match length.saturating_sub(shown as u64) {
        0 => String::new(),
        more => format!("… ({more} more bytes)"),
    }
}

fn hex_lines(head: &str, offset: u64, shown: &[u8], length: u64) -> Vec<String> {
    let shown = &shown[..shown.len().min(PIECE_ROWS * ROW_BYTES)];
    let rows = shown.chunks(ROW_BYTES).zip(0..);
    let row = |(bytes, number): (&[u8], u64)| {
        let offset = offset.saturating_add(number * ROW_BYTES as u64);
        format!("  {}", Row { offset, bytes })
    };
    [format!("{head} {}", more(length, shown.len()))].into_iter().chain(rows.map(row)).collect()
}

/// A piece in as many lines as it takes, and no more than `PIECE_ROWS`.
fn text_lines(head: &str, shown: &[u8], length: u64, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let (mut count, mut line) = (shown.len(), String::new());
    loop {
        line.clear();
        // A string takes every write.
        let _ = write!(line, "{head}: {}{}", Escaped(&shown[..count]), more(length, count));
        let lines = wrapped(&line, columns);
        if lines.len() <= PIECE_ROWS || count == 0 {
            return lines;
        }
        count = (count * PIECE_ROWS * columns / width(&line)).min(count - 1);
    }
}

pub fn draw(detail: &Detail, paint: Paint, part: Rect, buffer: &mut Buffer) {
    let mut rows = part.rows();
    let head = format!("session {}: {}", detail.session, life(detail));
    let style = if detail.ended.is_some() { paint.alert() } else { paint.head() };
    // How it ended, and long addresses, are shown whole.
    let facts = detail.facts.as_ref();
    let lines = facts.map(lines_about).unwrap_or_default().into_iter().map(|line| (line, Style::new()));
    let told = [(head, style)].into_iter().chain(lines);
    let told = told.flat_map(|(line, style)| {
        wrapped(&line, part.width.into()).into_iter().map(move |line| (line, style))
    });
    for (line, style) in told.chain(facts.map(|facts| legs(facts, paint)).unwrap_or_default()) {
        let Some(row) = rows.next() else { return };
        put(buffer, row, &line, style);
    }
    let Some(row) = rows.next() else { return };
    put(buffer, row, &tap_head(detail), paint.head());
    let left = usize::from(part.bottom().saturating_sub(row.bottom()));
    for (row, line) in rows.zip(detail.lines(part.width.into(), left)) {
        let style = if line.starts_with('…') { paint.dim() } else { Style::new() };
        put(buffer, row, &line, style);
    }
}

fn life(detail: &Detail) -> String {
    match (&detail.ended, &detail.facts) {
        (Some(verdict), _) => format!("ended: {verdict}"),
        (None, None) => "looking ...".to_owned(),
        (None, Some(SessionDetail { listed, taps, .. })) => {
            let (age, idle) = (span(listed.age_ms), span(listed.idle_ms));
            format!("{}, age {age}, idle {idle}, taps {taps}", listed.phase)
        }
    }
}

fn lines_about(facts: &SessionDetail) -> Vec<String> {
    let listed = &facts.listed;
    let moved = |name: &str, [all, rate, waiting]: [u64; 3]| {
        format!("{name:10} {:>10}, {:>10}/s, {} waiting", bytes(all), bytes(rate), bytes(waiting))
    };
    let mut lines = vec![
        format!("client    {} to {}", listed.client, facts.local),
        moved("↑ client", [listed.client_bytes, listed.client_rate, listed.client_waiting]),
        moved("↓ upstream", [listed.upstream_bytes, listed.upstream_rate, listed.upstream_waiting]),
    ];
    if listed.mode == Named::Known(Mode::Proxy) {
        let ends = [&facts.upstream_local, &listed.upstream].map(|end| SafeText::or_dash(end.as_ref()));
        let took = |ms: Option<f64>| {
            let time = ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
            time.map_or("-".to_owned(), duration)
        };
        let path = format!("upstream  {} to {}", ends[0], ends[1]);
        let times = format!(
            "dialled   resolved in {}, connected in {}, first byte after {}",
            took(facts.resolve_ms),
            took(facts.connect_ms),
            took(facts.first_byte_ms)
        );
        lines.splice(1..1, [path, times]);
    }
    lines
}

/// The kernel's view of each connection, as a table.
fn legs(facts: &SessionDetail, paint: Paint) -> Vec<(String, Style)> {
    let row = |(side, leg): (&str, &TcpInfo)| {
        kernel([
            side.to_owned(),
            leg.state.to_string(),
            duration(Duration::from_micros(leg.rtt_us.into())),
            leg.congestion_window.to_string(),
            bytes(leg.receive_queue.into()),
            bytes(leg.send_queue.into()),
            leg.lost_segments.to_string(),
            leg.retransmits.to_string(),
        ])
    };
    let legs = [("client", &facts.client_tcp), ("upstream", &facts.upstream_tcp)];
    let mut lines: Vec<_> =
        legs.into_iter().filter_map(|(side, leg)| Some((row((side, leg.as_ref()?)), Style::new()))).collect();
    if !lines.is_empty() {
        let heads = ["KERNEL", "STATE", "RTT", "WINDOW", "UNREAD", "UNSENT", "LOST", "RESENT"];
        lines.insert(0, (kernel(heads.map(str::to_owned)), paint.dim()));
    }
    lines
}

/// A line of the kernel's view: 80 columns.
fn kernel([side, state, rtt, window, unread, unsent, lost, resent]: [String; 8]) -> String {
    format!("{side:9} {state:12} {rtt:>10} {window:>7} {unread:>10} {unsent:>10} {lost:>6} {resent:>7}")
}

fn tap_head(detail: &Detail) -> String {
    let form = if detail.hex { "hex" } else { "text" };
    match &detail.tap_over {
        _ if !detail.tapped => "tap off".to_owned(),
        Some(reason) => format!("tap over: {reason}"),
        None => format!("tap on, as {form}; while it is, the session is copied and not spliced"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    fn told(detail: &mut Detail, item: Value) {
        detail.tell(Tapped::Item(from_value(item).unwrap()));
    }

    fn piece(hex: &str, bytes: u64) -> Value {
        json!({"ts": "2026-11-21T20:26:21.123456Z", "from": "client", "offset": 5, "bytes": bytes, "hex": hex})
    }

    #[test]
    fn what_a_peer_sent_is_escaped_and_cut_into_lines() {
        let mut detail = Detail::new(1);
        told(&mut detail, json!({"attached": 1}));
        told(&mut detail, piece("1b5b324a0a", 900));
        let lines = detail.lines(80, 10);
        assert_eq!(lines, [r"20:26:21.123 client > offset 5, 900 B: \x1b[2J\n… (895 more bytes)"]);
        assert_eq!(detail.lines(40, 1), [r"x1b[2J\n… (895 more bytes)"]);
        detail.hex = true;
        let lines = detail.lines(80, 10);
        assert!(lines[0].ends_with("client > offset 5, 900 B … (895 more bytes)"), "{lines:?}");
        assert!(lines[1].starts_with("  00000005: 1b5b 324a 0a"), "{lines:?}");
    }

    #[test]
    fn a_large_piece_takes_a_few_lines_and_says_what_is_missing() {
        let mut detail = Detail::new(1);
        told(&mut detail, piece(&"ff".repeat(512), 16_384));
        for (columns, rows) in [(80, 3), (200, 3), (40, 3)] {
            let lines = detail.lines(columns, 100);
            assert_eq!(lines.len(), rows, "{lines:#?}");
            let text = lines.concat();
            let shown = text.matches("\\xff").count();
            assert!(text.ends_with(&format!("… ({} more bytes)", 16_384 - shown)), "{text}");
        }
        detail.hex = true;
        assert_eq!(detail.lines(80, 100).len(), 1 + PIECE_ROWS);
    }

    #[test]
    fn all_wide_characters_of_a_piece_are_on_the_screen_or_counted_as_missing() {
        let mut detail = Detail::new(1);
        let sign = "世";
        let hex: String = sign.bytes().map(|byte| format!("{byte:02x}")).collect();
        told(&mut detail, piece(&hex.repeat(40), 120));
        let lines = detail.lines(80, 10);
        assert_eq!((lines.len(), lines.concat().matches(sign).count()), (2, 40), "{lines:#?}");
        told(&mut detail, piece(&hex.repeat(170), 510));
        let lines = detail.lines(80, 3);
        assert!(lines.iter().all(|line| width(line) <= 80), "{lines:#?}");
        let text = lines.concat();
        // The last sign may be there in part.
        let shown = 3 * text.matches(sign).count() + text.matches("\\x").count();
        assert!(shown > 200 && text.ends_with(&format!("… ({} more bytes)", 510 - shown)), "{lines:#?}");
    }

    #[test]
    fn the_last_pieces_are_kept_and_the_lost_are_counted() {
        let mut detail = Detail::new(1);
        for _ in 0..2 * PIECES {
            told(&mut detail, piece("61", 1));
        }
        told(&mut detail, json!({"lost": 2}));
        told(&mut detail, json!({"lost": 3}));
        let lines = detail.lines(80, 1000);
        assert_eq!(
            (lines.len(), lines[PIECES - 1].as_str()),
            (PIECES, "… 5 pieces were lost: too many to show")
        );
        detail.tell(Tapped::Over(None));
        assert!(detail.tap_over.is_some());
    }
}
