//! Tables and quantities for people.

use std::fmt::Write;

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

/// Bytes in the largest unit that leaves a digit before the point.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    const STEP: f64 = 1024.0;
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut rest = count as f64;
    if rest < STEP {
        return format!("{count} B");
    }
    let mut unit = "";
    for next in UNITS {
        if rest < STEP {
            break;
        }
        (rest, unit) = (rest / STEP, next);
    }
    format!("{rest:.1} {unit}")
}

/// Milliseconds as a person says them.
pub fn span(ms: u64) -> String {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match ms {
        0..SECOND => format!("{ms}ms"),
        SECOND..MINUTE => format!("{}.{}s", ms / SECOND, ms % SECOND / 100),
        MINUTE..HOUR => format!("{}m{:02}s", ms / MINUTE, ms % MINUTE / SECOND),
        HOUR..DAY => format!("{}h{:02}m", ms / HOUR, ms % HOUR / MINUTE),
        _ => format!("{}d{:02}h", ms / DAY, ms % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_people_write_them() {
        assert_eq!([bytes(812), bytes(1024), bytes(3 << 30)], ["812 B", "1.0 KiB", "3.0 GiB"]);
        assert_eq!(
            [span(7), span(1250), span(61_000), span(3_700_000), span(90_000_000)],
            ["7ms", "1.2s", "1m01s", "1h01m", "1d01h"]
        );
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["1".into(), "a".into()], ["22".into(), "bcd".into()]];
        let text = table([("ID", Align::Right), ("NAME", Align::Left)], &rows);
        assert_eq!(text, "ID  NAME\n 1  a\n22  bcd\n");
    }
}
