//! Text that cannot control a terminal. What another program sent becomes one here, where it is decoded.

use crate::text::escape::{Escaped, Terminal};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

const DASH: &str = "-";

/// One line of text that a terminal may see, whatever it was made from. By default it is a dash, for what is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SafeText(String);

impl SafeText {
    /// What is shown of something that escapes itself as it is shown.
    pub fn escaped(shown: impl fmt::Display) -> Self {
        SafeText(shown.to_string())
    }

    /// A text of ours or of a peer, escaped as in event lines.
    pub fn literal(text: &str) -> Self {
        Self::escaped(Escaped(text.as_bytes()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, or a dash if there is none.
    pub fn or_dash(text: Option<&SafeText>) -> &str {
        text.map_or(DASH, SafeText::as_str)
    }
}

impl From<&str> for SafeText {
    /// Escapes controls and what reorders text; a line feed or a tab becomes a space.
    fn from(text: &str) -> Self {
        let (mut terminal, mut safe) = (Terminal::default(), String::new());
        terminal.push(text.as_bytes(), &mut safe);
        terminal.finish(&mut safe);
        SafeText(safe.replace(['\n', '\t'], " "))
    }
}

impl<'de> Deserialize<'de> for SafeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| text.as_str().into())
    }
}

impl Default for SafeText {
    fn default() -> Self {
        SafeText(DASH.to_owned())
    }
}

impl PartialEq<&str> for SafeText {
    fn eq(&self, text: &&str) -> bool {
        self.0 == *text
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_decoded_cannot_control_a_terminal() {
        let text: SafeText = serde_json::from_str(r#""a\u001b[2J\nb\u202e""#).unwrap();
        assert_eq!(text, r"a\x1b[2J b\u{202e}");
    }

    proptest! {
        #[test]
        fn what_a_server_escaped_stays_as_it_is(text: String) {
            let escaped = SafeText::literal(&text);
            prop_assert_eq!(&SafeText::from(escaped.as_str()), &escaped);
        }
    }
}
