//! One session in place of the table: its page, as `ctl show` prints it, and the last of what it moved, if it is tapped.

use crate::{
    control::protocol::{EndedSession, SessionDetail, TapItem},
    session::event::Side,
    text::{
        columns::{width, wrapped},
        escape::Escaped,
        hex::{HexBytes, ROW_BYTES, Row},
        moment::TimeOfDay,
        safe::SafeText,
    },
    tools::{
        ctl::{
            page::{self, Line, Tone},
            tap::MarkLine,
        },
        top::{
            keyboard::Key,
            link::Tapped,
            log::{Log, Step},
            paint::{Paint, put},
        },
    },
};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::{collections::VecDeque, fmt::Write};

/// Some hundred screens to scroll back, 1 MiB at most.
const ITEMS: usize = 2000;
/// What a piece may take of the screen, so that several are seen.
const PIECE_ROWS: usize = 3;

/// How a session has ended.
pub enum Ending {
    Known(Box<EndedSession>),
    /// The server does not remember.
    Forgotten,
}

pub struct Detail {
    pub server: usize,
    pub session: u64,
    /// What `show` told last.
    pub facts: Option<SessionDetail>,
    pub ending: Option<Ending>,
    /// Its bytes are to be shown.
    pub tapped: bool,
    /// They are shown as `xxd` does, and not as text.
    pub hex: bool,
    pub tap_over: Option<SafeText>,
    /// What the tap told last: bytes, marks, and what was lost between them.
    pub log: Log<TapItem>,
}

impl Detail {
    /// Before anything is known. It is not tapped: that costs the session its splice.
    pub fn new(server: usize, session: u64) -> Self {
        Detail {
            server,
            session,
            facts: None,
            ending: None,
            tapped: false,
            hex: false,
            tap_over: None,
            log: Log::new(ITEMS),
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
        match (&item, self.log.last_mut()) {
            (TapItem::Lost { lost: more, .. }, Some(TapItem::Lost { lost, .. })) => {
                *lost = lost.saturating_add(*more);
            }
            (TapItem::Data { .. } | TapItem::Mark { .. } | TapItem::Lost { .. }, _) => self.log.push(item),
            _ => {}
        }
    }

    /// Turns the tap on or off; what it told stays.
    pub fn turn_tap(&mut self) {
        self.tapped = !self.tapped;
        self.tap_over = None;
    }

    pub fn scroll(&mut self, key: Key) -> bool {
        let step = step(key);
        if let Some(step) = step {
            self.log.step(step);
        }
        step.is_some()
    }

    /// Goes to the next piece or mark with this text.
    pub fn search(&mut self, text: &str, back: bool) -> bool {
        let (hex, text) = (self.hex, text.to_lowercase());
        self.log.search(back, |item| {
            let lines = item_lines(item, usize::MAX, hex);
            lines.iter().any(|line| line.to_lowercase().contains(&text))
        })
    }

    /// The last lines of what was tapped, at most `rows` of them, none wider than `columns`.
    pub fn lines(&self, columns: usize, rows: usize) -> Vec<String> {
        let mut lines = VecDeque::new();
        for item in self.log.shown() {
            for line in item_lines(item, columns, self.hex).into_iter().rev() {
                if lines.len() == rows {
                    return lines.into();
                }
                lines.push_front(line);
            }
        }
        lines.into()
    }

    /// All that is known of the session and was tapped of it, for a file.
    pub fn text(&self) -> String {
        let page = self.page().into_iter().map(|line| line.text);
        let tapped = self.log.iter().flat_map(|item| item_lines(item, usize::MAX, self.hex));
        page.chain([String::new()]).chain(tapped).map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    fn page(&self) -> Vec<Line> {
        let plain = |text: &str, tone| vec![Line { text: format!("session {}: {text}", self.session), tone }];
        match (&self.ending, &self.facts) {
            (Some(Ending::Known(ended)), _) => page::ended(ended),
            (Some(Ending::Forgotten), _) => {
                plain("it has ended; the server does not remember how", Tone::Failed)
            }
            (None, Some(facts)) => page::session(facts, true),
            (None, None) => plain("looking ...", Tone::Head),
        }
    }

    fn tap_head(&self) -> String {
        let form = if self.hex { "hex" } else { "text" };
        let head = match &self.tap_over {
            _ if !self.tapped && self.ending.is_some() => "no tap: it has ended".to_owned(),
            _ if !self.tapped => "no tap; t shows its bytes as they flow".to_owned(),
            Some(reason) => format!("tap over: {reason}"),
            None => format!("tap on, as {form}; while it is, the session is copied and not spliced"),
        };
        match self.log.behind() {
            0 => head,
            behind if self.log.follows() => format!("{head} ({behind})"),
            behind => format!("back by {behind}; G: the newest"),
        }
    }

    pub fn draw(&self, paint: Paint, part: Rect, buffer: &mut Buffer) {
        let mut rows = part.rows();
        // How it ended, and long addresses, are shown whole.
        let told = self.page().into_iter().flat_map(|line| {
            let lines = wrapped(&line.text, part.width.into());
            lines.into_iter().map(move |text| (text, line.tone))
        });
        for (line, tone) in told {
            let Some(row) = rows.next() else { return };
            put(buffer, row, &line, paint.tone(tone));
        }
        let Some(row) = rows.next() else { return };
        put(buffer, row, &self.tap_head(), paint.head());
        let left = usize::from(part.bottom().saturating_sub(row.bottom()));
        for (row, line) in rows.zip(self.lines(part.width.into(), left)) {
            let style = if line.starts_with('…') { paint.dim() } else { Style::new() };
            put(buffer, row, &line, style);
        }
    }
}

/// How a key goes through what came.
pub fn step(key: Key) -> Option<Step> {
    const PAGE: usize = 10;
    const WHEEL: usize = 3;
    Some(match key {
        Key::Up | Key::Char('k') => Step::Back(1),
        Key::Down | Key::Char('j') => Step::On(1),
        Key::WheelUp => Step::Back(WHEEL),
        Key::WheelDown => Step::On(WHEEL),
        Key::PageUp => Step::Back(PAGE),
        Key::PageDown => Step::On(PAGE),
        Key::Home | Key::Char('g') => Step::Begin,
        Key::End | Key::Char('G') => Step::End,
        _ => return None,
    })
}

fn item_lines(item: &TapItem, columns: usize, hex: bool) -> Vec<String> {
    match item {
        TapItem::Lost { lost, .. } => vec![format!("… {lost} pieces were lost: too many to show")],
        TapItem::Mark { mark, ts, from, after_us, about, .. } => {
            let line = MarkLine { mark, from: *from, after_us: *after_us, about: about.as_ref() };
            wrapped(&format!("{} {line}", TimeOfDay(ts.0)), columns)
        }
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
        let mut detail = Detail::new(0, 1);
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
        let mut detail = Detail::new(0, 1);
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
        let mut detail = Detail::new(0, 1);
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
        let mut detail = Detail::new(0, 1);
        for _ in 0..2 * ITEMS {
            told(&mut detail, piece("61", 1));
        }
        told(&mut detail, json!({"lost": 2}));
        told(&mut detail, json!({"lost": 3}));
        let lines = detail.lines(80, 2 * ITEMS);
        assert_eq!(
            (lines.len(), lines[ITEMS - 1].as_str()),
            (ITEMS, "… 5 pieces were lost: too many to show")
        );
        detail.tell(Tapped::Over(None));
        assert!(detail.tap_over.is_some());
    }

    #[test]
    fn what_was_tapped_is_searched_gone_through_and_written_down() {
        let mut detail = Detail::new(0, 7);
        for hex in ["616c706861", "62657461", "67616d6d61"] {
            told(&mut detail, piece(hex, hex.len() as u64 / 2));
        }
        let mark =
            json!({"mark": "fin", "ts": "2026-11-21T20:26:21.123456Z", "from": "upstream", "after_us": 1500});
        told(&mut detail, mark);
        let last = |detail: &Detail| detail.lines(80, 1).concat();
        assert!(last(&detail).ends_with("upstream < FIN after 1.5 ms"), "{}", last(&detail));
        assert!(detail.search("ALPHA", true) && last(&detail).ends_with("alpha"));
        assert!(detail.tap_head().starts_with("back by 3"), "{}", detail.tap_head());
        assert!(detail.scroll(Key::Char('j')) && last(&detail).ends_with("beta"));
        assert!(!detail.search("delta", true) && last(&detail).ends_with("beta"));
        let text = detail.text();
        assert!(
            text.starts_with("session 7: ")
                && text.contains("alpha\n")
                && text.ends_with("FIN after 1.5 ms\n")
        );
    }
}
