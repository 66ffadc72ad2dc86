//! Tables for people.

use crate::text::units;
use std::{fmt::Write, time::Duration};

/// How a column is aligned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows below their heads, each column as wide as its widest cell.
pub fn table<const N: usize>(heads: [(&str, Align); N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].0.len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    let head = heads.map(|(name, _)| name.to_owned());
    for row in [&head].into_iter().chain(rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ = match heads[column].1 {
                Align::Left => write!(line, "{cell:<width$}  "),
                Align::Right => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Milliseconds for a cell.
pub fn span(ms: u64) -> String {
    units::duration(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["1".into(), "a".into()], ["22".into(), "bcd".into()]];
        let text = table([("ID", Align::Right), ("NAME", Align::Left)], &rows);
        assert_eq!(text, "ID  NAME\n 1  a\n22  bcd\n");
    }
}
