//! A table that reads as well on a terminal as in Markdown.

use std::fmt;

/// A title, a head and rows.
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(title: impl Into<String>, head: &[&str]) -> Self {
        Table { title: title.into(), rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row with as many cells as the head.
    pub fn add(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    /// Numbers are aligned to the right, words to the left.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, body) = (&self.rows[0], &self.rows[1..]);
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0).max(2)).collect();
        let is_number = |cell: &str| cell.chars().next().is_none_or(|first| !first.is_alphabetic());
        let right = |column: usize| column > 0 && body.iter().all(|row| is_number(&row[column]));
        let right: Vec<bool> = (0..head.len()).map(right).collect();
        writeln!(f, "### {}\n", self.title)?;
        for (number, row) in self.rows.iter().enumerate() {
            for ((cell, width), right) in row.iter().zip(&widths).zip(&right) {
                if *right { write!(f, "| {cell:>width$} ")? } else { write!(f, "| {cell:<width$} ")? }
            }
            writeln!(f, "|")?;
            if number == 0 {
                for (width, right) in widths.iter().zip(&right) {
                    write!(f, "|{}{}", "-".repeat(width + 1), if *right { ":" } else { "-" })?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// Three significant digits, or all of a long whole number; `–` where there is no number.
pub fn three(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "–".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A ratio.
pub fn two(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { "–".to_owned() }
}
