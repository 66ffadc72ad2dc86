//! Answers for people: tables, and pages of lines.

use crate::{
    control::{
        client::ControlClient,
        protocol::{EndedSession, GroupServer, ListedSession, Named, ServerStats, Setting, SettingValue},
    },
    text::{
        plain::plain_char,
        safe::SafeText,
        table::{Align, Cell, Colour, Column, Shorten, span, table},
        units::{bytes, duration, rate},
    },
    tools::ctl::{
        page::{self, Line, Tone},
        settings::Ctl,
    },
};
use serde_json::Value;
use std::{
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// The client is what a session is known by: an IPv4 address and a port stay whole.
const CLIENT: Column = Column { name: "CLIENT", align: Align::Left, shorten: Shorten::Middle(21), rank: 0 };

/// How answers look to their reader.
#[derive(Clone, Copy)]
pub struct Reader {
    /// The columns of the terminal, if it is one and tables are to fit it.
    pub columns: Option<usize>,
    coloured: bool,
    plain: bool,
}

impl Reader {
    /// The reader of what `config` asks for, in a terminal of this many columns, if there is one.
    pub fn new(config: &Ctl, terminal: Option<u16>) -> Self {
        let columns = terminal.filter(|_| !config.wide).map(usize::from);
        Reader { columns, coloured: terminal.is_some() && config.colour, plain: config.plain }
    }

    pub(super) fn table(&self, columns: &[Column], rows: &[Vec<Cell>]) -> String {
        self.shown(table(columns, rows, self.columns, self.coloured))
    }

    /// A page of lines, with its tones.
    pub fn page(&self, lines: &[Line]) -> String {
        let mut text = String::new();
        for line in lines {
            let begin = match line.tone {
                _ if !self.coloured => "",
                Tone::Plain => "",
                Tone::Head => "\x1b[1m",
                Tone::Dim => "\x1b[2m",
                Tone::Health(health) => page::colour(health).begin(),
                Tone::Failed => Colour::Red.begin(),
            };
            let end = if begin.is_empty() { "" } else { "\x1b[0m" };
            let _ = writeln!(text, "{begin}{}{end}", line.text.trim_end());
        }
        self.shown(text)
    }

    /// A text as the terminal can show it.
    pub fn shown(&self, text: String) -> String {
        if !self.plain {
            return text;
        }
        text.chars().map(|c| if c == '\x1b' { c } else { plain_char(c) }).collect()
    }

    pub fn list(&self, sessions: &[ListedSession]) -> String {
        // What all have in common tells the least.
        let same = |of: fn(&ListedSession) -> &str| {
            sessions.first().is_none_or(|first| sessions.iter().all(|one| of(one) == of(first)))
        };
        let upstream = |one: &ListedSession| SafeText::or_dash(one.upstream.as_ref()).to_owned();
        let one_upstream = same(|one| SafeText::or_dash(one.upstream.as_ref()));
        let person = self.columns.is_some();
        let mut columns = vec![
            Column::numbers("ID", 0),
            Column::words("MODE", 9),
            Column::addresses("NAME", if same(|one| one.name.as_str()) { 8 } else { 3 }),
            CLIENT,
            Column::addresses("UPSTREAM", if one_upstream { 5 } else { 2 }),
            Column::numbers("AGE", 1),
            Column::numbers("IDLE", 0),
            Column::words("PHASE", 7),
            Column::numbers("↑ CLIENT", 6),
            Column::numbers("↓ UPSTREAM", 6),
        ];
        let rates: &[&str] = if person { &["↑/s", "↓/s"] } else { &["RATES"] };
        columns.extend(rates.iter().map(|name| Column::numbers(name, 0)));
        columns.extend([Column::numbers("WAITING", 1), Column::words("HEALTH", 0)]);
        // A person sees a mark.
        columns.extend((!person).then_some(Column::words("FAULTS", 9)));
        let rates = |one: &ListedSession| -> Vec<Cell> {
            let (client, upstream) = (one.client_rate, one.upstream_rate);
            if person {
                vec![moving(client).into(), moving(upstream).into()]
            } else {
                vec![format!("{} {}", rate(client), rate(upstream)).into()]
            }
        };
        let row = |one: &ListedSession| {
            let mut cells: Vec<Cell> = vec![
                one.session.to_string().into(),
                one.mode.to_string().into(),
                one.name.to_string().into(),
                one.source().to_string().into(),
                upstream(one).into(),
                span(one.age_ms).into(),
                span(one.idle_ms).into(),
                one.phase.to_string().into(),
                bytes(one.client_bytes).into(),
                bytes(one.upstream_bytes).into(),
            ];
            cells.extend(rates(one));
            cells.extend([
                if person { moving(one.waiting()) } else { bytes(one.waiting()) }.into(),
                self.health(one),
            ]);
            let names: Vec<_> = one.faults.iter().map(SafeText::as_str).collect();
            let names = if names.is_empty() { "-".to_owned() } else { names.join(",") };
            cells.extend((!person).then_some(names.into()));
            cells
        };
        self.table(&columns, &sessions.iter().map(row).collect::<Vec<_>>())
    }

    /// The word, for programs; a person gets its sign and colour too.
    fn health(&self, one: &ListedSession) -> Cell {
        match &one.health {
            Named::Known(health) if self.columns.is_some() => {
                Cell { text: page::marked_state(one), colour: Some(page::colour(*health)) }
            }
            other => other.to_string().into(),
        }
    }

    pub fn closed(&self, sessions: &[EndedSession]) -> String {
        let columns = [
            Column::numbers("ID", 0),
            Column {
                name: "ENDED",
                align: if self.columns.is_some() { Align::Right } else { Align::Left },
                ..Column::words("", 0)
            },
            CLIENT,
            Column::addresses("UPSTREAM", 3),
            Column::numbers("↑ CLIENT", 2),
            Column::numbers("↓ UPSTREAM", 2),
            Column::words("CAUSE", 1),
            Column { name: "VERDICT", align: Align::Left, shorten: Shorten::End(30), rank: 0 },
        ];
        let row = |one: &EndedSession| {
            let ago = || SystemTime::now().duration_since(one.ts.0).unwrap_or_default();
            let when = if self.columns.is_some() { relative(ago()) } else { one.ts.to_string() };
            let failed = matches!(one.cause, Named::Known(cause) if cause.is_failure());
            vec![
                one.session.to_string().into(),
                when.into(),
                one.client.to_string().into(),
                SafeText::or_dash(one.upstream.as_ref()).into(),
                bytes(one.client_bytes).into(),
                bytes(one.upstream_bytes).into(),
                Cell { text: one.cause.to_string(), colour: failed.then_some(Colour::Red) },
                one.verdict.to_string().into(),
            ]
        };
        self.table(&columns, &sessions.iter().map(row).collect::<Vec<_>>())
    }

    /// Every server, with its totals if it answers.
    pub fn servers(&self, servers: &[(PathBuf, Option<(&ControlClient, ServerStats)>)]) -> String {
        let columns = [
            Column::words("NAME", 0),
            Column::numbers("PID", 0),
            Column::words("MODE", 1),
            Column::addresses("LISTENERS", 0),
            Column::numbers("UP", 0),
            Column { shorten: Shorten::End(48), ..Column::words("SESSIONS", 0) },
            Column::addresses("SOCKET", 3),
        ];
        let row = |(path, there): &(PathBuf, Option<(&ControlClient, ServerStats)>)| {
            let path = SafeText::from(path.display().to_string().as_str()).to_string();
            let Some((client, stats)) = there else {
                let dash = || Cell::from("-");
                return vec![dash(), dash(), dash(), dash(), dash(), "does not answer".into(), path.into()];
            };
            let greeting = &client.greeting;
            let listeners: Vec<_> = greeting.listeners.iter().map(SafeText::as_str).collect();
            vec![
                greeting.short_name().into(),
                greeting.pid.to_string().into(),
                greeting.mode.to_string().into(),
                listeners.join(", ").into(),
                span(stats.uptime_ms).into(),
                page::numbers(stats).into(),
                path.into(),
            ]
        };
        self.table(&columns, &servers.iter().map(row).collect::<Vec<_>>())
    }

    pub fn group_servers(&self, servers: &[GroupServer]) -> String {
        let columns = [
            Column::words("UPSTREAM", 0),
            Column::addresses("SERVER", 0),
            Column::words("STATE", 0),
            Column::numbers("FOR", 3),
            Column::numbers("WEIGHT", 4),
            Column::numbers("LIVE", 0),
            Column::numbers("SESSIONS", 2),
            Column { shorten: Shorten::End(60), ..Column::words("WHY", 1) },
        ];
        let row = |one: &GroupServer| {
            let weight = format!("{}{}", one.weight, if one.backup { " backup" } else { "" });
            let time = one.for_ms.map_or_else(|| "-".to_owned(), span);
            vec![
                one.upstream.to_string().into(),
                one.server.to_string().into(),
                one.state.to_string().into(),
                time.into(),
                weight.into(),
                one.live.to_string().into(),
                one.sessions.to_string().into(),
                SafeText::or_dash(one.why.as_ref()).into(),
            ]
        };
        self.table(&columns, &servers.iter().map(row).collect::<Vec<_>>())
    }

    pub fn settings(&self, values: &[SettingValue]) -> String {
        let columns = [Column::words("SETTING", 0), Column::words("VALUE", 0), Column::words("FOR", 0)];
        let row = |one: &SettingValue| {
            let (name, value) = (one.setting.to_string(), limit(&one.setting, one.value));
            vec![name.into(), value.into(), holds_for(&one.setting).into()]
        };
        self.table(&columns, &values.iter().map(row).collect::<Vec<_>>())
    }
}

/// A rate or a queue; nothing is a dash, so that what moves stands out.
pub fn moving(amount: u64) -> String {
    if amount == 0 { "-".to_owned() } else { bytes(amount) }
}

/// How long ago something was.
pub fn relative(ago: Duration) -> String {
    if ago < Duration::from_secs(1) { "just now".to_owned() } else { format!("{} ago", duration(whole(ago))) }
}

fn whole(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}

/// What a changed setting says.
pub fn changed(setting: &Named<Setting>, before: Option<Option<u64>>, after: Option<u64>) -> String {
    let (now, holds) = (limit(setting, after), holds_for(setting));
    match before {
        Some(before) if before == after => format!("{setting}: {now}, as before\n"),
        Some(before) => format!("{setting}: {} -> {now}, for {holds}\n", limit(setting, before)),
        None => format!("{setting}: {now}, for {holds}\n"),
    }
}

fn holds_for(setting: &Named<Setting>) -> &'static str {
    match setting {
        Named::Known(Setting::DrainTimeout) => "the next drain",
        _ => "new sessions",
    }
}

/// A value as the command line has it.
fn limit(setting: &Named<Setting>, value: Option<u64>) -> String {
    match (setting, value) {
        (_, None) => "off".to_owned(),
        (Named::Known(Setting::MaxSessions), Some(count)) => count.to_string(),
        (_, Some(ms)) => humantime::format_duration(Duration::from_millis(ms)).to_string().replace(' ', ""),
    }
}

/// What an item tells beside `known`: the keys that only a newer server knows, one a line, under its name. Facts of facts
/// stand further to the right.
pub fn other_facts(item: &Value, known: &Value, indent: &str) -> String {
    let mut lines = String::new();
    for (name, value) in item.as_object().into_iter().flatten() {
        if known.get(name).is_some() {
            continue;
        }
        let label = SafeText::from(name.replace('_', " ").as_str());
        let _ = match value {
            Value::Object(_) => write!(lines, "{indent}{label}\n{}", other_facts(value, &Value::Null, "  ")),
            _ => writeln!(lines, "{indent}{label:width$}  {}", text_of(value), width = 24 - indent.len()),
        };
    }
    lines
}

/// A value without quotes.
fn text_of(value: &Value) -> SafeText {
    match value {
        Value::Null => SafeText::default(),
        Value::String(text) => text.as_str().into(),
        other => other.to_string().as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::columns::width;
    use serde_json::{from_value, json};

    fn reader(columns: Option<usize>) -> Reader {
        Reader { columns, coloured: false, plain: false }
    }

    fn session(number: u64) -> ListedSession {
        from_value(json!({"session": number, "mode": "proxy", "name": "127.0.0.1:8002",
            "client": format!("192.168.100.200:{}", 10_000 + number), "upstream": format!("142.250.69.19{number}:80"),
            "phase": "client-closed", "age_ms": 5_120, "idle_ms": 61_000, "client_bytes": 1_048_063,
            "upstream_bytes": 19_663, "client_rate": 1_048_063, "upstream_rate": 1_048_063, "client_waiting": 512,
            "health": "half-closed"}))
        .unwrap()
    }

    #[test]
    fn every_table_fits_80_columns_and_wide_shows_all() {
        let sessions: Vec<_> = (1..4).map(session).collect();
        let ended: EndedSession = from_value(json!({"session": 7, "client": "192.168.100.200:65535", "mode": "proxy",
            "upstream": "142.250.69.196:80", "cause": "half_close_timeout", "verdict":
            "upstream did not finish in time after the client's FIN; at least 812 bytes from the client were not delivered"}))
        .unwrap();
        for table in [reader(Some(80)).list(&sessions), reader(Some(80)).closed(std::slice::from_ref(&ended))]
        {
            assert!(table.lines().all(|line| width(line) <= 80), "{table}");
        }
        let narrow = reader(Some(80)).list(&sessions);
        assert!(narrow.contains("◐ half-closed") && !narrow.contains("MODE"), "{narrow}");
        let wide = reader(None).list(&sessions);
        assert!(
            wide.starts_with("ID  MODE   NAME ") && wide.trim_end().ends_with("  half-closed  -"),
            "{wide}"
        );
        assert!(reader(None).closed(&[ended]).contains("were not delivered"));
    }

    #[test]
    fn a_changed_setting_is_told_as_the_command_line_has_it() {
        let idle = Named::Known(Setting::IdleTimeout);
        let text = changed(&idle, Some(Some(3_600_000)), Some(600_000));
        assert_eq!(text, "idle-timeout: 1h -> 10m, for new sessions\n");
        assert_eq!(
            changed(&idle, Some(None), Some(90_000)),
            "idle-timeout: off -> 1m30s, for new sessions\n"
        );
        assert_eq!(changed(&idle, Some(None), None), "idle-timeout: off, as before\n");
        let sessions = Named::Known(Setting::MaxSessions);
        assert_eq!(changed(&sessions, Some(Some(9)), Some(12)), "max-sessions: 9 -> 12, for new sessions\n");
    }

    #[test]
    fn a_plain_terminal_gets_plain_characters() {
        let reader = Reader { plain: true, ..reader(Some(80)) };
        let table = reader.list(&[session(1)]);
        assert!(table.is_ascii() && table.contains("/ half-closed"), "{table}");
    }
}
