//! Text in lines of a given width.

use unicode_width::UnicodeWidthStr;

/// The columns of a terminal that nothing is known of, and of all help.
pub const WIDTH: usize = 80;

/// Puts the words of `text` in lines of at most `width` columns, each line but the first behind `indent` spaces. A word that
/// is longer has a line to itself.
pub fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                // Words keep their distance from the indent alone.
                if !line.trim_start().is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
            Some(_) => lines.push(format!("{:indent$}{word}", "")),
        }
    }
    lines
}

/// Wraps a line that is laid out by hand: what follows stands below its last column, which several spaces begin.
pub fn wrap_row(line: &str, width: usize) -> Vec<String> {
    const GAP: &str = "   ";
    if line.width() <= width {
        return vec![line.to_owned()];
    }
    let text = line.trim_start().len();
    let begin = line.len() - text;
    let column = line[begin..].find(GAP).map_or(begin, |at| {
        let gap = begin + at;
        gap + (line[gap..].len() - line[gap..].trim_start().len())
    });
    let (head, rest) = line.split_at(column);
    let indent = head.width();
    let mut lines = wrap(rest, width.saturating_sub(indent), 0).into_iter();
    let first = format!("{head}{}", lines.next().unwrap_or_default());
    [first].into_iter().chain(lines.map(|line| format!("{:indent$}{line}", ""))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fill_lines() {
        assert_eq!(wrap("aa bb cc dd", 5, 0), ["aa bb", "cc dd"]);
        assert_eq!(wrap("aa bb cc dd", 5, 2), ["aa bb", "  cc", "  dd"]);
        assert_eq!(wrap("longer-than-that b", 5, 0), ["longer-than-that", "b"]);
        assert_eq!(wrap("", 5, 0), [""; 0]);
    }

    #[test]
    fn a_row_goes_on_below_its_last_column() {
        assert_eq!(wrap_row("ab", 5), ["ab"]);
        assert_eq!(wrap_row("x     one two three", 13), ["x     one two", "      three"]);
        assert_eq!(wrap_row("  one two three", 9), ["  one two", "  three"]);
    }
}
