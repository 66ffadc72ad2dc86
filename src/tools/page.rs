//! What the pages of audit and load share: their head and style, where and when they were made, and the figures to download.
//! A page needs no network, holds no script, and is well-formed XML, so that any parser can check it.

use crate::text::{escape::markup, moment::Moment};
use std::{env, fmt::Write, time::SystemTime};

/// What comes before the title.
pub const BEGIN: &str = r#"<!DOCTYPE html>
<html lang="en" xmlns="http://www.w3.org/1999/xhtml">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
"#;

/// Colours that hold on paper and in the dark; tables that wrap on a telephone.
pub const STYLE: &str = "<style>
:root { color-scheme: light dark; --ink: #222; --dim: #777; --grid: #ddd; --paper: #fff; --one: #1668b8; --two: #c2410c;
  --three: #7c3aed; --bad: #b91c1c; --good: #15803d; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --dim: #999; --grid: #444; --paper: #181818; --one: #6db3f2;
  --two: #fb923c; --three: #c4b5fd; --bad: #f87171; --good: #4ade80; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 900px;
  margin: 2em auto; padding: 0 1em; overflow-wrap: anywhere; }
h1 { font-size: 1.3em; } h2 { font-size: 1.05em; margin-top: 2em; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 600; } .number { text-align: right; }
th, td { padding: 0.15em 1.2em 0.15em 0; vertical-align: top; } .bad { color: var(--bad); } .dim { color: var(--dim); }
.good { color: var(--good); } .verdict { white-space: nowrap; } a { color: var(--one); }
svg { width: 100%; height: auto; margin: 1em 0; } svg text { fill: var(--ink); font-size: 12px; }
svg .title { font-weight: 600; font-size: 14px; } svg .y { text-anchor: end; } svg .x { text-anchor: middle; }
svg .grid { stroke: var(--grid); } svg .bar { fill: var(--one); } polyline { fill: none; stroke-width: 2; } .tip { fill: transparent; }
.one { stroke: var(--one); } .two { stroke: var(--two); } .three { stroke: var(--three); }
svg line.one, svg line.two, svg line.three { stroke-width: 2; }
@media (max-width: 500px) { svg text { font-size: 18px; } th, td { padding-right: 0.6em; } }
</style>
";

pub const END: &str = "</body>\n</html>\n";

/// Text for a page: without what XML does not allow.
pub fn escape(text: &str) -> String {
    let is_allowed = |c: &char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    markup(&text.chars().filter(is_allowed).collect::<String>())
}

/// When, where and by what a report was made.
pub fn made() -> [(&'static str, String); 4] {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    [
        ("date", Moment(SystemTime::now()).to_string()),
        ("host", host),
        ("version", format!("switchboard {}", env!("SWITCHBOARD_VERSION"))),
        ("command", command_line()),
    ]
}

/// The command as a shell would read it.
fn command_line() -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    let quoted = |word: String| {
        if !word.is_empty() && word.chars().all(is_plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    let words = env::args_os().skip(1).map(|word| quoted(word.to_string_lossy().into_owned()));
    ["switchboard".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

/// The end of a page: how it was made, and the raw figures in a link.
pub fn foot(name: &str, json: &str) -> String {
    let mut foot = "<h2>How this was made</h2>\n<table>\n".to_owned();
    for (key, value) in made() {
        let _ = writeln!(foot, "<tr><th>{key}</th><td>{}</td></tr>", escape(&value));
    }
    let mut data = String::new();
    for byte in json.trim_end().bytes() {
        // What stands for itself in a URL (RFC 3986 §2.3).
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            data.push(char::from(byte));
        } else {
            let _ = write!(data, "%{byte:02X}");
        }
    }
    let link =
        format!("<a download=\"{name}.json\" href=\"data:application/json,{data}\">all figures as JSON</a>");
    foot + "</table>\n<p>" + &link + "</p>\n" + END
}
