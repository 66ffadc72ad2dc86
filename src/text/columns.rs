//! How a text fits into columns of a terminal. A Chinese character takes two.

use unicode_width::UnicodeWidthChar;

/// A text of at most `columns`; a longer one loses its middle, because addresses differ in their begin and in their end.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let kept = columns.saturating_sub(1);
    let begin: String = fitting(text.chars(), kept / 2).collect();
    let mut end: Vec<char> = fitting(text.chars().rev(), kept - kept / 2).collect();
    end.reverse();
    let dots = if columns == 0 { "" } else { "…" };
    begin.chars().chain(dots.chars()).chain(end).collect()
}

/// The first characters, as long as they fit.
fn fitting(chars: impl Iterator<Item = char>, columns: usize) -> impl Iterator<Item = char> {
    let mut taken = 0;
    chars.take_while(move |c| {
        taken += c.width().unwrap_or(0);
        taken <= columns
    })
}

/// The columns that a text takes, at most.
pub fn width(text: &str) -> usize {
    text.chars().filter_map(UnicodeWidthChar::width).sum()
}

/// A text of at most `columns`; a longer one loses its end.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let dots = if columns == 0 { "" } else { "…" };
    fitting(text.chars(), columns.saturating_sub(1)).chain(dots.chars()).collect()
}

/// A text in lines of at most `columns`.
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let (mut lines, mut taken) = (vec![String::new()], 0);
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if taken > 0 && taken + width > columns {
            lines.push(String::new());
            taken = 0;
        }
        taken += width;
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_address_keeps_its_ends() {
        assert_eq!(fit("192.168.100.200:65535", 15), "192.168…0:65535");
        assert_eq!(fit("127.0.0.1:1", 11), "127.0.0.1:1");
        assert_eq!((fit("abc", 1), fit("abc", 0)), ("…".into(), String::new()));
        assert_eq!(fit("unix:/世界.sock", 12), "unix:….sock");
        assert_eq!(fit("世界世界", 6), "世…界");
    }

    #[test]
    fn a_sentence_keeps_its_begin() {
        assert_eq!((cut("all is well", 11), cut("all is well", 6)), ("all is well".into(), "all i…".into()));
        assert_eq!((cut("世界世界", 4), cut("a", 0)), ("世…".into(), String::new()));
    }

    #[test]
    fn a_wide_character_takes_two_columns_of_a_line() {
        assert_eq!(wrapped("a世界bc", 4), ["a世", "界bc"]);
        assert_eq!(wrapped("世界", 1), ["世", "界"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    proptest! {
        #[test]
        fn a_text_that_was_fitted_fits(text: String, columns in 0_usize..40) {
            prop_assert!(width(&fit(&text, columns)) <= columns);
            prop_assert!(width(&cut(&text, columns)) <= columns);
        }

        #[test]
        fn nothing_of_a_text_is_lost_between_lines(text: String, columns in 2_usize..40) {
            let lines = wrapped(&text, columns);
            prop_assert!(lines.iter().all(|line| width(line) <= columns));
            prop_assert_eq!(lines.concat(), text);
        }
    }
}
