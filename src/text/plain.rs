//! Plain signs in place of ours, for a terminal that shows ASCII alone: in text that flows by ([`Plain`]), and on screens and in
//! tables, where each has one column ([`plain_char`]).

use std::{
    env,
    io::{self, Write},
};

/// Our own signs, and what stands for each where only ASCII is shown. Each fills as many columns, but for the arrows that
/// stand in sentences.
const SIGNS: [(char, &str); 22] = [
    ('↑', "^"),
    ('↓', "v"),
    ('→', ">"),
    ('←', "<"),
    ('µ', "u"),
    ('…', "."),
    ('·', "."),
    ('×', "x"),
    ('±', "~"),
    ('–', "-"),
    ('§', "S"),
    ('█', "#"),
    ('─', "-"),
    ('│', "|"),
    ('┌', "+"),
    ('┐', "+"),
    ('└', "+"),
    ('┘', "+"),
    ('├', "+"),
    ('┤', "+"),
    ('▶', ">"),
    ('◀', "<"),
];

/// Whether the user's terminal shows more than ASCII, by its locale and its kind.
pub fn takes_unicode() -> bool {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    is_unicode(locale.as_deref(), set("TERM").as_deref())
}

/// `locale` is that of characters (POSIX, XBD 8.2: LC_ALL before LC_CTYPE before LANG). Without one, as in most containers,
/// UTF-8 is likelier than not.
fn is_unicode(locale: Option<&str>, term: Option<&str>) -> bool {
    // The terminals of DEC, and those that name none.
    let is_old = |term: &str| term == "dumb" || term.starts_with("vt1") || term.starts_with("vt2");
    if term.is_some_and(is_old) {
        return false;
    }
    let Some(locale) = locale else { return true };
    match locale.split_once('.') {
        Some((_, charset)) => {
            let charset = charset.split('@').next().unwrap_or_default().to_ascii_lowercase();
            matches!(&*charset, "utf-8" | "utf8")
        }
        None => !matches!(locale, "C" | "POSIX"),
    }
}

/// Puts plain signs in place of ours. All else stays: it is what a peer or the user wrote.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match SIGNS.iter().find(|(sign, _)| *sign == char) {
            Some((_, stand_in)) => plain.push_str(stand_in),
            None => plain.push(char),
        }
    }
    plain
}

/// What a plain terminal shows for a character that this program writes, in one column as well; for one that it cannot
/// show, a question mark.
pub fn plain_char(c: char) -> char {
    match c {
        '\n' | ' '..='~' => c,
        '↑' | '▲' => '^',
        '↓' | '▼' => 'v',
        '·' => '-',
        '…' => '~',
        'µ' => 'u',
        '×' => 'x',
        // How sessions do.
        '●' => '+',
        '○' => '.',
        '◐' => '/',
        '◔' => 'o',
        '◌' => '*',
        '‖' => '=',
        '✖' => '!',
        // The steps of a chart.
        '▁' => '_',
        '▂' => '.',
        '▃' => ':',
        '▄' => '-',
        '▅' => '=',
        '▆' => '+',
        '▇' => '*',
        '█' => '#',
        _ => '?',
    }
}

/// Writes text with plain signs.
pub struct Plain<W> {
    to: W,
    /// The begin of a character whose end is not here yet.
    begun: Vec<u8>,
}

impl<W: Write> Plain<W> {
    pub fn new(to: W) -> Self {
        Plain { to, begun: Vec::new() }
    }
}

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            // It is no text: it goes out as it is.
            Err(_) => {
                let begun = std::mem::take(&mut self.begun);
                return self.to.write_all(&begun).map(|()| bytes.len());
            }
        };
        let rest = self.begun.split_off(whole);
        let text = std::mem::replace(&mut self.begun, rest);
        self.to.write_all(plain(&String::from_utf8_lossy(&text)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_tells_whether_more_than_ascii_is_shown() {
        for locale in ["C", "POSIX", "en_US.ISO-8859-1", "C.ASCII"] {
            assert!(!is_unicode(Some(locale), None), "{locale}");
        }
        for locale in ["C.UTF-8", "de_DE.utf8", "en_US.UTF-8@euro", "de_DE"] {
            assert!(is_unicode(Some(locale), Some("xterm")), "{locale}");
        }
        assert!(is_unicode(None, None));
        assert!(!is_unicode(Some("C.UTF-8"), Some("vt100")));
        assert!(!is_unicode(None, Some("dumb")));
    }

    #[test]
    fn a_sign_that_comes_in_two_pieces_is_one() {
        let mut out = Vec::new();
        let mut plain = Plain::new(&mut out);
        for piece in ["a \u{2191} 5 µs \u{e9}".as_bytes(), b"\xe2\x96", b"\x88\n", b"\xff\xe2\x96\x88"] {
            plain.write_all(piece).unwrap();
        }
        assert_eq!(out, b"a ^ 5 us \xc3\xa9#\n\xff\xe2\x96\x88");
    }
}
