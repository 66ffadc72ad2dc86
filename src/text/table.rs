//! Tables for people. One that is wider than the terminal has its columns shortened, and then leaves some out.

use crate::text::{
    columns::{cut, fit, width},
    units,
};
use std::time::Duration;

/// Between two columns.
const GAP: usize = 2;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// What a cell that is too long loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shorten {
    Never,
    /// Its middle, down to this many columns: addresses differ in their begin and in their end.
    Middle(usize),
    /// Its end, down to this many columns.
    End(usize),
}

#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    pub align: Align,
    pub shorten: Shorten,
    /// The column with the highest rank is left out first; one of rank 0 never is.
    pub rank: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Red,
    Green,
    Yellow,
    Magenta,
    Cyan,
    Dim,
}

#[derive(Clone, Debug, Default)]
pub struct Cell {
    pub text: String,
    pub colour: Option<Colour>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell { text: text.into(), colour: None }
    }
}

impl Colour {
    /// What begins it (ECMA-48 §8.3.117).
    pub fn begin(self) -> &'static str {
        match self {
            Colour::Red => "\x1b[31m",
            Colour::Green => "\x1b[32m",
            Colour::Yellow => "\x1b[33m",
            Colour::Magenta => "\x1b[35m",
            Colour::Cyan => "\x1b[36m",
            Colour::Dim => "\x1b[2m",
        }
    }
}

impl Column {
    /// A column of words that is as wide as its widest.
    pub const fn words(name: &'static str, rank: u8) -> Self {
        Column { name, align: Align::Left, shorten: Shorten::Never, rank }
    }

    pub const fn numbers(name: &'static str, rank: u8) -> Self {
        Column { name, align: Align::Right, shorten: Shorten::Never, rank }
    }

    /// A column of addresses, of which the ends are left if there is little room.
    pub const fn addresses(name: &'static str, rank: u8) -> Self {
        const ENDS: usize = 12;
        Column { name, align: Align::Left, shorten: Shorten::Middle(ENDS), rank }
    }

    fn least(&self, natural: usize) -> usize {
        match self.shorten {
            Shorten::Never => natural,
            Shorten::Middle(least) | Shorten::End(least) => least.min(natural),
        }
    }

    fn cell(&self, cell: &Cell, columns: usize, coloured: bool) -> String {
        let text = match self.shorten {
            Shorten::Middle(_) => fit(&cell.text, columns),
            Shorten::Never | Shorten::End(_) => cut(&cell.text, columns),
        };
        let space = " ".repeat(columns - width(&text));
        let text = match cell.colour.filter(|_| coloured) {
            Some(colour) => format!("{}{text}\x1b[0m", colour.begin()),
            None => text,
        };
        if self.align == Align::Left { text + &space } else { space + &text }
    }
}

/// Rows below their heads, each column as wide as its widest cell; if all are to fit into `room`, narrower or left out.
pub fn table(columns: &[Column], rows: &[Vec<Cell>], room: Option<usize>, coloured: bool) -> String {
    let natural = |at: usize| {
        let cells = rows.iter().map(|row| width(&row[at].text));
        cells.chain([width(columns[at].name)]).max().unwrap_or(0)
    };
    let natural: Vec<usize> = (0..columns.len()).map(natural).collect();
    let widths = room.map_or_else(
        || natural.iter().copied().enumerate().collect(),
        |room| widths(columns, &natural, room),
    );
    let head: Vec<Cell> = columns.iter().map(|column| column.name.into()).collect();
    let mut text = String::new();
    for row in [&head].into_iter().chain(rows) {
        let cells: Vec<String> =
            widths.iter().map(|(at, width)| columns[*at].cell(&row[*at], *width, coloured)).collect();
        text.push_str(cells.join(&" ".repeat(GAP)).trim_end());
        text.push('\n');
    }
    text
}

/// The columns that are shown in `room`, each with its width.
fn widths(columns: &[Column], natural: &[usize], room: usize) -> Vec<(usize, usize)> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let total = |widths: &mut dyn Iterator<Item = usize>| {
        widths.map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
    };
    while total(&mut shown.iter().map(|&at| columns[at].least(natural[at]))) > room {
        let last = (0..shown.len()).max_by_key(|&place| columns[shown[place]].rank);
        match last.filter(|&place| columns[shown[place]].rank > 0) {
            Some(place) => _ = shown.remove(place),
            None => break,
        }
    }
    let mut widths: Vec<(usize, usize)> = shown.into_iter().map(|at| (at, natural[at])).collect();
    while total(&mut widths.iter().map(|(_, width)| *width)) > room {
        let shortens = widths.iter_mut().filter(|(at, width)| *width > columns[*at].least(natural[*at]));
        match shortens.max_by_key(|(_, width)| *width) {
            Some((_, width)) => *width -= 1,
            None => break,
        }
    }
    widths
}

/// Milliseconds for a cell.
pub fn span(ms: u64) -> String {
    units::duration(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COLUMNS: [Column; 4] = [
        Column::numbers("ID", 0),
        Column::addresses("CLIENT", 0),
        Column::words("MODE", 9),
        Column { name: "VERDICT", align: Align::Left, shorten: Shorten::End(8), rank: 1 },
    ];

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec!["1".into(), "127.0.0.1:50000".into(), "proxy".into(), "client finished first".into()],
            vec!["22".into(), "[2001:db8::1]:443".into(), "echo".into(), "cut".into()],
        ]
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["1".into(), "a".into()], vec!["22".into(), "bcd".into()]];
        let columns = [Column::numbers("ID", 0), Column::words("NAME", 0)];
        assert_eq!(table(&columns, &rows, None, false), "ID  NAME\n 1  a\n22  bcd\n");
    }

    #[test]
    fn a_table_that_is_too_wide_is_shortened_and_then_leaves_columns_out() {
        let lines = |room| table(&COLUMNS, &rows(), Some(room), false);
        assert_eq!(lines(200), table(&COLUMNS, &rows(), None, false));
        let shorter = lines(44);
        assert!(shorter.contains("MODE") && shorter.contains("client finishe…"), "{shorter}");
        let narrow = lines(26);
        assert!(!narrow.contains("MODE") && narrow.contains("VERDICT") && narrow.contains('…'), "{narrow}");
        assert!(!lines(20).contains("VERDICT"), "{}", lines(20));
    }

    #[test]
    fn a_colour_takes_no_columns() {
        let red = Cell { text: "x".into(), colour: Some(Colour::Red) };
        let columns = [Column::words("A", 0), Column::words("B", 0)];
        let text = table(&columns, &[vec![red, "y".into()]], Some(80), true);
        assert_eq!(text, "A  B\n\x1b[31mx\x1b[0m  y\n");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_room(room in 16_usize..120) {
            for line in table(&COLUMNS, &rows(), Some(room), false).lines() {
                prop_assert!(width(line) <= room, "{room}: {line}");
            }
        }
    }
}
