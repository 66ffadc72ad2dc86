//! The keys: the few that the last line names, and all of them over the screen.

use crate::{
    text::columns::width,
    tools::top::paint::{Paint, put},
};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

/// Keys and what they do, the most needed first: a narrow screen cuts the rest off.
pub type Keys = &'static [(&'static str, &'static str)];

pub const LIVE: Keys = &[
    ("q", "quit"),
    ("?", "keys"),
    ("enter", "details"),
    ("s", "sort"),
    ("f", "health"),
    ("/", "filter"),
    ("c", "cut"),
    ("space", "hold"),
    ("tab", "next page"),
];
pub const ENDED: Keys =
    &[("q", "quit"), ("?", "keys"), ("enter", "all about it"), ("/", "filter"), ("tab", "next page")];
pub const CAUSES: Keys = &[("q", "quit"), ("?", "keys"), ("enter", "the sessions"), ("tab", "next page")];
pub const EVENTS: Keys = &[
    ("q", "quit"),
    ("?", "keys"),
    ("↑↓", "back and on"),
    ("/", "search"),
    ("n N", "next, before"),
    ("G", "newest"),
    ("w", "save"),
    ("tab", "next page"),
];
pub const DETAIL: Keys = &[
    ("q", "quit"),
    ("?", "keys"),
    ("esc", "back"),
    ("t", "tap on/off"),
    ("h", "hex/text"),
    ("↑↓", "scroll"),
    ("/", "search"),
    ("w", "save"),
    ("c", "cut"),
];
pub const FILTER: Keys = &[("enter", "done"), ("esc", "as before"), ("ctrl-u", "clear")];
pub const SEARCH: Keys = &[("enter", "search back"), ("esc", "no"), ("ctrl-u", "clear")];
pub const SAVE: Keys = &[("enter", "write it"), ("esc", "no"), ("ctrl-u", "clear")];
pub const CUT: Keys =
    &[("y", "cut by RST"), ("f", "by FIN, after what is under way"), ("any other key", "no")];
pub const HEALTH: Keys = &[
    ("a", "all"),
    ("p", "problems"),
    ("s", "stalled"),
    ("h", "half-closed"),
    ("e", "held"),
    ("d", "dialling"),
    ("o", "opening"),
    ("l", "live"),
    ("i", "idle"),
];

/// Every key, by where it works.
const ALL: [(&str, Keys); 4] = [
    (
        "everywhere",
        &[
            ("1 2 3 4, tab", "Live, Ended, Causes, Events; also a click"),
            ("j k, ↑ ↓, wheel", "the next, the one before"),
            ("g G, Home End", "the first, the last"),
            ("PgUp PgDn", "a page"),
            ("enter, click", "all about the chosen one"),
            ("esc", "back; show all again"),
            ("?  q  ctrl-c", "these keys; quit"),
        ],
    ),
    (
        "Live",
        &[
            ("s S, click head", "sort by the next column, the one before"),
            ("r", "turn the order round"),
            ("f", "only sessions that do so"),
            ("/", "only sessions with a text: :443, 10.1."),
            ("c", "cut it, asks first"),
            ("space", "hold the table still"),
        ],
    ),
    (
        "details, Events",
        &[
            ("t", "tap: the bytes as they flow, on and off"),
            ("h", "hex or text"),
            ("/  n N", "search back; again, the other way"),
            ("w", "save what is kept to a file"),
        ],
    ),
    (
        "states",
        &[
            ("● live  ○ idle", "moved not long ago; nothing for 10 s"),
            ("◐ half-closed", "one side has ended its stream"),
            ("✖ stalled", "a side takes none of what waits for 3 s"),
            ("◔ opening", "its client says who it is, or TLS begins"),
            ("◌ dialling ‖ held", "its upstream; by an operator"),
        ],
    ),
];

/// Draws the few keys of a place.
pub fn line(keys: Keys, paint: Paint, part: Rect, buffer: &mut Buffer) {
    if part.is_empty() {
        return;
    }
    let mut x = part.x;
    for (key, meaning) in keys {
        let wide = u16::try_from(width(key) + 1 + width(meaning)).unwrap_or(0);
        if x > part.x && x + wide > part.right() {
            return;
        }
        for (word, style) in
            [(*key, paint.head()), (" ", Style::new()), (*meaning, Style::new()), ("  ", Style::new())]
        {
            let left = part.right().saturating_sub(x);
            (x, _) = buffer.set_stringn(x, part.y, word, left.into(), style);
        }
    }
}

/// Draws all keys over what is there.
pub fn all(paint: Paint, area: Rect, buffer: &mut Buffer) {
    let mut rows = area.rows();
    let mut next = |buffer: &mut Buffer| {
        let row = rows.next()?;
        buffer.set_stringn(row.x, row.y, " ".repeat(row.width.into()), row.width.into(), Style::reset());
        Some(row)
    };
    for (place, keys) in ALL {
        for (number, (key, meaning)) in keys.iter().enumerate() {
            let Some(row) = next(buffer) else { return };
            let place = if number == 0 { place } else { "" };
            put(buffer, row, place, paint.dim());
            let inner = |from: u16| Rect {
                x: row.x + from.min(row.width),
                width: row.width.saturating_sub(from),
                ..row
            };
            put(buffer, inner(17), key, paint.head());
            put(buffer, inner(36), meaning, Style::new());
        }
    }
    while let Some(row) = next(buffer) {
        let end = "any key: back";
        put(buffer, row, if row.bottom() == area.bottom() { end } else { "" }, paint.dim());
    }
}
