//! One session and its tap: what is known of it, and the last lines of what it moved.

use crate::{
    session::event::Side,
    text::{
        escape::Escaped,
        hex::{ROW_BYTES, Row, unhex},
    },
    tools::top::{
        tap::Told,
        text::{shown, width, wrapped},
    },
};
use serde_json::Value;
use std::{collections::VecDeque, fmt::Write};

/// More than any screen has lines.
const PIECES: usize = 200;
/// What a piece may take of the screen, so that several are seen.
const PIECE_ROWS: usize = 3;
/// Where the time of day is in a time stamp (RFC 3339), with milliseconds.
const TIME_OF_DAY: std::ops::Range<usize> = 11..23;

/// One session in place of the table.
pub struct Detail {
    /// Its number.
    pub session: u64,
    /// What `show` told last.
    pub facts: Value,
    /// How it ended.
    pub ended: Option<String>,
    /// Whether its bytes are to be shown.
    pub tapped: bool,
    /// As `xxd` shows them, and not as text.
    pub hex: bool,
    /// Why the tap is over, or that it is.
    pub tap_over: Option<String>,
    pieces: VecDeque<Piece>,
}

enum Piece {
    Bytes { time: String, from: Side, offset: u64, length: u64, shown: Vec<u8> },
    Lost(u64),
}

impl Detail {
    /// Before anything is known. It is tapped: that is what one looks at a session for.
    #[must_use]
    pub fn new(session: u64) -> Self {
        Detail {
            session,
            facts: Value::Null,
            ended: None,
            tapped: true,
            hex: false,
            tap_over: None,
            pieces: VecDeque::new(),
        }
    }

    /// The tap told something.
    pub fn tell(&mut self, told: Told) {
        let piece = match told {
            Told::Over(reason) => {
                self.tap_over = Some(reason.unwrap_or_else(|| "the session is over".to_owned()));
                return;
            }
            Told::Item(item) => match (item["lost"].as_u64(), item["hex"].as_str().and_then(unhex)) {
                (Some(lost), _) => Piece::Lost(lost),
                (None, Some(bytes)) => Piece::Bytes {
                    time: shown(&item["ts"]).get(TIME_OF_DAY).unwrap_or_default().to_owned(),
                    from: if item["from"] == "client" { Side::Client } else { Side::Upstream },
                    offset: item["offset"].as_u64().unwrap_or(0),
                    length: item["bytes"].as_u64().unwrap_or(0),
                    shown: bytes,
                },
                (None, None) => return,
            },
        };
        if let (Piece::Lost(more), Some(Piece::Lost(lost))) = (&piece, self.pieces.back_mut()) {
            *lost += more;
            return;
        }
        if self.pieces.len() == PIECES {
            self.pieces.pop_front();
        }
        self.pieces.push_back(piece);
    }

    /// The last lines of what was tapped, at most so many, none wider than the screen.
    #[must_use]
    pub fn lines(&self, columns: usize, rows: usize) -> Vec<String> {
        let mut lines = VecDeque::new();
        for piece in self.pieces.iter().rev() {
            for line in piece.lines(columns, self.hex).into_iter().rev() {
                if lines.len() == rows {
                    return lines.into();
                }
                lines.push_front(line);
            }
        }
        lines.into()
    }
}

impl Piece {
    fn lines(&self, columns: usize, hex: bool) -> Vec<String> {
        match self {
            Piece::Lost(count) => vec![format!("… {count} pieces were lost: too many to show")],
            Piece::Bytes { time, from, offset, length, shown } => {
                let direction = if *from == Side::Client { "client >" } else { "upstream <" };
                let head = format!("{time} {direction} offset {offset}, {length} B");
                if hex {
                    hex_lines(&head, *offset, shown, *length)
                } else {
                    text_lines(&head, shown, *length, columns)
                }
            }
        }
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
    use serde_json::json;

    fn told(detail: &mut Detail, item: Value) {
        detail.tell(Told::Item(item));
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
        detail.tell(Told::Over(None));
        assert!(detail.tap_over.is_some());
    }
}
