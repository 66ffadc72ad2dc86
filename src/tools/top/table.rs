//! The table of sessions: the page of it that is asked for and chosen from, and as many columns as the screen has room for.

use crate::{
    control::protocol::{Choice, ListedSession, Sort},
    net::network::Network,
    text::{columns::fit, safe::SafeText, table::span, units::bytes},
    tools::top::{
        keyboard::Key,
        paint::{Paint, put},
    },
};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};

/// Longer than anything to be found; far shorter than a line to the server may be.
const MATCHING_CHARS_MAX: usize = 100;

pub struct Page {
    pub choice: Choice,
    pub rows: Vec<ListedSession>,
    /// What that was asked for with: while it is another page than the wanted one, nothing on it is chosen.
    shown: Choice,
    pub matching: usize,
    /// The place of the chosen session among those that match.
    pub cursor: usize,
    /// Rows that the screen has room for.
    pub room: usize,
    pub held: bool,
}

impl Page {
    pub fn new(sort: Sort, from: Option<Network>) -> Self {
        let choice = Choice { sort, from, ..Choice::default() };
        Page { shown: choice.clone(), choice, rows: Vec::new(), matching: 0, cursor: 0, room: 1, held: false }
    }

    /// The place of the first row among the sessions that match.
    pub fn first(&self) -> usize {
        self.shown.skip
    }

    /// The chosen session; none if there is none, or its page has not come yet.
    pub fn chosen(&self) -> Option<&ListedSession> {
        let limit = self.shown.limit;
        let is_current = Choice { limit, ..self.choice.clone() } == self.shown;
        self.rows.get(self.cursor.checked_sub(self.first())?).filter(|_| is_current)
    }

    /// The page that is to be asked for.
    pub fn wanted(&self) -> Choice {
        Choice { limit: Some(self.room), ..self.choice.clone() }
    }

    /// The screen has room for `room` rows now.
    pub fn resize(&mut self, room: usize) {
        self.room = room.max(1);
        self.follow_cursor();
    }

    /// Moves the cursor if the key does that; says whether to ask for another page.
    pub fn move_by(&mut self, key: Key) -> Option<bool> {
        let last = self.matching.saturating_sub(1);
        let cursor = match key {
            Key::Up | Key::Char('k') => self.cursor.saturating_sub(1),
            Key::Down | Key::Char('j') => self.cursor + 1,
            Key::PageUp => self.cursor.saturating_sub(self.room),
            Key::PageDown => self.cursor + self.room,
            Key::Home | Key::Char('g') => 0,
            Key::End | Key::Char('G') => last,
            _ => return None,
        };
        self.cursor = cursor.min(last);
        let skip = self.choice.skip;
        self.follow_cursor();
        let another = self.choice.skip != skip;
        // What is held is one page.
        self.held &= !another;
        Some(another)
    }

    pub fn sort_by_next(&mut self) {
        self.choice.sort = match self.choice.sort {
            Sort::Rate => Sort::Bytes,
            Sort::Bytes => Sort::Idle,
            Sort::Idle => Sort::Age,
            _ => Sort::Rate,
        };
        self.begin_again();
    }

    pub fn reverse(&mut self) {
        self.choice.reverse = !self.choice.reverse;
        self.begin_again();
    }

    pub fn filter(&mut self, text: &str) {
        self.choice.matching = text.chars().take(MATCHING_CHARS_MAX).collect();
        self.begin_again();
    }

    /// Another order or choice begins at its begin.
    fn begin_again(&mut self) {
        (self.cursor, self.choice.skip, self.held) = (0, 0, false);
    }

    /// Scrolls as little as shows the chosen session.
    fn follow_cursor(&mut self) {
        let first = (self.cursor + 1).saturating_sub(self.room);
        self.choice.skip = self.choice.skip.clamp(first, self.cursor);
    }

    /// Takes a page that was wanted; says whether to ask for another because there are fewer sessions than before.
    pub fn take(&mut self, choice: Choice, rows: Vec<ListedSession>, matching: usize) -> bool {
        let session = self.chosen().map(|row| row.session);
        (self.shown, self.rows, self.matching) = (choice, rows, matching);
        // The cursor stays on its session while that is on the page.
        let place = session.and_then(|session| self.rows.iter().position(|row| row.session == session));
        self.cursor = place.map_or(self.cursor, |place| self.first() + place);
        self.cursor = self.cursor.min(matching.saturating_sub(1));
        let skip = self.choice.skip;
        self.choice.skip = skip.min(matching.saturating_sub(self.room));
        self.follow_cursor();
        self.choice.skip != skip
    }
}

pub const HEAD_ROWS: u16 = 1;
const GAP: u16 = 1;
/// An address with brackets, an IPv6 address and a port fits in this; wider is no use.
const ADDRESS_COLUMNS_MAX: u16 = 47;
/// An IPv4 address and a port.
const ADDRESS_COLUMNS: u16 = 21;
/// The ends of one.
const ADDRESS_COLUMNS_MIN: u16 = 12;

/// What a column shows, from left to right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Id,
    Client,
    Upstream,
    Age,
    Idle,
    ClientRate,
    UpstreamRate,
    ClientBytes,
    UpstreamBytes,
    Phase,
    Waiting,
}

/// Bytes a second, of both directions.
const RATES: [Column; 2] = [Column::ClientRate, Column::UpstreamRate];
/// All bytes, of both directions.
const SUMS: [Column; 2] = [Column::ClientBytes, Column::UpstreamBytes];

impl Column {
    /// Its name, its width if that is fixed, and what it shows of a session.
    fn about(self) -> (&'static str, Option<u16>, fn(&ListedSession) -> String) {
        match self {
            Column::Id => ("ID", Some(7), |row| row.session.to_string()),
            Column::Client => ("CLIENT", None, |row| row.client.to_string()),
            // Before there is an address, the phase says why.
            Column::Upstream => ("UPSTREAM", None, |row| {
                row.upstream.as_ref().map_or(format!("({})", row.phase), SafeText::to_string)
            }),
            Column::Age => ("AGE", Some(6), |row| span(row.age_ms)),
            Column::Idle => ("IDLE", Some(6), |row| span(row.idle_ms)),
            Column::ClientRate => ("↑ CLIENT/s", Some(11), |row| moving(row.client_rate)),
            Column::UpstreamRate => ("↓ UPSTREAM/s", Some(13), |row| moving(row.upstream_rate)),
            Column::ClientBytes => ("↑ CLIENT", Some(10), |row| bytes(row.client_bytes)),
            Column::UpstreamBytes => ("↓ UPSTREAM", Some(11), |row| bytes(row.upstream_bytes)),
            Column::Phase => ("PHASE", Some(15), |row| row.phase.to_string()),
            Column::Waiting => {
                ("WAITING", Some(10), |row| moving(row.client_waiting.saturating_add(row.upstream_waiting)))
            }
        }
    }

    fn is_left(self) -> bool {
        matches!(self, Column::Client | Column::Upstream | Column::Phase)
    }
}

/// A rate or a queue; nothing is a dash, so that what moves stands out.
fn moving(amount: u64) -> String {
    if amount == 0 { "-".to_owned() } else { bytes(amount) }
}

/// The columns of a table of this width, each with its own.
fn columns(width: u16, sort: Sort, has_upstream: bool) -> Vec<(Column, u16)> {
    // A narrow screen shows the numbers that it is sorted by.
    let (first, second) = if sort == Sort::Bytes { (SUMS, RATES) } else { (RATES, SUMS) };
    let upstream: &[Column] = if has_upstream { &[Column::Upstream] } else { &[] };
    let wishes: [(&[Column], u16); 7] = [
        (&first, ADDRESS_COLUMNS_MIN),
        (upstream, ADDRESS_COLUMNS_MIN),
        (&[Column::Age], ADDRESS_COLUMNS_MIN),
        (&[Column::Idle], ADDRESS_COLUMNS_MIN),
        (&[Column::Phase], ADDRESS_COLUMNS),
        (&second, ADDRESS_COLUMNS),
        (&[Column::Waiting], ADDRESS_COLUMNS),
    ];
    let taken = |columns: &[Column], address: u16| {
        columns.iter().map(|column| column.about().1.unwrap_or(address) + GAP).sum::<u16>() - GAP
    };
    let mut columns = vec![Column::Id, Column::Client];
    for (wish, address) in wishes {
        columns.extend(wish);
        if taken(&columns, address) > width {
            columns.truncate(columns.len() - wish.len());
            break;
        }
    }
    columns.sort_unstable();
    let addresses = columns.iter().filter(|column| column.about().1.is_none()).count();
    let left = usize::from(width.saturating_sub(taken(&columns, 0)));
    let address = u16::try_from(left / addresses.max(1)).unwrap_or(ADDRESS_COLUMNS_MAX);
    let address = address.min(ADDRESS_COLUMNS_MAX);
    columns.into_iter().map(|column| (column, column.about().1.unwrap_or(address))).collect()
}

/// Draws the head, and the sessions of the page below it.
pub fn draw(page: &Page, has_upstream: bool, paint: Paint, part: Rect, buffer: &mut Buffer) {
    let columns = columns(part.width, page.choice.sort, has_upstream);
    let sorted: &[Column] = match page.choice.sort {
        Sort::Age => &[Column::Age],
        Sort::Idle => &[Column::Idle],
        Sort::Rate | Sort::ClientRate | Sort::UpstreamRate => &RATES,
        Sort::Problems | Sort::Client | Sort::Upstream | Sort::Waiting => &[],
        Sort::Bytes => &SUMS,
    };
    let line = |number: u16| Rect { y: part.y + number, height: 1, ..part };
    if part.height >= HEAD_ROWS {
        let head = |column: Column| {
            let mark = if page.choice.reverse { "▲" } else { "▼" };
            let name = column.about().0;
            if sorted.contains(&column) { format!("{mark}{name}") } else { name.to_owned() }
        };
        draw_row(buffer, line(0), &columns, head, paint.head());
    }
    let first = page.first();
    for (number, row) in (0..part.height.saturating_sub(HEAD_ROWS)).zip(&page.rows) {
        let is_chosen = first + usize::from(number) == page.cursor;
        let is_busy = row.client_rate != 0 || row.upstream_rate != 0;
        let style = match (is_chosen, is_busy) {
            (true, _) => paint.chosen(),
            (false, true) => paint.busy(),
            (false, false) => Style::new(),
        };
        let part = line(number + HEAD_ROWS);
        if is_chosen {
            buffer.set_style(part, style);
        }
        draw_row(buffer, part, &columns, |column| column.about().2(row), style);
    }
}

fn draw_row(
    buffer: &mut Buffer,
    part: Rect,
    columns: &[(Column, u16)],
    cell: impl Fn(Column) -> String,
    style: Style,
) {
    let mut x = part.x;
    for &(column, width) in columns {
        let width = width.min(part.right().saturating_sub(x));
        let cell = fit(&cell(column), width.into());
        let cell =
            if column.is_left() { cell } else { format!("{cell:>width$}", width = usize::from(width)) };
        put(buffer, Rect { x, width, ..part }, &cell, style);
        x = x.saturating_add(width + GAP).min(part.right());
    }
}

/// Which of the sessions are shown, and in what order.
pub fn status(page: &Page) -> String {
    let order = match (page.choice.sort, page.choice.reverse) {
        (Sort::Age, false) => "oldest first",
        (Sort::Age, true) => "newest first",
        (Sort::Bytes, false) => "most bytes first",
        (Sort::Bytes, true) => "fewest bytes first",
        (Sort::Rate, false) => "fastest first",
        (Sort::Rate, true) => "slowest first",
        (Sort::Idle, false) => "longest idle first",
        (Sort::Idle, true) => "last moved first",
        _ => "as asked",
    };
    let first = page.first();
    let last = first + page.rows.len().min(page.room);
    let mut line = match page.matching {
        0 => "no sessions".to_owned(),
        matching => format!("{}-{last} of {matching}, {order}", first + 1),
    };
    if let Some(network) = page.choice.from {
        line += &format!(", from {network}");
    }
    if !page.choice.matching.is_empty() {
        line += &format!(", with '{}' (esc: all)", SafeText::from(page.choice.matching.as_str()));
    }
    if page.held {
        line += ", HELD";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u64) -> ListedSession {
        ListedSession { session: number, ..ListedSession::default() }
    }

    /// A page with room for ten that shows the first of this number of sessions.
    fn page(sessions: u64) -> Page {
        let mut page = Page::new(Sort::Rate, None);
        page.resize(10);
        see(&mut page, sessions);
        page
    }

    /// What a server with this number of sessions answers.
    fn see(page: &mut Page, sessions: u64) -> bool {
        let wanted = page.wanted();
        let rows = (1..=sessions).skip(wanted.skip).take(page.room).map(session);
        page.take(wanted, rows.collect(), sessions.try_into().unwrap())
    }

    fn press(page: &mut Page, keys: &[Key]) -> bool {
        keys.iter().map(|key| page.move_by(*key).unwrap()).last().unwrap()
    }

    fn chosen(page: &Page) -> Option<u64> {
        page.chosen().map(|row| row.session)
    }

    #[test]
    fn the_cursor_moves_and_another_page_is_asked_for_when_it_leaves_this_one() {
        let mut page = page(25);
        assert!(!press(&mut page, &[Key::Down, Key::Char('j')]));
        assert_eq!(chosen(&page), Some(3));
        assert!(press(&mut page, &[Key::PageDown]));
        assert_eq!((page.cursor, page.choice.skip), (12, 3));
        assert_eq!(chosen(&page), None, "it is not there yet");
        assert!(!see(&mut page, 25));
        assert_eq!(chosen(&page), Some(13));
        assert!(press(&mut page, &[Key::End]));
        see(&mut page, 25);
        assert_eq!((chosen(&page), page.choice.skip), (Some(25), 15));
        assert!(!press(&mut page, &[Key::Down]));
        press(&mut page, &[Key::Home, Key::Up]);
        see(&mut page, 25);
        assert_eq!(chosen(&page), Some(1));
        assert_eq!(page.move_by(Key::Char('x')), None);
    }

    #[test]
    fn where_sessions_end_the_cursor_stays_on_one() {
        let mut page = page(25);
        press(&mut page, &[Key::End]);
        see(&mut page, 25);
        assert!(see(&mut page, 4), "another page is to be asked for");
        assert!(!see(&mut page, 4));
        assert_eq!((chosen(&page), page.choice.skip), (Some(4), 0));
        see(&mut page, 0);
        assert_eq!((chosen(&page), press(&mut page, &[Key::Down])), (None, false));
    }

    #[test]
    fn the_cursor_goes_with_its_session_as_long_as_the_page_shows_it() {
        let mut page = page(5);
        press(&mut page, &[Key::Down]);
        let rows = |numbers: [u64; 3]| numbers.map(session).to_vec();
        page.take(page.wanted(), rows([5, 4, 2]), 3);
        assert_eq!((chosen(&page), page.cursor), (Some(2), 2));
        page.take(page.wanted(), rows([5, 4, 9]), 3);
        assert_eq!(chosen(&page), Some(9));
        page.sort_by_next();
        assert_eq!((chosen(&page), page.cursor), (None, 0));
    }

    #[test]
    fn a_text_to_filter_by_has_a_limit() {
        let mut page = page(5);
        page.filter(&"x".repeat(100_000));
        assert_eq!(page.wanted().matching.len(), MATCHING_CHARS_MAX);
    }

    #[test]
    fn columns_fit_and_more_room_shows_more() {
        let mut before = 0;
        for width in 0..220 {
            for (sort, has_upstream) in [(Sort::Rate, true), (Sort::Bytes, false)] {
                let columns = columns(width, sort, has_upstream);
                let wide: u16 = columns.iter().map(|(_, width)| width + GAP).sum();
                assert!(width < 20 || wide <= width + GAP, "{width}: {wide}");
            }
            let count = columns(width, Sort::Rate, true).len();
            assert!(count >= before, "{width}");
            before = count;
        }
        assert_eq!(before, 11);
        let narrow: Vec<u16> = columns(80, Sort::Rate, true).iter().map(|(_, width)| *width).collect();
        assert_eq!(narrow, [7, 15, 15, 6, 6, 11, 13]);
        assert_eq!(
            columns(20, Sort::Rate, true).iter().map(|(_, width)| *width).collect::<Vec<_>>(),
            [7, 12]
        );
    }
}
