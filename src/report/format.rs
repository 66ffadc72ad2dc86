//! The formats of event lines, and the one way to print an event in them.

use crate::{
    report::{json, text},
    session::event::{Event, What},
    text::plain::plain,
};

/// How events are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    pub log: Log,
    /// With [`Dump::Off`] a data event has no line.
    pub dump: Dump,
    /// JSON is never coloured.
    pub colour: bool,
    /// Only ASCII in the words of text lines; what peers sent stays.
    pub ascii: bool,
}

impl Format {
    /// Appends complete lines to `out`, or nothing.
    pub fn line(&self, event: &Event, out: &mut String) {
        match self.log {
            Log::Text if self.ascii && !matches!(event.what, What::Data { .. }) => {
                let begin = out.len();
                text::text(event, self.dump, self.colour, out);
                let line = plain(&out.split_off(begin));
                out.push_str(&line);
            }
            Log::Text => text::text(event, self.dump, self.colour, out),
            Log::Json => json::json(event, self.dump, out),
            Log::Off => {}
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    Off,
}

/// The format of payload in the event lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dump {
    #[default]
    Off,
    Text,
    /// As `xxd` shows it.
    Hex,
}

/// Enough for a request's head; longer payload is cut, with a note.
pub const DUMP_LIMIT_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    //! The same events in every format, and what no peer can put into a line.

    use super::*;
    use crate::{
        net::address::Address,
        session::{
            cause::Cause,
            event::{Close, Mode, Side},
        },
        text::escape::Escaped,
    };
    use proptest::prelude::*;
    use std::{
        ffi::OsStr,
        os::unix::ffi::OsStrExt,
        path::Path,
        time::{Duration, SystemTime},
    };

    const TEXT: Format = Format { log: Log::Text, dump: Dump::Text, colour: false, ascii: false };
    const OFF: Format = Format { log: Log::Off, ..TEXT };
    const HEX: Format = Format { dump: Dump::Hex, ..TEXT };
    const JSON: Format = Format { log: Log::Json, ..TEXT };
    const JSON_HEX: Format = Format { log: Log::Json, ..HEX };

    fn at() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_292_781_123_456)
    }

    fn show(format: Format, what: What) -> String {
        let mut out = String::new();
        format.line(&Event { at: at(), what }, &mut out);
        out
    }

    fn tcp(address: &str) -> Address {
        Address::Tcp(address.parse().unwrap())
    }

    fn unix(path: &[u8]) -> Address {
        Address::Unix(Path::new(OsStr::from_bytes(path)).into())
    }

    fn milliseconds(milliseconds: f64) -> Duration {
        Duration::from_secs_f64(milliseconds / 1_000.0)
    }

    fn open() -> What {
        let (listener, client) = (tcp("127.0.0.1:8002"), tcp("[::ffff:127.0.0.1]:53212"));
        What::Open { session: 42, mode: Mode::Proxy, listener, client, name: None, source: None }
    }

    fn connect(resolve: Option<Duration>) -> What {
        let (upstream, upstream_name) = (tcp("142.250.69.196:80"), "www.google.com:80".into());
        let (connect, choice) = (milliseconds(11.0), None);
        What::Connect { session: 42, upstream, upstream_name, resolve, connect, choice, introduced: None }
    }

    fn data(from: Side, offset: u64, shown: &[u8], cut: usize) -> What {
        What::Data { session: 42, from, offset, bytes: shown.len() + cut, shown: shown.into() }
    }

    fn done() -> Close {
        Close {
            session: 42,
            mode: Mode::Proxy,
            client: tcp("127.0.0.1:53212"),
            upstream: Some(tcp("142.250.69.196:80")),
            cause: Cause::Done,
            first_closer: Some(Side::Upstream),
            client_bytes: 78,
            upstream_bytes: 19_663,
            duration: milliseconds(177.2),
            resolve: Some(milliseconds(3.1)),
            connect: Some(milliseconds(11.0)),
            first_byte: Some(milliseconds(80.4)),
            error: None,
            fault: None,
            choice: None,
            introduced: None,
        }
    }

    fn failed(client: Address, error: &str) -> Close {
        let (upstream, first_closer, connect, first_byte) = (None, None, None, None);
        let (cause, duration, error) = (Cause::ConnectRefused, milliseconds(0.25), Some(error.into()));
        Close { client, upstream, first_closer, connect, first_byte, cause, duration, error, ..done() }
    }

    #[test]
    fn text_says_what_happened() {
        assert_eq!(show(TEXT, open()), "20:26:21.123 #42 open proxy 127.0.0.1:53212 -> 127.0.0.1:8002\n");
        let connected = "20:26:21.123 #42 connect www.google.com:80 at 142.250.69.196:80 in 11 ms";
        assert_eq!(show(TEXT, connect(None)), format!("{connected}\n"));
        let resolved = format!("{connected} (resolved in 3.1 ms)\n");
        assert_eq!(show(TEXT, connect(Some(milliseconds(3.1)))), resolved);
        assert_eq!(
            show(TEXT, What::Close(done().into())),
            "20:26:21.123 #42 close done, upstream first: 127.0.0.1:53212 -> 142.250.69.196:80, 78 B from client, \
             19663 B from upstream in 177 ms (first byte after 80.4 ms)\n"
        );
        assert_eq!(
            show(TEXT, What::Close(failed(unix(b""), "connection\nrefused").into())),
            "20:26:21.123 #42 close connect_refused: unix:, 78 B from client, 19663 B from upstream in 250 µs: \
             connection\\nrefused\n"
        );
        let echo = Close { mode: Mode::Echo, upstream: None, duration: Duration::from_secs(3600), ..done() };
        assert_eq!(
            show(TEXT, What::Close(Close { first_byte: None, ..echo }.into())),
            "20:26:21.123 #42 close done, upstream first: 127.0.0.1:53212, 78 B from client, \
             19663 B sent back in 1h00m\n"
        );
    }

    #[test]
    fn json_says_what_happened() {
        let head = r#"{"ts":"2026-11-21T20:26:21.123456Z","event":"#;
        let is = |what, rest: &str| assert_eq!(show(JSON, what), format!("{head}{rest}\n"));
        let opened =
            r#""open","session":42,"mode":"proxy","listener":"127.0.0.1:8002","client":"127.0.0.1:53212"}"#;
        is(open(), opened);
        let connected =
            r#""connect","session":42,"upstream":"142.250.69.196:80","upstream_name":"www.google.com:80","#;
        is(connect(None), &format!(r#"{connected}"resolve_ms":null,"connect_ms":11.0}}"#));
        let resolved = connect(Some(Duration::from_nanos(3_100_499)));
        is(resolved, &format!(r#"{connected}"resolve_ms":3.1,"connect_ms":11.0}}"#));
        is(
            What::Close(done().into()),
            concat!(
                r#""close","session":42,"mode":"proxy","client":"127.0.0.1:53212","upstream":"142.250.69.196:80","#,
                r#""cause":"done","first_closer":"upstream","client_bytes":78,"upstream_bytes":19663,"#,
                r#""duration_ms":177.2,"resolve_ms":3.1,"connect_ms":11.0,"first_byte_ms":80.4,"error":null}"#
            ),
        );
        is(
            What::Close(failed(unix(b"/a\n\xff"), "no\u{202e}").into()),
            concat!(
                r#""close","session":42,"mode":"proxy","client":"unix:/a\\n\\xff","upstream":null,"#,
                r#""cause":"connect_refused","first_closer":null,"client_bytes":78,"upstream_bytes":19663,"#,
                r#""duration_ms":0.25,"resolve_ms":3.1,"connect_ms":null,"first_byte_ms":null,"error":"no\\u{202e}"}"#
            ),
        );
    }

    #[test]
    fn payload_is_shown_as_asked() {
        let request = |format| show(format, data(Side::Client, 0, b"GET / HTTP/1.1\r\n\r\n", 0));
        let reply = |format| show(format, data(Side::Upstream, 4096, b"\x1b[2J\"\xff", 5));
        let line = "20:26:21.123 #42 client > offset 0, 18 B: GET / HTTP/1.1\\r\\n\\r\\n\n";
        assert_eq!(request(TEXT), line);
        let line = "20:26:21.123 #42 upstream < offset 4096, 11 B: \\x1b[2J\"\\xff... (5 more bytes)\n";
        assert_eq!(reply(TEXT), line);
        let lines = "20:26:21.123 #42 client > offset 0, 18 B\n\
             #42 client > 00000000: 4745 5420 2f20 4854 5450 2f31 2e31 0d0a  GET / HTTP/1.1..\n\
             #42 client > 00000010: 0d0a                                     ..\n";
        assert_eq!(request(HEX), lines);
        let lines = "20:26:21.123 #42 upstream < offset 4096, 11 B\n\
             #42 upstream < 00001000: 1b5b 324a 22ff                           .[2J\".\n\
             #42 upstream < ... (5 more bytes)\n";
        assert_eq!(reply(HEX), lines);
        let head = r#"{"ts":"2026-11-21T20:26:21.123456Z","event":"data","session":42,"from":"#;
        let rest = r#""client","offset":0,"bytes":18,"text":"GET / HTTP/1.1\\r\\n\\r\\n"}"#;
        assert_eq!(request(JSON), format!("{head}{rest}\n"));
        let rest = r#""upstream","offset":4096,"bytes":11,"hex":"1b5b324a22ff","cut":5}"#;
        assert_eq!(reply(JSON_HEX), format!("{head}{rest}\n"));
    }

    #[test]
    fn dropped_lines_are_counted() {
        let shown = |format, lines| show(format, What::Dropped { lines });
        assert_eq!(shown(TEXT, 1), "20:26:21.123 dropped 1 line\n");
        assert_eq!(shown(TEXT, 17), "20:26:21.123 dropped 17 lines\n");
        let line = r#"{"ts":"2026-11-21T20:26:21.123456Z","event":"dropped","lines":17}"#;
        assert_eq!(shown(JSON, 17), format!("{line}\n"));
        assert_eq!(shown(OFF, 17), "");
    }

    #[test]
    fn what_was_not_asked_for_is_not_shown() {
        assert_eq!(show(OFF, What::Close(done().into())), "");
        for format in [TEXT, JSON] {
            assert_eq!(show(Format { dump: Dump::Off, ..format }, data(Side::Client, 0, b"secret", 0)), "");
        }
    }

    /// Bytes with many controls and half characters.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let control =
            prop::sample::select(vec!["\r\n", "\x1b[2J", "\u{9b}", "\u{202e}", "\u{2028}", "\"}", "\\"]);
        let control = control.prop_map(|text| text.as_bytes().to_vec());
        let text = any::<String>().prop_map(String::into_bytes);
        prop::collection::vec(prop_oneof![control, text, any::<Vec<u8>>()], 0..6).prop_map(|all| all.concat())
    }

    /// Events with a peer's bytes in every place that a peer can fill.
    fn events(bytes: &[u8]) -> [What; 4] {
        let name = String::from_utf8_lossy(bytes);
        let (listener, client, upstream) = (tcp("[::1]:8002"), unix(bytes), unix(bytes));
        let connect = Duration::from_millis(1);
        [
            What::Open {
                session: 1,
                mode: Mode::Origin,
                listener,
                client,
                name: Some((&*name).into()),
                source: None,
            },
            What::Connect {
                session: 1,
                upstream,
                upstream_name: (&*name).into(),
                resolve: None,
                connect,
                choice: None,
                introduced: None,
            },
            data(Side::Client, u64::MAX, bytes, 1),
            What::Close(failed(unix(bytes), &name).into()),
        ]
    }

    fn is_safe(c: char) -> bool {
        let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2066}'..='\u{2069}');
        !(c.is_control() || reorders || ('\u{2028}'..='\u{202e}').contains(&c))
    }

    proptest! {
        #[test]
        fn no_peer_can_end_a_line_or_control_a_terminal(bytes in hostile()) {
            for format in [TEXT, HEX, JSON, JSON_HEX] {
                for what in events(&bytes) {
                    let lines_allowed = format == HEX && matches!(what, What::Data { .. });
                    let out = show(format, what);
                    let line = out.strip_suffix('\n').unwrap();
                    prop_assert!(line.chars().all(|c| is_safe(c) || (lines_allowed && c == '\n')), "{line:?}");
                }
            }
        }

        #[test]
        fn json_parses_back(bytes in hostile()) {
            let lines = events(&bytes).map(|what| show(JSON, what));
            let values = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap());
            let escaped = Escaped(&bytes).to_string();
            prop_assert_eq!(&values[0]["client"], &format!("unix:{escaped}"));
            prop_assert_eq!(&values[2]["text"], &escaped);
            prop_assert_eq!(&values[3]["error"], &Escaped(String::from_utf8_lossy(&bytes).as_bytes()).to_string());
        }

        #[test]
        fn colour_changes_nothing_else(bytes in hostile()) {
            for format in [TEXT, HEX] {
                for what in events(&bytes).into_iter().chain([What::Close(done().into())]) {
                    let plain = show(format, what.clone());
                    let mut coloured = show(Format { colour: true, ..format }, what);
                    prop_assert!(coloured.starts_with("\x1b[2m20:26:21.123\x1b[0m #"));
                    for code in ["\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[0m"] {
                        coloured = coloured.replace(code, "");
                    }
                    prop_assert_eq!(coloured, plain);
                }
            }
        }
    }
}
