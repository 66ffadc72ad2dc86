//! The table of live sessions: the page of it that is asked for and chosen from, and as many columns as the screen has room
//! for.

use crate::{
    control::protocol::{Choice, ListedSession, Named, Sort},
    net::network::Network,
    session::health::Health,
    text::{columns::fit, safe::SafeText, table::span, units::bytes},
    tools::{
        ctl::{page::marked_state, report::moving},
        top::{
            keyboard::Key,
            paint::{Paint, put},
        },
    },
};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::{cmp::Reverse, collections::BTreeMap};

/// Longer than anything to be found; far shorter than a line to the server may be.
const MATCHING_CHARS_MAX: usize = 100;
/// The orders, as a key goes through them.
const ORDERS: [Sort; 14] = [
    Sort::Problems,
    Sort::Age,
    Sort::Client,
    Sort::Idle,
    Sort::Rate,
    Sort::ClientRate,
    Sort::UpstreamRate,
    Sort::Waiting,
    Sort::Bytes,
    Sort::ClientBytes,
    Sort::UpstreamBytes,
    Sort::Upstream,
    Sort::Phase,
    Sort::Name,
];

/// A session, and the number of its server.
pub struct Row {
    pub server: usize,
    pub session: ListedSession,
}

pub struct Page {
    pub choice: Choice,
    pub rows: Vec<Row>,
    /// What that was asked for with: while it is another page than the wanted one, nothing on it is chosen.
    shown: Choice,
    pub matching: usize,
    /// The place of the chosen session among those that match.
    pub cursor: usize,
    /// Rows that the screen has room for.
    pub room: usize,
    pub held: bool,
    /// What was ever on it: columns do not come and go with the rows.
    widest_id: u16,
    upstream: BTreeMap<usize, SafeText>,
    upstreams: bool,
}

impl Page {
    pub fn new(sort: Sort, from: Option<Network>) -> Self {
        let choice = Choice { sort, from, ..Choice::default() };
        Page {
            shown: choice.clone(),
            choice,
            rows: Vec::new(),
            matching: 0,
            cursor: 0,
            room: 1,
            held: false,
            widest_id: 3,
            upstream: BTreeMap::new(),
            upstreams: false,
        }
    }

    /// The place of the first row among the sessions that match.
    pub fn first(&self) -> usize {
        self.shown.skip
    }

    /// The chosen session; none if there is none, or its page has not come yet.
    pub fn chosen(&self) -> Option<&Row> {
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
        let cursor = moved(key, self.cursor, last, self.room)?;
        self.cursor = cursor;
        let skip = self.choice.skip;
        self.follow_cursor();
        let another = self.choice.skip != skip;
        // What is held is one page.
        self.held &= !another;
        Some(another)
    }

    /// Goes to the row of this number on the screen; says whether that is the chosen one already.
    pub fn click(&mut self, row: usize) -> Option<bool> {
        let place = self.first() + row;
        if row >= self.rows.len() {
            return None;
        }
        let again = self.cursor == place;
        self.cursor = place;
        Some(again)
    }

    /// Orders by the next column, or by the one before.
    pub fn sort_by_next(&mut self, back: bool) {
        let place = ORDERS.iter().position(|sort| *sort == self.choice.sort).unwrap_or(0);
        let step = if back { ORDERS.len() - 1 } else { 1 };
        self.choice.sort = ORDERS[(place + step) % ORDERS.len()];
        self.choice.reverse = false;
        self.begin_again();
    }

    /// Orders by this column; if it does that already, the other way round.
    pub fn sort_by(&mut self, sort: Sort) {
        self.choice.reverse = self.choice.sort == sort && !self.choice.reverse;
        self.choice.sort = sort;
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

    /// Only sessions that do so; none: all.
    pub fn only(&mut self, health: &[Health]) {
        self.choice.health = health.iter().map(|health| Named::Known(*health)).collect();
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
    pub fn take(&mut self, choice: Choice, rows: Vec<Row>, matching: usize) -> bool {
        let chosen = self.chosen().map(|row| (row.server, row.session.session));
        (self.shown, self.rows, self.matching) = (choice, rows, matching);
        // The cursor stays on its session while that is on the page.
        let place = chosen
            .and_then(|chosen| self.rows.iter().position(|row| (row.server, row.session.session) == chosen));
        self.cursor = place.map_or(self.cursor, |place| self.first() + place);
        self.cursor = self.cursor.min(matching.saturating_sub(1));
        let skip = self.choice.skip;
        self.choice.skip = skip.min(matching.saturating_sub(self.room));
        self.follow_cursor();
        self.note_columns();
        self.choice.skip != skip
    }

    fn note_columns(&mut self) {
        for Row { server, session } in &self.rows {
            let digits = u16::try_from(session.session.max(1).ilog10() + 1).unwrap_or(0);
            self.widest_id = self.widest_id.max(digits);
            if let Some(upstream) = &session.upstream {
                self.upstreams |=
                    self.upstream.entry(*server).or_insert_with(|| upstream.clone()) != upstream;
            }
        }
    }
}

/// Where a cursor goes with a key, if the key moves it.
pub fn moved(key: Key, cursor: usize, last: usize, room: usize) -> Option<usize> {
    const WHEEL: usize = 3;
    let cursor = match key {
        Key::Up | Key::Char('k') => cursor.saturating_sub(1),
        Key::Down | Key::Char('j') => cursor + 1,
        Key::WheelUp => cursor.saturating_sub(WHEEL),
        Key::WheelDown => cursor + WHEEL,
        Key::PageUp => cursor.saturating_sub(room),
        Key::PageDown => cursor + room,
        Key::Home | Key::Char('g') => 0,
        Key::End | Key::Char('G') => last,
        _ => return None,
    };
    Some(cursor.min(last))
}

/// Puts the rows of several servers, each in the order of `choice`, into that order.
pub fn merge(choice: &Choice, rows: &mut [Row]) {
    let one = |row: &Row| -> (Reverse<u64>, SafeText) {
        let ListedSession { client, upstream, .. } = &row.session;
        let session = &row.session;
        let most = |number: u64| (Reverse(number), SafeText::default());
        match choice.sort {
            Sort::Age => most(session.age_ms),
            Sort::Idle => most(session.idle_ms),
            Sort::Bytes => most(session.client_bytes.saturating_add(session.upstream_bytes)),
            Sort::Rate => most(session.client_rate.saturating_add(session.upstream_rate)),
            Sort::ClientRate => most(session.client_rate),
            Sort::UpstreamRate => most(session.upstream_rate),
            Sort::Waiting => most(session.waiting()),
            Sort::Problems => match &session.health {
                Named::Known(health) => most(health.urgency().into()),
                Named::Other(_) => most(0),
            },
            Sort::ClientBytes => most(session.client_bytes),
            Sort::UpstreamBytes => most(session.upstream_bytes),
            Sort::Phase => (Reverse(0), SafeText::from(session.phase.to_string().as_str())),
            // By server already, and then by name.
            Sort::Name => most(u64::MAX - row.server as u64),
            Sort::Client => (Reverse(0), client.clone()),
            Sort::Upstream => (Reverse(0), upstream.clone().unwrap_or_default()),
        }
    };
    // Equal ones stay as they are: by server, and by number.
    if choice.reverse {
        rows.sort_by_cached_key(|row| Reverse(one(row)));
    } else {
        rows.sort_by_cached_key(one);
    }
}

pub const HEAD_ROWS: u16 = 1;
const GAP: u16 = 1;
/// An address with brackets, an IPv6 address and a port fits in this; wider is no use.
const ADDRESS_COLUMNS_MAX: u16 = 47;
/// An IPv4 address and a port.
const ADDRESS_COLUMNS: u16 = 21;
/// Most IPv4 addresses with a port.
const ADDRESS_COLUMNS_USUAL: u16 = 17;
/// The ends of one.
const ADDRESS_COLUMNS_MIN: u16 = 12;

/// What a column shows, from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    State,
    Id,
    Server,
    Client,
    Age,
    Idle,
    ClientRate,
    UpstreamRate,
    Waiting,
    Upstream,
    ClientBytes,
    UpstreamBytes,
    Phase,
}

impl Column {
    /// Its name, its width if that is fixed, and the order that it stands for.
    fn about(self) -> (&'static str, Option<u16>, Sort) {
        match self {
            Column::State => ("STATE", Some(13), Sort::Problems),
            Column::Id => ("ID", Some(7), Sort::Age),
            Column::Server => ("SERVER", Some(8), Sort::Name),
            Column::Client => ("CLIENT", None, Sort::Client),
            Column::Age => ("AGE", Some(6), Sort::Age),
            Column::Idle => ("IDLE", Some(6), Sort::Idle),
            Column::ClientRate => ("↑/s", Some(8), Sort::ClientRate),
            Column::UpstreamRate => ("↓/s", Some(8), Sort::UpstreamRate),
            Column::Waiting => ("WAITING", Some(8), Sort::Waiting),
            Column::Upstream => ("UPSTREAM", None, Sort::Upstream),
            Column::ClientBytes => ("↑ CLIENT", Some(9), Sort::ClientBytes),
            Column::UpstreamBytes => ("↓ UPSTREAM", Some(11), Sort::UpstreamBytes),
            Column::Phase => ("PHASE", Some(15), Sort::Phase),
        }
    }

    fn cell(self, row: &ListedSession, server: &str) -> String {
        match self {
            Column::State => marked_state(row),
            Column::Id => row.session.to_string(),
            Column::Server => server.to_owned(),
            Column::Client => row.client.to_string(),
            Column::Age => span(row.age_ms),
            Column::Idle => span(row.idle_ms),
            Column::ClientRate => moving(row.client_rate),
            Column::UpstreamRate => moving(row.upstream_rate),
            Column::Waiting => moving(row.waiting()),
            Column::Upstream => SafeText::or_dash(row.upstream.as_ref()).to_owned(),
            Column::ClientBytes => bytes(row.client_bytes),
            Column::UpstreamBytes => bytes(row.upstream_bytes),
            Column::Phase => row.phase.to_string(),
        }
    }

    fn is_left(self) -> bool {
        matches!(self, Column::State | Column::Server | Column::Client | Column::Upstream | Column::Phase)
    }

    fn is_of(self, sort: Sort) -> bool {
        let rates = matches!(self, Column::ClientRate | Column::UpstreamRate) && sort == Sort::Rate;
        let sums = matches!(self, Column::ClientBytes | Column::UpstreamBytes) && sort == Sort::Bytes;
        let own = self.about().2 == sort && self != Column::Id;
        own || rates || sums
    }
}

/// The columns of a table of this width, each with its own.
fn columns(width: u16, page: &Page, servers: bool) -> Vec<(Column, u16)> {
    use Column::{
        Age, Client, ClientBytes, ClientRate, Id, Idle, Phase, Server, State, Upstream, UpstreamBytes,
        UpstreamRate, Waiting,
    };
    let own = |column: Column| if column == Id { Some(page.widest_id) } else { column.about().1 };
    let server: &[Column] = if servers { &[Server] } else { &[] };
    let upstream: &[Column] = if page.upstreams { &[Upstream] } else { &[] };
    let sums = [ClientBytes, UpstreamBytes];
    let by_bytes = matches!(page.choice.sort, Sort::Bytes | Sort::ClientBytes | Sort::UpstreamBytes);
    // A narrow screen shows the numbers that it is sorted by.
    let first: &[Column] = if by_bytes { &sums } else { &[ClientRate, UpstreamRate] };
    let second: &[Column] = if by_bytes { &[ClientRate, UpstreamRate] } else { &sums };
    let wishes: [(&[Column], u16); 8] = [
        (server, ADDRESS_COLUMNS_MIN),
        (&[Idle], ADDRESS_COLUMNS_MIN),
        (first, ADDRESS_COLUMNS_MIN),
        (upstream, ADDRESS_COLUMNS_MIN),
        (&[Waiting], ADDRESS_COLUMNS_MIN),
        (&[Age], ADDRESS_COLUMNS_USUAL),
        (second, ADDRESS_COLUMNS),
        (&[Phase], ADDRESS_COLUMNS),
    ];
    let taken = |columns: &[Column], address: u16| {
        columns.iter().map(|column| own(*column).unwrap_or(address) + GAP).sum::<u16>() - GAP
    };
    let mut columns = vec![State, Id, Client];
    for (wish, address) in wishes {
        columns.extend(wish);
        if taken(&columns, address) > width {
            columns.truncate(columns.len() - wish.len());
            break;
        }
    }
    if taken(&columns, ADDRESS_COLUMNS_MIN) > width {
        columns.remove(0);
    }
    columns.sort_unstable();
    let addresses = columns.iter().filter(|column| own(**column).is_none()).count();
    let left = usize::from(width.saturating_sub(taken(&columns, 0)));
    let address = u16::try_from(left / addresses.max(1)).unwrap_or(ADDRESS_COLUMNS_MAX);
    let address = address.min(ADDRESS_COLUMNS_MAX);
    columns.into_iter().map(|column| (column, own(column).unwrap_or(address))).collect()
}

/// The order of the column at this place in the head, from 0.
pub fn order_at(page: &Page, width: u16, servers: bool, at: u16) -> Option<Sort> {
    let mut end = 0;
    for (column, width) in columns(width, page, servers) {
        end += width + GAP;
        if at < end {
            return Some(column.about().2);
        }
    }
    None
}

/// Draws the head, and the sessions of the page below it; `servers` are their names if there are several.
pub fn draw(page: &Page, servers: Option<&[String]>, paint: Paint, part: Rect, buffer: &mut Buffer) {
    let columns = columns(part.width, page, servers.is_some());
    let line = |number: u16| Rect { y: part.y + number, height: 1, ..part };
    if part.height >= HEAD_ROWS {
        let head = |column: Column| {
            let mark = if page.choice.reverse { "▲" } else { "▼" };
            let name = column.about().0;
            let text = if column.is_of(page.choice.sort) { format!("{mark}{name}") } else { name.to_owned() };
            (text, paint.head())
        };
        draw_row(buffer, line(0), &columns, head);
    }
    let first = page.first();
    for (number, row) in (0..part.height.saturating_sub(HEAD_ROWS)).zip(&page.rows) {
        let is_chosen = first + usize::from(number) == page.cursor;
        let part = line(number + HEAD_ROWS);
        if is_chosen {
            buffer.set_style(part, paint.chosen());
        }
        let server = servers.and_then(|names| names.get(row.server)).map_or("", String::as_str);
        draw_row(buffer, part, &columns, |column| {
            let style = match (&row.session.health, column) {
                (_, _) if is_chosen => paint.chosen(),
                (Named::Known(health), Column::State) => paint.health(*health),
                (Named::Known(Health::Stalled), Column::Waiting) => paint.alert(),
                (Named::Known(Health::Idle), _) => paint.dim(),
                _ => Style::new(),
            };
            (column.cell(&row.session, server), style)
        });
    }
}

fn draw_row(
    buffer: &mut Buffer,
    part: Rect,
    columns: &[(Column, u16)],
    cell: impl Fn(Column) -> (String, Style),
) {
    let mut x = part.x;
    for &(column, width) in columns {
        let width = width.min(part.right().saturating_sub(x));
        let (text, style) = cell(column);
        let text = fit(&text, width.into());
        let text =
            if column.is_left() { text } else { format!("{text:>width$}", width = usize::from(width)) };
        put(buffer, Rect { x, width, ..part }, &text, style);
        x = x.saturating_add(width + GAP).min(part.right());
    }
}

/// Which of the sessions are shown, and in what order.
pub fn status(page: &Page) -> String {
    let order = match (page.choice.sort, page.choice.reverse) {
        (Sort::Problems, false) => "problems first",
        (Sort::Problems, true) => "problems last",
        (Sort::Age, false) => "oldest first",
        (Sort::Age, true) => "newest first",
        (Sort::Bytes, false) => "most bytes first",
        (Sort::Bytes, true) => "fewest bytes first",
        (Sort::Rate, false) => "fastest first",
        (Sort::Rate, true) => "slowest first",
        (Sort::ClientRate, false) => "fastest ↑ first",
        (Sort::ClientRate, true) => "slowest ↑ first",
        (Sort::UpstreamRate, false) => "fastest ↓ first",
        (Sort::UpstreamRate, true) => "slowest ↓ first",
        (Sort::Waiting, false) => "most waiting first",
        (Sort::Waiting, true) => "least waiting first",
        (Sort::Idle, false) => "longest idle first",
        (Sort::Idle, true) => "last moved first",
        (Sort::ClientBytes, false) => "most bytes ↑ first",
        (Sort::ClientBytes, true) => "fewest bytes ↑ first",
        (Sort::UpstreamBytes, false) => "most bytes ↓ first",
        (Sort::UpstreamBytes, true) => "fewest bytes ↓ first",
        (Sort::Phase, _) => "by phase",
        (Sort::Name, _) => "by server",
        (Sort::Client, _) => "by client",
        (Sort::Upstream, _) => "by upstream",
    };
    let first = page.first();
    let last = first + page.rows.len().min(page.room);
    let mut line = match page.matching {
        0 => "no sessions".to_owned(),
        matching => format!("{}-{last} of {matching}, {order}", first + 1),
    };
    if !page.choice.health.is_empty() {
        let names: Vec<_> = page.choice.health.iter().map(ToString::to_string).collect();
        line += &format!(", only {} (esc: all)", names.join(" and "));
    }
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

    fn session(number: u64) -> Row {
        Row { server: 0, session: ListedSession { session: number, ..ListedSession::default() } }
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
        page.chosen().map(|row| row.session.session)
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
        let rows = |numbers: [u64; 3]| numbers.into_iter().map(session).collect::<Vec<_>>();
        page.take(page.wanted(), rows([5, 4, 2]), 3);
        assert_eq!((chosen(&page), page.cursor), (Some(2), 2));
        page.take(page.wanted(), rows([5, 4, 9]), 3);
        assert_eq!(chosen(&page), Some(9));
        page.sort_by_next(false);
        assert_eq!((chosen(&page), page.cursor), (None, 0));
    }

    #[test]
    fn a_text_to_filter_by_has_a_limit() {
        let mut page = page(5);
        page.filter(&"x".repeat(100_000));
        assert_eq!(page.wanted().matching.len(), MATCHING_CHARS_MAX);
    }

    #[test]
    fn a_click_chooses_a_row_and_a_head_orders_by_its_column() {
        let mut page = page(5);
        assert_eq!((page.click(2), chosen(&page)), (Some(false), Some(3)));
        assert_eq!((page.click(2), page.click(7)), (Some(true), None));
        let order = |at| order_at(&page, 80, false, at);
        assert_eq!([0, 20, 79].map(order), [Some(Sort::Problems), Some(Sort::Client), Some(Sort::Waiting)]);
        page.sort_by(Sort::Idle);
        page.sort_by(Sort::Idle);
        assert_eq!((page.choice.sort, page.choice.reverse), (Sort::Idle, true));
    }

    #[test]
    fn rows_of_several_servers_are_in_one_order_and_equal_ones_stay() {
        let row = |server, number, health| {
            let mut row = session(number);
            (row.server, row.session.health) = (server, Named::Known(health));
            row
        };
        let mut rows = vec![
            row(0, 1, Health::Live),
            row(0, 2, Health::Idle),
            row(1, 1, Health::Stalled),
            row(1, 2, Health::Live),
        ];
        merge(&Choice { sort: Sort::Problems, ..Choice::default() }, &mut rows);
        let order: Vec<_> = rows.iter().map(|row| (row.server, row.session.session)).collect();
        assert_eq!(order, [(1, 1), (0, 1), (0, 2), (1, 2)]);
    }

    #[test]
    fn columns_fit_and_more_room_shows_more() {
        let mut page = Page::new(Sort::Rate, None);
        page.upstreams = true;
        let mut before = 0;
        for width in 0..220 {
            for servers in [false, true] {
                let columns = columns(width, &page, servers);
                let wide: u16 = columns.iter().map(|(_, width)| width + GAP).sum();
                assert!(width < 20 || wide <= width + GAP, "{width}: {wide}");
            }
            let count = columns(width, &page, true).len();
            assert!(count >= before, "{width}");
            before = count;
        }
        assert_eq!(before, 13);
        page.upstreams = false;
        let shown = |width, servers| -> Vec<Column> {
            columns(width, &page, servers).into_iter().map(|(column, _)| column).collect()
        };
        use Column::{Age, Client, ClientRate, Id, Idle, Server, State, UpstreamRate, Waiting};
        assert_eq!(shown(80, false), [State, Id, Client, Age, Idle, ClientRate, UpstreamRate, Waiting]);
        assert_eq!(
            shown(80, true),
            [State, Id, Server, Client, Age, Idle, ClientRate, UpstreamRate, Waiting][..3]
                .iter()
                .copied()
                .chain([Client, Idle, ClientRate, UpstreamRate, Waiting])
                .collect::<Vec<_>>()
        );
        assert_eq!(shown(20, false), [Id, Client]);
    }
}
