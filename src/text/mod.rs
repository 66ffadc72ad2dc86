//! One way each to print a thing: what peers sent, hexadecimal digits, moments, amounts, tables.

pub mod columns;
pub mod escape;
pub mod hex;
pub mod moment;
pub mod safe;
pub mod table;
pub mod units;

/// Whether the user's environment lets programs write in colour: `NO_COLOR` is not set, or empty (no-color.org).
pub fn takes_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether the user's terminal shows plain characters and 8 colours only: its locale is not UTF-8 (`LC_ALL=C`), or it is
/// one of the old ones (`TERM=vt100`). Where no locale is set, as in a container, the terminal outside speaks UTF-8.
pub fn plain() -> bool {
    let value = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    // In the order in which they count (POSIX, XBD 8.2).
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
    locale.is_some_and(|locale| !is_utf8(&locale)) || value("TERM").is_some_and(|name| is_old(&name))
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

/// Whether a locale's characters are UTF-8; one that names no characters is taken to be, unless it is POSIX's own.
fn is_utf8(locale: &str) -> bool {
    let named = locale.split('@').next().and_then(|locale| locale.split_once('.'));
    match named {
        Some((_, characters)) => ["utf-8", "utf8"].iter().any(|utf8| characters.eq_ignore_ascii_case(utf8)),
        None => !matches!(locale, "C" | "POSIX"),
    }
}

/// Whether a terminal of this name was made before UTF-8.
fn is_old(terminal: &str) -> bool {
    terminal.starts_with("vt") || matches!(terminal, "ansi" | "dumb")
}

#[cfg(test)]
mod tests {
    use super::{is_old, is_utf8};

    #[test]
    fn a_locale_and_a_terminal_say_what_characters_they_show() {
        for locale in ["C.UTF-8", "en_GB.utf8", "de_DE.UTF-8@euro", "en_US"] {
            assert!(is_utf8(locale), "{locale}");
        }
        for locale in ["C", "POSIX", "de_DE.ISO-8859-1", "de_DE.ISO-8859-15@euro"] {
            assert!(!is_utf8(locale), "{locale}");
        }
        assert!(is_old("vt100") && is_old("vt220") && !is_old("xterm-256color") && !is_old("linux"));
    }
}
