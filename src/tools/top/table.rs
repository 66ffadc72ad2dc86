//! The table of sessions: as many columns as the screen has room for.

use crate::{
    control::protocol::Sort,
    text::table::{bytes, span},
    tools::top::{
        page::Page,
        paint::Paint,
        screen::text,
        text::{fit, safe, shown},
    },
};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use serde_json::Value;

/// Of the head.
pub const HEAD_ROWS: u16 = 1;
/// Between columns.
const GAP: u16 = 1;
/// An address with brackets, an IPv6 address and a port fits in this; wider is no use.
const ADDRESS_COLUMNS_MAX: u16 = 47;
/// An IPv4 address and a port.
const ADDRESS_COLUMNS: u16 = 21;
/// The ends of one.
const ADDRESS_COLUMNS_MIN: u16 = 12;

/// What a column shows, from left to right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Id,
    Client,
    Upstream,
    Age,
    Idle,
    ClientRate,
    UpstreamRate,
    ClientBytes,
    UpstreamBytes,
    Phase,
    Waiting,
}

/// Bytes a second from the client (up) and from the upstream (down).
const RATES: [Column; 2] = [Column::ClientRate, Column::UpstreamRate];
/// All bytes of the same.
const SUMS: [Column; 2] = [Column::ClientBytes, Column::UpstreamBytes];

impl Column {
    /// Its name, and its width where that is fixed.
    fn head(self) -> (&'static str, Option<u16>) {
        match self {
            Column::Id => ("ID", Some(7)),
            Column::Client => ("CLIENT", None),
            Column::Upstream => ("UPSTREAM", None),
            Column::Age => ("AGE", Some(6)),
            Column::Idle => ("IDLE", Some(6)),
            Column::ClientRate => ("UP/s", Some(10)),
            Column::UpstreamRate => ("DOWN/s", Some(10)),
            Column::ClientBytes => ("UP", Some(10)),
            Column::UpstreamBytes => ("DOWN", Some(10)),
            Column::Phase => ("PHASE", Some(15)),
            Column::Waiting => ("WAITING", Some(10)),
        }
    }

    fn is_left(self) -> bool {
        matches!(self, Column::Client | Column::Upstream | Column::Phase)
    }

    fn cell(self, row: &Value) -> String {
        match self {
            Column::Id => shown(&row["session"]),
            Column::Client => shown(&row["client"]),
            // Where there is no address yet, the phase says why.
            Column::Upstream if row["upstream"].is_null() => format!("({})", shown(&row["phase"])),
            Column::Upstream => shown(&row["upstream"]),
            Column::Age => span(&row["age_ms"]),
            Column::Idle => span(&row["idle_ms"]),
            Column::ClientRate => moving(&row["client_rate"]),
            Column::UpstreamRate => moving(&row["upstream_rate"]),
            Column::ClientBytes => bytes(&row["client_bytes"]),
            Column::UpstreamBytes => bytes(&row["upstream_bytes"]),
            Column::Phase => shown(&row["phase"]),
            Column::Waiting => {
                let waits = [&row["client_waiting"], &row["upstream_waiting"]];
                moving(&waits.iter().filter_map(|count| count.as_u64()).sum::<u64>().into())
            }
        }
    }
}

/// A rate or a queue; nothing is a dash, so that what moves stands out.
fn moving(value: &Value) -> String {
    if value == 0 { "-".to_owned() } else { bytes(value) }
}

/// The columns of a table so wide, each with its width.
fn columns(width: u16, sort: Sort, has_upstream: bool) -> Vec<(Column, u16)> {
    // A narrow screen shows the numbers that it is sorted by.
    let (first, second) = if sort == Sort::Bytes { (SUMS, RATES) } else { (RATES, SUMS) };
    let upstream: &[Column] = if has_upstream { &[Column::Upstream] } else { &[] };
    let wishes: [(&[Column], u16); 7] = [
        (&first, ADDRESS_COLUMNS_MIN),
        (upstream, ADDRESS_COLUMNS_MIN),
        (&[Column::Age], ADDRESS_COLUMNS_MIN),
        (&[Column::Idle], ADDRESS_COLUMNS_MIN),
        (&[Column::Phase], ADDRESS_COLUMNS),
        (&second, ADDRESS_COLUMNS),
        (&[Column::Waiting], ADDRESS_COLUMNS),
    ];
    let taken = |columns: &[Column], address: u16| {
        columns.iter().map(|column| column.head().1.unwrap_or(address) + GAP).sum::<u16>() - GAP
    };
    let mut columns = vec![Column::Id, Column::Client];
    for (wish, address) in wishes {
        columns.extend(wish);
        if taken(&columns, address) > width {
            columns.truncate(columns.len() - wish.len());
            break;
        }
    }
    columns.sort_unstable();
    let addresses = columns.iter().filter(|column| column.head().1.is_none()).count();
    let left = usize::from(width.saturating_sub(taken(&columns, 0)));
    let address = u16::try_from(left / addresses.max(1)).unwrap_or(ADDRESS_COLUMNS_MAX);
    let address = address.min(ADDRESS_COLUMNS_MAX);
    columns.into_iter().map(|column| (column, column.head().1.unwrap_or(address))).collect()
}

/// Draws the head, and the sessions of the page below it.
pub fn draw(page: &Page, has_upstream: bool, paint: Paint, part: Rect, buffer: &mut Buffer) {
    let columns = columns(part.width, page.choice.sort, has_upstream);
    let sorted: &[Column] = match page.choice.sort {
        Sort::Age => &[Column::Age],
        Sort::Idle => &[Column::Idle],
        Sort::Rate => &RATES,
        Sort::Bytes => &SUMS,
    };
    let line = |number: u16| Rect { y: part.y + number, height: 1, ..part };
    if part.height >= HEAD_ROWS {
        let head = |column: Column| {
            let mark = if page.choice.reverse { "▲" } else { "▼" };
            let name = column.head().0;
            if sorted.contains(&column) { format!("{mark}{name}") } else { name.to_owned() }
        };
        draw_row(buffer, line(0), &columns, head, paint.head());
    }
    let first = page.first();
    for (number, row) in (0..part.height.saturating_sub(HEAD_ROWS)).zip(&page.rows) {
        let is_chosen = first + usize::from(number) == page.cursor;
        let is_busy = row["client_rate"] != 0 || row["upstream_rate"] != 0;
        let style = match (is_chosen, is_busy) {
            (true, _) => paint.chosen(),
            (false, true) => paint.busy(),
            (false, false) => Style::new(),
        };
        let part = line(number + HEAD_ROWS);
        if is_chosen {
            buffer.set_style(part, style);
        }
        draw_row(buffer, part, &columns, |column| column.cell(row), style);
    }
}

fn draw_row(
    buffer: &mut Buffer,
    part: Rect,
    columns: &[(Column, u16)],
    cell: impl Fn(Column) -> String,
    style: Style,
) {
    let mut x = part.x;
    for &(column, width) in columns {
        let width = width.min(part.right().saturating_sub(x));
        let cell = fit(&cell(column), width.into());
        let cell =
            if column.is_left() { cell } else { format!("{cell:>width$}", width = usize::from(width)) };
        text(buffer, Rect { x, width, ..part }, &cell, style);
        x = x.saturating_add(width + GAP).min(part.right());
    }
}

/// Which of the sessions are shown, and in what order.
pub fn status(page: &Page) -> String {
    let order = match (page.choice.sort, page.choice.reverse) {
        (Sort::Age, false) => "oldest first",
        (Sort::Age, true) => "newest first",
        (Sort::Bytes, false) => "most bytes first",
        (Sort::Bytes, true) => "fewest bytes first",
        (Sort::Rate, false) => "fastest first",
        (Sort::Rate, true) => "slowest first",
        (Sort::Idle, false) => "longest idle first",
        (Sort::Idle, true) => "last moved first",
    };
    let first = page.first();
    let last = first + page.rows.len().min(page.room);
    let mut line = match page.matching {
        0 => "no sessions".to_owned(),
        matching => format!("{}-{last} of {matching}, {order}", first + 1),
    };
    if let Some(network) = page.choice.from {
        line += &format!(", from {network}");
    }
    if !page.choice.matching.is_empty() {
        line += &format!(", with '{}' (esc: all)", safe(&page.choice.matching));
    }
    if page.held {
        line += ", HELD";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_and_more_room_shows_more() {
        let mut before = 0;
        for width in 0..220 {
            for (sort, has_upstream) in [(Sort::Rate, true), (Sort::Bytes, false)] {
                let columns = columns(width, sort, has_upstream);
                let wide: u16 = columns.iter().map(|(_, width)| width + GAP).sum();
                assert!(width < 20 || wide <= width + GAP, "{width}: {wide}");
            }
            let count = columns(width, Sort::Rate, true).len();
            assert!(count >= before, "{width}");
            before = count;
        }
        assert_eq!(before, 11);
        let narrow: Vec<u16> = columns(80, Sort::Rate, true).iter().map(|(_, width)| *width).collect();
        assert_eq!(narrow, [7, 17, 17, 6, 6, 10, 10]);
        assert_eq!(
            columns(20, Sort::Rate, true).iter().map(|(_, width)| *width).collect::<Vec<_>>(),
            [7, 12]
        );
    }
}
