//! The sessions that ended, each with its verdict, and the causes by which they did.

use crate::{
    control::protocol::{EndedSession, Named},
    session::cause::Cause,
    text::{
        columns::{cut, fit, width},
        safe::SafeText,
        units,
    },
    tools::{
        ctl::report::relative,
        top::{
            keyboard::Key,
            paint::{Paint, put},
            table::moved,
        },
    },
};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::time::SystemTime;

/// Of each server; some screens full.
pub const LAST: usize = 200;

/// A session that ended, and the number of its server.
pub type Gone = (usize, EndedSession);

/// The newest first.
#[derive(Default)]
pub struct EndedList {
    pub all: Vec<Gone>,
    /// Only those with this text.
    pub matching: String,
    pub cursor: usize,
    pub room: usize,
    first: usize,
}

impl EndedList {
    /// Those that are shown.
    pub fn shown(&self) -> Vec<&Gone> {
        let text = self.matching.as_str();
        let is_meant = |one: &EndedSession| {
            let upstream = SafeText::or_dash(one.upstream.as_ref());
            let texts = [one.client.as_str(), upstream, one.verdict.as_str()];
            text.is_empty()
                || texts.iter().any(|shown| shown.contains(text))
                || one.cause.to_string().contains(text)
                || one.session.to_string() == text
        };
        self.all.iter().filter(|(_, one)| is_meant(one)).collect()
    }

    pub fn chosen(&self) -> Option<&Gone> {
        self.shown().get(self.cursor).copied()
    }

    /// Takes what ended of all servers; the cursor stays on its session, unless it is at the top.
    pub fn take(&mut self, all: Vec<Gone>) {
        let chosen = self.chosen().filter(|_| self.cursor > 0).map(|(server, one)| (*server, one.session));
        self.all = all;
        self.all.sort_by_key(|(_, one)| std::cmp::Reverse(one.ts.0));
        let shown = self.shown();
        let place = chosen.and_then(|chosen| shown.iter().position(|(of, one)| (*of, one.session) == chosen));
        let last = shown.len().saturating_sub(1);
        self.cursor = place.unwrap_or(self.cursor.min(last));
        self.follow_cursor();
    }

    pub fn filter(&mut self, text: &str) {
        self.matching = text.to_owned();
        (self.cursor, self.first) = (0, 0);
    }

    /// Moves the cursor if the key does that.
    pub fn move_by(&mut self, key: Key) -> bool {
        let last = self.shown().len().saturating_sub(1);
        let place = moved(key, self.cursor, last, self.room);
        self.cursor = place.unwrap_or(self.cursor);
        self.follow_cursor();
        place.is_some()
    }

    /// Goes to the row of this number on the screen; says whether that is the chosen one already.
    pub fn click(&mut self, row: usize) -> Option<bool> {
        let place = self.first + row;
        if place >= self.shown().len() {
            return None;
        }
        let again = self.cursor == place;
        self.cursor = place;
        Some(again)
    }

    pub fn resize(&mut self, room: usize) {
        self.room = room.max(1);
        self.follow_cursor();
    }

    fn follow_cursor(&mut self) {
        let least = (self.cursor + 1).saturating_sub(self.room);
        self.first = self.first.clamp(least.min(self.cursor), self.cursor);
    }

    pub fn draw(&self, servers: Option<&[String]>, paint: Paint, part: Rect, buffer: &mut Buffer) {
        const AGO: usize = 9;
        const ADDRESS_MAX: usize = 21;
        const SERVER: usize = 8;
        let shown = self.shown();
        let id = shown.iter().map(|(_, one)| one.session.to_string().len()).max().unwrap_or(0).max(3);
        let cause = shown.iter().map(|(_, one)| one.cause.to_string().len()).max().unwrap_or(0).max(5);
        let address = shown.iter().map(|(_, one)| width(one.client.as_str())).max().unwrap_or(0);
        let address = address.clamp(6, ADDRESS_MAX);
        let line = |id_text: &str, server: &str, ago: &str, client: &str, cause_text: &str, verdict: &str| {
            let server =
                if servers.is_some() { format!("{:SERVER$} ", fit(server, SERVER)) } else { String::new() };
            let client = fit(client, address);
            let space = " ".repeat(address - width(&client));
            format!("{id_text:>id$} {server}{ago:>AGO$} {client}{space} {cause_text:cause$} {verdict}")
        };
        let at = |row: u16| Rect { y: part.y + row, height: 1, ..part };
        let columns = usize::from(part.width);
        if part.height > 0 {
            put(buffer, at(0), &line("ID", "SERVER", "ENDED", "CLIENT", "CAUSE", "VERDICT"), paint.head());
        }
        let rows = (1..part.height).zip(shown.iter().enumerate().skip(self.first));
        for (row, (place, (server, one))) in rows {
            let name = servers.and_then(|names| names.get(*server)).map_or("", String::as_str);
            let ago = relative(SystemTime::now().duration_since(one.ts.0).unwrap_or_default());
            let text = line(
                &one.session.to_string(),
                name,
                &ago,
                one.client.as_str(),
                &one.cause.to_string(),
                one.verdict.as_str(),
            );
            let style = match (&one.cause, place == self.cursor) {
                (_, true) => paint.chosen(),
                (Named::Known(cause), false) if cause.is_failure() => paint.alert(),
                _ => Style::new(),
            };
            buffer.set_style(at(row), if place == self.cursor { paint.chosen() } else { Style::new() });
            put(buffer, at(row), &cut(&text, columns), style);
        }
    }

    pub fn status(&self) -> String {
        let shown = self.shown().len();
        let filter = if self.matching.is_empty() {
            String::new()
        } else {
            format!(", with '{}' (esc: all)", SafeText::from(self.matching.as_str()))
        };
        match shown {
            0 => format!("none{filter}"),
            _ => format!("{} of the last {shown}, newest first{filter}", self.cursor + 1),
        }
    }
}

/// The causes, as a chart that lies on its side.
#[derive(Default)]
pub struct CauseList {
    pub rows: Vec<(SafeText, u64, f64)>,
    pub cursor: usize,
}

impl CauseList {
    pub fn take(&mut self, rows: Vec<(SafeText, u64, f64)>) {
        let chosen = self.chosen().cloned();
        self.rows = rows;
        let place = chosen.and_then(|chosen| self.rows.iter().position(|(cause, ..)| *cause == chosen));
        self.cursor = place.unwrap_or(self.cursor.min(self.rows.len().saturating_sub(1)));
    }

    pub fn chosen(&self) -> Option<&SafeText> {
        self.rows.get(self.cursor).map(|(cause, ..)| cause)
    }

    pub fn move_by(&mut self, key: Key) -> bool {
        let place = moved(key, self.cursor, self.rows.len().saturating_sub(1), self.rows.len());
        self.cursor = place.unwrap_or(self.cursor);
        place.is_some()
    }

    pub fn draw(&self, paint: Paint, part: Rect, buffer: &mut Buffer) {
        let at = |row: u16| Rect { y: part.y + row, height: 1, ..part };
        if part.height > 0 {
            put(buffer, at(0), &format!("{:20} {:>9} {:>7}", "CAUSE", "ENDED", "SHARE"), paint.head());
        }
        let room = usize::from(part.width).saturating_sub(40);
        for (row, (place, (cause, count, share))) in (1..part.height).zip(self.rows.iter().enumerate()) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a width")]
            let bar = ((share / 100.0 * room as f64).ceil() as usize).min(room);
            let text = format!(
                "{:20} {:>9} {share:>5.1} % {}",
                cause.as_str(),
                units::count(*count),
                "█".repeat(bar)
            );
            let failed = matches!(Named::of(cause.as_str()), Named::Known(known) if Cause::is_failure(known));
            let style = match place == self.cursor {
                true => paint.chosen(),
                false if failed => paint.alert(),
                false => Style::new(),
            };
            put(buffer, at(row), &text, style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    fn gone(session: u64, second: u64, cause: &str) -> Gone {
        let ts = format!("2026-11-21T20:26:{second:02}.000000Z");
        let one =
            json!({"session": session, "ts": ts, "cause": cause, "client": format!("127.0.0.1:{session}")});
        (0, from_value(one).unwrap())
    }

    fn numbers(list: &EndedList) -> Vec<u64> {
        list.shown().iter().map(|(_, one)| one.session).collect()
    }

    #[test]
    fn the_newest_comes_first_and_the_cursor_goes_with_its_session() {
        let mut list = EndedList::default();
        list.resize(2);
        list.take(vec![gone(1, 1, "done"), gone(2, 3, "cut"), gone(3, 2, "client_reset")]);
        assert_eq!(numbers(&list), [2, 3, 1]);
        list.move_by(Key::Down);
        list.take(vec![gone(3, 2, "client_reset"), gone(2, 3, "cut"), gone(4, 9, "done")]);
        assert_eq!((list.cursor, list.chosen().unwrap().1.session), (2, 3));
        list.filter("cut");
        assert_eq!(
            (numbers(&list), list.status().as_str()),
            (vec![2], "1 of the last 1, newest first, with 'cut' (esc: all)")
        );
        list.filter("nothing");
        assert!(list.chosen().is_none() && list.click(0).is_none());
    }
}
