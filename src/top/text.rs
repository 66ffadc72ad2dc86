//! Texts for cells of the screen.

use crate::{ctl, observe::escape::Terminal};
use serde_json::Value;

/// A value as text that cannot control a terminal: the server has escaped what peers sent, and is not trusted with it.
#[must_use]
pub fn shown(value: &Value) -> String {
    safe(&ctl::report::text(value))
}

/// A text that cannot control a terminal.
#[must_use]
pub fn safe(text: &str) -> String {
    let mut out = String::new();
    let mut terminal = Terminal::default();
    terminal.push(text.as_bytes(), &mut out);
    terminal.finish(&mut out);
    // Of many lines one is shown.
    out.replace(['\n', '\t'], " ")
}

/// A text of at most so many characters; of a longer one the middle is left out, because an address differs from others in
/// its begin and in its end.
#[must_use]
pub fn fit(text: &str, columns: usize) -> String {
    let count = text.chars().count();
    if count <= columns {
        return text.to_owned();
    }
    let kept = columns.saturating_sub(1);
    let begin = kept / 2;
    let end = text.chars().skip(count - (kept - begin));
    let dots = if columns == 0 { "" } else { "…" };
    text.chars().take(begin).chain(dots.chars()).chain(end).collect()
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
    }

    #[test]
    fn no_text_controls_a_terminal() {
        assert_eq!(shown(&"a\x1b[2J\nb\u{202e}".into()), r"a\x1b[2J b\u{202e}");
    }

    proptest! {
        #[test]
        fn a_text_that_was_fitted_fits(text: String, columns in 0_usize..40) {
            prop_assert!(fit(&text, columns).chars().count() <= columns);
        }
    }
}
