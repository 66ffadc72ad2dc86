//! What the screen shows, and what keys and answers make of it. It knows nothing of terminals and sockets.

use crate::{
    control::protocol::{Choice, EndedSession, Greeting, PastSecond, ServerStats, Sort},
    net::network::Network,
    session::health::Health,
    tools::{
        ctl::page,
        top::{
            detail::{Detail, Ending, step},
            ended::{self, CauseList, EndedList},
            keyboard::Key,
            link::{Answer, Details, Look, Tapped, Told},
            log::Log,
            screen::{self, Hit},
            table::{self, Page, Row},
        },
    },
};
use ratatui::layout::Rect;

/// Some hundred screens of events.
const EVENTS: usize = 2000;
/// Health for a key, to see no others.
const HEALTHS: [(char, &[Health]); 9] = [
    ('a', &[]),
    ('p', &[Health::Stalled, Health::Held, Health::HalfClosed]),
    ('s', &[Health::Stalled]),
    ('h', &[Health::HalfClosed]),
    ('e', &[Health::Held]),
    ('d', &[Health::Dialling]),
    ('o', &[Health::Opening]),
    ('l', &[Health::Live]),
    ('i', &[Health::Idle]),
];

/// A server, as it was when it last answered.
pub struct Server {
    pub greeting: Greeting,
    pub name: String,
    pub alive: bool,
    pub stats: Option<ServerStats>,
    /// What its rows were asked for with.
    choice: Option<Choice>,
    rows: Vec<Row>,
    matching: usize,
    ended: Vec<EndedSession>,
    /// How many had ended when those were told.
    ended_count: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Live,
    Ended,
    Causes,
    Events,
}

impl Tab {
    pub const ALL: [Tab; 4] = [Tab::Live, Tab::Ended, Tab::Causes, Tab::Events];

    pub fn name(self) -> &'static str {
        match self {
            Tab::Live => "Live",
            Tab::Ended => "Ended",
            Tab::Causes => "Causes",
            Tab::Events => "Events",
        }
    }
}

pub struct State {
    pub servers: Vec<Server>,
    pub tab: Tab,
    pub page: Page,
    pub ended: EndedList,
    pub causes: CauseList,
    pub events: Log<(usize, Told)>,
    /// Events are followed from the first look at them on.
    events_wanted: bool,
    /// One session in place of the tab.
    pub detail: Option<Detail>,
    pub prompt: Option<Prompt>,
    /// All keys are shown over the screen.
    pub help: bool,
    /// What was last done, until the next key.
    pub notice: Option<String>,
    /// What was last searched for.
    pub searched: String,
    area: Rect,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Prompt {
    /// For a text to filter by; what it was before.
    Filter(String),
    Search(String),
    /// For the name of a file.
    Save(String),
    /// Which sessions are to be shown, by how they do.
    Health,
    /// Whether to cut this session.
    Cut {
        server: usize,
        session: u64,
        about: String,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing but showing what has changed.
    Show,
    /// Look at the servers at once.
    Look,
    Redraw,
    /// Let the shell have the terminal.
    Suspend,
    Quit,
    Cut {
        server: usize,
        session: u64,
        fin: bool,
    },
    /// See to it that what is shown is what is tapped.
    Tap,
}

impl State {
    /// Before the first look.
    pub fn new(sort: Sort, from: Option<Network>) -> Self {
        State {
            servers: Vec::new(),
            tab: Tab::Live,
            page: Page::new(sort, from),
            ended: EndedList::default(),
            causes: CauseList::default(),
            events: Log::new(EVENTS),
            events_wanted: false,
            detail: None,
            prompt: None,
            help: false,
            notice: None,
            searched: String::new(),
            area: Rect::default(),
        }
    }

    /// Adds a server, and gives its number.
    pub fn add_server(&mut self, greeting: Greeting) -> usize {
        self.servers.push(Server {
            name: greeting.short_name(),
            greeting,
            alive: true,
            stats: None,
            choice: None,
            rows: Vec::new(),
            matching: 0,
            ended: Vec::new(),
            ended_count: None,
        });
        self.servers.len() - 1
    }

    /// A server has gone; the others stay.
    pub fn remove_server(&mut self, number: usize) {
        let server = &mut self.servers[number];
        server.alive = false;
        (server.rows, server.ended, server.stats) = (Vec::new(), Vec::new(), None);
        self.notice = Some(format!("{} has gone", server.greeting.about()));
        if self.detail.as_ref().is_some_and(|detail| detail.server == number) {
            self.detail = None;
        }
        self.show_rows();
    }

    pub fn alive(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| server.alive)
    }

    /// The names of all servers by their numbers, if several were seen.
    pub fn names(&self) -> Option<Vec<String>> {
        let names: Vec<String> = self.servers.iter().map(|server| server.name.clone()).collect();
        (names.len() > 1).then_some(names)
    }

    /// The totals of all servers; none before the first look.
    pub fn totals(&self) -> Option<ServerStats> {
        let mut all: Option<ServerStats> = None;
        for stats in self.alive().filter_map(|server| server.stats.as_ref()) {
            match &mut all {
                None => all = Some(stats.clone()),
                Some(all) => add(all, stats),
            }
        }
        all
    }

    /// The screen has this size now.
    pub fn resize(&mut self, area: Rect) {
        self.area = area;
        let room = screen::room(area);
        self.page.resize(room);
        self.ended.resize(room);
    }

    /// What to ask a server: a page of sessions, none of them if only the totals are wanted; a session; what ended.
    pub fn wanted_of(&self, server: usize) -> (Choice, Option<u64>, Option<usize>) {
        let detail = self.detail.as_ref().filter(|detail| detail.server == server);
        let session = detail.filter(|detail| detail.ending.is_none()).map(|detail| detail.session);
        let one = &self.servers[server];
        let has_changed = one.stats.as_ref().is_none_or(|stats| Some(stats.ended) != one.ended_count);
        let ended = (self.tab == Tab::Ended && has_changed).then_some(ended::LAST);
        (self.wanted(), session, ended)
    }

    fn wanted(&self) -> Choice {
        let wanted = self.page.wanted();
        if self.page.held || self.detail.is_some() || self.tab != Tab::Live {
            return Choice { limit: Some(0), ..wanted };
        }
        if self.alive().count() > 1 {
            // The page of all of them may be of one of them alone.
            return Choice { limit: wanted.limit.map(|limit| limit + wanted.skip), skip: 0, ..wanted };
        }
        wanted
    }

    /// The session that is to be tapped: its server's number and its own.
    pub fn wants_tap(&self) -> Option<(usize, u64)> {
        let detail = self.detail.as_ref().filter(|detail| detail.tapped)?;
        Some((detail.server, detail.session))
    }

    pub fn follows_events(&self) -> bool {
        self.events_wanted
    }

    pub fn key(&mut self, key: Key) -> Action {
        self.notice = None;
        match (key, &self.prompt) {
            (Key::Interrupt, _) => Action::Quit,
            (Key::Suspend, _) => Action::Suspend,
            (Key::Redraw, _) => Action::Redraw,
            _ if self.help => {
                self.help = false;
                Action::Show
            }
            (key, Some(_)) => self.prompt_key(key),
            (Key::Char('q'), None) => Action::Quit,
            (Key::Char('?'), None) => {
                self.help = true;
                Action::Show
            }
            (Key::Char('c'), None) => self.ask_cut(),
            (Key::Click { column, row }, None) => self.click(column, row),
            (Key::Char('w'), None) => self.ask_save(),
            (Key::Char('n' | 'N'), None) => {
                self.search(key == Key::Char('n'));
                Action::Show
            }
            (Key::Tab, None) => self.go_to(self.beside(1)),
            (Key::BackTab, None) => self.go_to(self.beside(Tab::ALL.len() - 1)),
            (Key::Char(digit @ '1'..='4'), None) => self.go_to(Tab::ALL[digit as usize - '1' as usize]),
            (key, None) if self.detail.is_some() => self.detail_key(key),
            (key, None) => match self.tab {
                Tab::Live => self.page_key(key),
                Tab::Ended => self.ended_key(key),
                Tab::Causes => self.causes_key(key),
                Tab::Events => self.events_key(key),
            },
        }
    }

    fn beside(&self, step: usize) -> Tab {
        let place = Tab::ALL.iter().position(|tab| *tab == self.tab).unwrap_or(0);
        Tab::ALL[(place + step) % Tab::ALL.len()]
    }

    fn go_to(&mut self, tab: Tab) -> Action {
        self.tab = tab;
        self.events_wanted |= tab == Tab::Events;
        let had_detail = self.detail.take().is_some();
        if had_detail { Action::Tap } else { Action::Look }
    }

    fn page_key(&mut self, key: Key) -> Action {
        if let Some(another) = self.page.move_by(key) {
            return if another { Action::Look } else { Action::Show };
        }
        match key {
            Key::Char('s' | '>') => self.page.sort_by_next(false),
            Key::Char('S' | '<') => self.page.sort_by_next(true),
            Key::Char('r') => self.page.reverse(),
            Key::Char(' ') => self.page.held = !self.page.held,
            Key::Escape => {
                self.page.only(&[]);
                self.page.filter("");
            }
            Key::Char('/') => {
                self.prompt = Some(Prompt::Filter(self.page.choice.matching.clone()));
                return Action::Show;
            }
            Key::Char('f') => {
                self.prompt = Some(Prompt::Health);
                return Action::Show;
            }
            Key::Enter => {
                let Some(of) = self.page.chosen().map(|row| (row.server, row.session.session)) else {
                    return Action::Show;
                };
                self.detail = Some(Detail::new(of.0, of.1));
            }
            _ => return Action::Show,
        }
        Action::Look
    }

    fn ended_key(&mut self, key: Key) -> Action {
        if self.ended.move_by(key) {
            return Action::Show;
        }
        match key {
            Key::Escape => self.ended.filter(""),
            Key::Char('/') => self.prompt = Some(Prompt::Filter(self.ended.matching.clone())),
            Key::Enter => {
                if let Some((server, ended)) = self.ended.chosen() {
                    let mut detail = Detail::new(*server, ended.session);
                    detail.ending = Some(Ending::Known(Box::new(ended.clone())));
                    self.detail = Some(detail);
                }
            }
            _ => {}
        }
        Action::Show
    }

    fn causes_key(&mut self, key: Key) -> Action {
        if !self.causes.move_by(key)
            && key == Key::Enter
            && let Some(cause) = self.causes.chosen().map(ToString::to_string)
        {
            self.ended.filter(&cause);
            return self.go_to(Tab::Ended);
        }
        Action::Show
    }

    fn events_key(&mut self, key: Key) -> Action {
        match (step(key), key) {
            (Some(step), _) => self.events.step(step),
            (None, Key::Char('/')) => self.prompt = Some(Prompt::Search(String::new())),
            _ => {}
        }
        Action::Show
    }

    fn detail_key(&mut self, key: Key) -> Action {
        let Some(detail) = &mut self.detail else { return Action::Show };
        if detail.scroll(key) {
            return Action::Show;
        }
        match key {
            Key::Escape | Key::Enter | Key::Backspace => {
                self.detail = None;
                Action::Tap
            }
            Key::Char('t') if detail.ending.is_none() || detail.tapped => {
                detail.turn_tap();
                Action::Tap
            }
            Key::Char('h') => {
                detail.hex = !detail.hex;
                Action::Show
            }
            Key::Char('/') => {
                self.prompt = Some(Prompt::Search(String::new()));
                Action::Show
            }
            _ => Action::Show,
        }
    }

    fn prompt_key(&mut self, key: Key) -> Action {
        match self.prompt.take() {
            Some(Prompt::Cut { server, session, .. }) => match key {
                Key::Char('y' | 'Y') => Action::Cut { server, session, fin: false },
                Key::Char('f' | 'F') => Action::Cut { server, session, fin: true },
                _ => Action::Show,
            },
            Some(Prompt::Health) => {
                let chosen = HEALTHS.iter().find(|(letter, _)| key == Key::Char(*letter));
                if let Some((_, health)) = chosen {
                    self.page.only(health);
                }
                Action::Look
            }
            Some(Prompt::Filter(before)) => self.filter_key(key, before),
            Some(Prompt::Search(text)) => {
                match typed(key, text) {
                    Typed::More(text) => self.prompt = Some(Prompt::Search(text)),
                    Typed::Done(text) => {
                        self.searched = text;
                        self.search(true);
                    }
                    Typed::Left => {}
                }
                Action::Show
            }
            Some(Prompt::Save(name)) => {
                match typed(key, name) {
                    Typed::More(name) => self.prompt = Some(Prompt::Save(name)),
                    Typed::Done(name) => self.save(&name),
                    Typed::Left => {}
                }
                Action::Show
            }
            None => Action::Show,
        }
    }

    fn filter_key(&mut self, key: Key, before: String) -> Action {
        let text = match self.tab {
            Tab::Ended => self.ended.matching.clone(),
            _ => self.page.choice.matching.clone(),
        };
        let text = match typed(key, text) {
            Typed::More(text) => {
                self.prompt = Some(Prompt::Filter(before));
                text
            }
            Typed::Done(_) => return Action::Show,
            Typed::Left => before,
        };
        if self.tab == Tab::Ended {
            self.ended.filter(&text)
        } else {
            self.page.filter(&text)
        }
        Action::Look
    }

    fn search(&mut self, back: bool) {
        let text = self.searched.to_lowercase();
        if text.is_empty() {
            return;
        }
        let found = match &mut self.detail {
            Some(detail) => detail.search(&text, back),
            None if self.tab == Tab::Events => {
                self.events.search(back, |(_, told)| told.line.as_str().to_lowercase().contains(&text))
            }
            None => return,
        };
        if !found {
            self.notice = Some(format!("'{}' is not in what was kept", self.searched));
        }
    }

    fn click(&mut self, column: u16, row: u16) -> Action {
        match screen::hit(self, self.area, column, row) {
            Some(Hit::Tab(tab)) => self.go_to(tab),
            Some(Hit::Head(sort)) => {
                self.page.sort_by(sort);
                Action::Look
            }
            Some(Hit::Row(row)) => {
                let again = match self.tab {
                    Tab::Live => self.page.click(row),
                    Tab::Ended => self.ended.click(row),
                    Tab::Causes | Tab::Events => None,
                };
                if again == Some(true) { self.key(Key::Enter) } else { Action::Show }
            }
            None => Action::Show,
        }
    }

    fn ask_cut(&mut self) -> Action {
        let row = match &self.detail {
            Some(detail) if detail.ending.is_some() => None,
            Some(detail) => detail.facts.as_ref().map(|facts| (detail.server, &facts.listed)),
            None if self.tab == Tab::Live => self.page.chosen().map(|row| (row.server, &row.session)),
            None => None,
        };
        if let Some((server, row)) = row {
            self.prompt = Some(Prompt::Cut { server, session: row.session, about: row.client.to_string() });
        }
        Action::Show
    }

    fn ask_save(&mut self) -> Action {
        let name = match &self.detail {
            Some(detail) => format!("session-{}.txt", detail.session),
            None if self.tab == Tab::Events => "events.txt".to_owned(),
            None => return Action::Show,
        };
        self.prompt = Some(Prompt::Save(name));
        Action::Show
    }

    /// Writes what is kept to a file that is not there yet.
    fn save(&mut self, name: &str) {
        let text = match &self.detail {
            Some(detail) => detail.text(),
            None => self.events.iter().map(|(_, told)| format!("{}\n", told.line)).collect(),
        };
        let written = std::fs::File::create_new(name)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        self.notice = Some(match written {
            Ok(()) => format!("{} lines are in {name}", text.lines().count()),
            Err(error) => format!("cannot write {name}: {}", crate::error::reason(&error)),
        });
    }

    /// A server answered; says whether to ask again at once.
    pub fn answer(&mut self, server: usize, answer: Answer) -> bool {
        match answer {
            Answer::Look(look) => self.look(server, *look),
            Answer::Cut { session, refused } => {
                let refused = refused.map(|reason| reason.to_string());
                self.notice = Some(refused.unwrap_or_else(|| format!("session {session} was cut")));
                true
            }
        }
    }

    fn look(&mut self, number: usize, look: Look) -> bool {
        let server = &mut self.servers[number];
        if let Some(stats) = look.stats {
            if look.ended.is_some() {
                server.ended_count = Some(stats.ended);
            }
            server.stats = Some(stats);
        }
        if let Some(ended) = look.ended {
            server.ended = ended;
            let all = self.servers.iter().enumerate();
            let all =
                all.flat_map(|(number, one)| one.ended.iter().map(move |ended| (number, ended.clone())));
            self.ended.take(all.collect());
        }
        if let Some(totals) = self.totals() {
            self.causes.take(page::causes(&totals));
        }
        if let (Some(detail), Some((session, told))) = (&mut self.detail, look.session)
            && (detail.server, detail.session) == (number, session)
        {
            match told {
                Details::Alive(facts) => detail.facts = Some(*facts),
                Details::Ended(ended) => detail.ending = Some(Ending::Known(ended)),
                Details::Forgotten => detail.ending = Some(Ending::Forgotten),
            }
        }
        if look.choice != self.wanted() {
            // It was asked for before the last key.
            return true;
        }
        if look.choice.limit == Some(0) {
            return false;
        }
        let server = &mut self.servers[number];
        server.rows = look.rows.into_iter().map(|session| Row { server: number, session }).collect();
        (server.choice, server.matching) = (Some(look.choice), look.matching);
        self.show_rows()
    }

    /// Shows the rows of all servers, once all have answered to what is wanted; says whether another page is wanted then.
    fn show_rows(&mut self) -> bool {
        let (choice, wanted) = (self.wanted(), self.page.wanted());
        if choice.limit == Some(0) || self.alive().any(|server| server.choice.as_ref() != Some(&choice)) {
            return false;
        }
        let matching = self.alive().map(|server| server.matching).sum();
        let several = self.alive().count() > 1;
        let mut rows: Vec<Row> = Vec::new();
        for server in self.servers.iter().filter(|server| server.alive) {
            rows.extend(
                server.rows.iter().map(|row| Row { server: row.server, session: row.session.clone() }),
            );
        }
        if several {
            table::merge(&wanted, &mut rows);
            rows.drain(..wanted.skip.min(rows.len()));
            rows.truncate(self.page.room);
        }
        self.page.take(wanted, rows, matching)
    }

    pub fn tapped(&mut self, told: Tapped) {
        if let Some(detail) = &mut self.detail {
            detail.tell(told);
        }
    }

    pub fn told(&mut self, server: usize, told: Told) {
        self.events.push((server, told));
    }
}

/// What a key makes of a text that is being typed.
enum Typed {
    More(String),
    Done(String),
    Left,
}

fn typed(key: Key, mut text: String) -> Typed {
    match key {
        Key::Char(c) => text.push(c),
        Key::Backspace => drop(text.pop()),
        Key::Clear => text.clear(),
        Key::Enter => return Typed::Done(text),
        Key::Escape => return Typed::Left,
        _ => {}
    }
    Typed::More(text)
}

/// Adds the totals of another server.
fn add(all: &mut ServerStats, one: &ServerStats) {
    for (sum, more) in [
        (&mut all.live, one.live),
        (&mut all.opened, one.opened),
        (&mut all.ended, one.ended),
        (&mut all.failed, one.failed),
        (&mut all.client_bytes, one.client_bytes),
        (&mut all.upstream_bytes, one.upstream_bytes),
        (&mut all.client_rate, one.client_rate),
        (&mut all.upstream_rate, one.upstream_rate),
    ] {
        *sum = sum.saturating_add(more);
    }
    all.max_sessions = all.max_sessions.saturating_add(one.max_sessions);
    (all.paused, all.draining) = (all.paused | one.paused, all.draining | one.draining);
    if let Some(more) = &one.tls_handshakes {
        all.tls_handshakes.get_or_insert_default().add(more);
    }
    for (sums, counts) in [(&mut all.causes, &one.causes), (&mut all.health, &one.health)] {
        for (name, count) in counts {
            *sums.entry(name.clone()).or_default() += count;
        }
    }
    // Their last seconds are the same.
    let longest = all.history.len().max(one.history.len());
    let second = |history: &[PastSecond], place: usize| {
        let missing = longest - history.len();
        place.checked_sub(missing).map_or(PastSecond::default(), |place| history[place])
    };
    let sum = |place| {
        let (left, right) = (second(&all.history, place), second(&one.history, place));
        PastSecond {
            live: left.live + right.live,
            client_rate: left.client_rate.saturating_add(right.client_rate),
            upstream_rate: left.upstream_rate.saturating_add(right.upstream_rate),
        }
    };
    all.history = (0..longest).map(sum).collect();
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{ListedSession, Named, SessionDetail};
    use serde_json::{from_value, json};

    #[test]
    fn an_answer_to_what_is_not_wanted_any_more_is_followed_by_another_look() {
        let mut state = state(25);
        let old = look(&state, 25);
        assert_eq!(press(&mut state, &[Key::PageDown, Key::PageDown]), Action::Look);
        assert!(state.answer(0, Answer::Look(Box::new(old))));
        // Nothing is chosen before the page is there.
        assert_eq!(press(&mut state, &[Key::Char('c'), Key::Enter]), Action::Show);
        assert!(state.prompt.is_none() && state.detail.is_none());
        assert!(!see(&mut state, 25));
        assert_eq!(press(&mut state, &[Key::Enter]), Action::Look);
        assert_eq!(state.detail.map(|detail| detail.session), Some(21));
    }

    /// A state that has seen a server with this number of sessions, with room for ten of them.
    fn state(sessions: usize) -> State {
        let mut state = State::new(Sort::Rate, None);
        state.add_server(from_value(json!({"switchboard": 1, "mode": "proxy"})).unwrap());
        state.page.resize(10);
        see(&mut state, sessions);
        state
    }

    /// What a server with this number of sessions answers to what is asked for.
    fn look(state: &State, sessions: usize) -> Look {
        let choice = state.wanted();
        let rows = (1..=sessions).skip(choice.skip).take(choice.limit.unwrap());
        let rows = rows.map(|number| ListedSession {
            session: number as u64,
            client: format!("127.0.0.1:{number}").as_str().into(),
            ..ListedSession::default()
        });
        Look { rows: rows.collect(), matching: sessions, choice, ..Look::default() }
    }

    fn see(state: &mut State, sessions: usize) -> bool {
        state.answer(0, Answer::Look(Box::new(look(state, sessions))))
    }

    fn press(state: &mut State, keys: &[Key]) -> Action {
        keys.iter().map(|key| state.key(*key)).last().unwrap()
    }

    #[test]
    fn a_session_is_cut_after_a_yes_and_only_the_one_that_was_asked_for() {
        let mut state = state(3);
        press(&mut state, &[Key::Down, Key::Char('c')]);
        assert_eq!(state.prompt, Some(Prompt::Cut { server: 0, session: 2, about: "127.0.0.1:2".into() }));
        // The table moves on; the question does not.
        state.page.rows.remove(0);
        assert_eq!(press(&mut state, &[Key::Char('y')]), Action::Cut { server: 0, session: 2, fin: false });
        for key in [Key::Char('n'), Key::Enter, Key::Escape, Key::Char(' '), Key::Char('q')] {
            assert_eq!(press(&mut state, &[Key::Char('c'), key]), Action::Show, "{key:?}");
            assert_eq!(state.prompt, None);
        }
        assert!(matches!(
            press(&mut state, &[Key::Char('c'), Key::Char('f')]),
            Action::Cut { fin: true, .. }
        ));
        assert!(state.answer(0, Answer::Cut { session: 2, refused: Some("there is no session 2".into()) }));
        assert_eq!(state.notice.as_deref(), Some("there is no session 2"));
        press(&mut state, &[Key::Up]);
        assert_eq!(state.notice, None);
    }

    #[test]
    fn a_filter_is_asked_for_with_every_key_and_escape_brings_back_the_one_before() {
        let mut state = state(3);
        let filter = |text: &str| text.chars().map(Key::Char).collect::<Vec<_>>();
        assert_eq!(press(&mut state, &filter("/:80q")), Action::Look);
        assert_eq!(state.wanted().matching, ":80q");
        assert_eq!(press(&mut state, &[Key::Backspace, Key::Enter]), Action::Show);
        assert_eq!((state.page.choice.matching.as_str(), &state.prompt), (":80", &None));
        press(&mut state, &filter("/x"));
        press(&mut state, &[Key::Clear, Key::Escape]);
        assert_eq!(state.page.choice.matching, ":80");
        assert_eq!(press(&mut state, &[Key::Escape]), Action::Look);
        assert_eq!(state.page.choice.matching, "");
    }

    #[test]
    fn the_order_goes_through_the_columns_and_turns() {
        let mut state = state(3);
        state.page.choice.sort = Sort::Problems;
        for (key, sort) in [
            ('s', Sort::Age),
            ('s', Sort::Client),
            ('S', Sort::Age),
            ('<', Sort::Problems),
            ('S', Sort::Name),
            ('>', Sort::Problems),
        ] {
            assert_eq!(press(&mut state, &[Key::Char(key)]), Action::Look);
            assert_eq!(state.page.choice.sort, sort);
        }
        press(&mut state, &[Key::Char('r')]);
        assert!(state.wanted().reverse);
    }

    #[test]
    fn sessions_are_filtered_by_how_they_do() {
        let mut state = state(3);
        assert_eq!(press(&mut state, &[Key::Char('f'), Key::Char('s')]), Action::Look);
        assert_eq!(state.wanted().health, [Named::Known(Health::Stalled)]);
        press(&mut state, &[Key::Char('f'), Key::Char('x')]);
        assert_eq!(state.wanted().health.len(), 1, "no such health: as before");
        press(&mut state, &[Key::Escape]);
        assert!(state.wanted().health.is_empty());
    }

    #[test]
    fn several_servers_are_one_table_and_one_that_goes_leaves_the_others() {
        let mut state = state(0);
        state.add_server(from_value(json!({"switchboard": 1, "pid": 7, "listeners": ["[::1]:80"]})).unwrap());
        assert_eq!(state.names().unwrap(), ["0", ":80"]);
        let answer = |state: &mut State, server: usize, sessions: &[u64]| {
            let rows = sessions.iter().map(|number| ListedSession {
                session: *number,
                client_rate: *number,
                ..ListedSession::default()
            });
            let stats = ServerStats { live: sessions.len() as u64, ..ServerStats::default() };
            let look = Look {
                rows: rows.collect(),
                matching: sessions.len(),
                choice: state.wanted(),
                stats: Some(stats),
                ..Look::default()
            };
            state.answer(server, Answer::Look(Box::new(look)));
        };
        answer(&mut state, 0, &[9, 5]);
        assert!(state.page.rows.is_empty(), "the other has not answered yet");
        answer(&mut state, 1, &[7, 1]);
        let shown = |state: &State| -> Vec<(usize, u64)> {
            state.page.rows.iter().map(|row| (row.server, row.session.session)).collect()
        };
        assert_eq!(shown(&state), [(0, 9), (1, 7), (0, 5), (1, 1)]);
        assert_eq!((state.page.matching, state.totals().unwrap().live), (4, 4));
        press(&mut state, &[Key::Down, Key::Char('c')]);
        assert_eq!(press(&mut state, &[Key::Char('y')]), Action::Cut { server: 1, session: 7, fin: false });
        state.remove_server(0);
        answer(&mut state, 1, &[7, 1]);
        assert_eq!(shown(&state), [(1, 7), (1, 1)]);
        assert_eq!(state.page.chosen().unwrap().session.session, 7);
    }

    #[test]
    fn tabs_are_gone_through_and_a_cause_leads_to_its_sessions() {
        let mut state = state(3);
        for (key, tab) in [(Key::Tab, Tab::Ended), (Key::Tab, Tab::Causes), (Key::Char('4'), Tab::Events)] {
            assert_eq!(state.follows_events(), tab == Tab::Live);
            press(&mut state, &[key]);
            assert_eq!(state.tab, tab);
        }
        assert!(state.follows_events());
        press(&mut state, &[Key::Tab, Key::BackTab, Key::BackTab]);
        assert_eq!(state.tab, Tab::Causes);
        let stats = ServerStats {
            causes: [("done".into(), 2), ("client_reset".into(), 9)].into(),
            ended: 11,
            ..ServerStats::default()
        };
        let now = Look { stats: Some(stats), choice: state.wanted(), ..Look::default() };
        state.answer(0, Answer::Look(Box::new(now)));
        assert_eq!(press(&mut state, &[Key::Enter]), Action::Look);
        assert_eq!((state.tab, state.ended.matching.as_str()), (Tab::Ended, "client_reset"));
        assert_eq!(state.wanted_of(0).2, Some(ended::LAST));
        // What has not changed is not asked for again.
        let stats = ServerStats { ended: 11, ..ServerStats::default() };
        let ended: EndedSession =
            from_value(json!({"session": 5, "cause": "client_reset", "verdict": "v"})).unwrap();
        let now =
            Look { stats: Some(stats), ended: Some(vec![ended]), choice: state.wanted(), ..Look::default() };
        state.answer(0, Answer::Look(Box::new(now)));
        assert_eq!(state.wanted_of(0).2, None);
        press(&mut state, &[Key::Enter]);
        assert!(state.detail.as_ref().is_some_and(|detail| detail.session == 5 && detail.ending.is_some()));
    }

    #[test]
    fn all_keys_are_shown_until_any_is_pressed() {
        let mut state = state(3);
        press(&mut state, &[Key::Char('?')]);
        assert!(state.help);
        assert_eq!(press(&mut state, &[Key::Char('q')]), Action::Show);
        assert!(!state.help);
    }

    #[test]
    fn a_table_that_is_held_stays_while_the_totals_go_on() {
        let mut state = state(3);
        press(&mut state, &[Key::Char(' ')]);
        assert_eq!(state.wanted().limit, Some(0));
        let mut now = look(&state, 9);
        now.stats = Some(ServerStats { live: 9, ..ServerStats::default() });
        assert!(!state.answer(0, Answer::Look(Box::new(now))));
        let live = state.totals().map(|stats| stats.live);
        assert_eq!((state.page.rows.len(), state.page.matching, live), (3, 3, Some(9)));
        press(&mut state, &[Key::Char(' ')]);
        see(&mut state, 9);
        assert_eq!(state.page.rows.len(), 9);
    }

    #[test]
    fn details_are_those_of_the_chosen_session_until_they_are_left() {
        let mut state = state(3);
        assert_eq!(press(&mut state, &[Key::Down, Key::Enter]), Action::Look);
        assert_eq!(state.detail.as_ref().map(|detail| (detail.session, detail.tapped)), Some((2, false)));
        assert_eq!(state.wants_tap(), None);
        let alive = |number: u64| {
            let mut detail = SessionDetail::default();
            (detail.listed.session, detail.listed.client) = (number, "127.0.0.1:2".into());
            (number, Details::Alive(Box::new(detail)))
        };
        let another = |number: u64| (number, Details::Forgotten);
        for told in [alive(2), alive(1), another(1)] {
            let now = Look { session: Some(told), ..look(&state, 3) };
            state.answer(0, Answer::Look(Box::new(now)));
        }
        assert_eq!(state.detail.as_ref().unwrap().facts.as_ref().unwrap().listed.session, 2);
        press(&mut state, &[Key::Char('c')]);
        assert_eq!(state.prompt, Some(Prompt::Cut { server: 0, session: 2, about: "127.0.0.1:2".into() }));
        press(&mut state, &[Key::Char('n')]);
        assert_eq!(press(&mut state, &[Key::Char('t')]), Action::Tap);
        assert_eq!(state.wants_tap(), Some((0, 2)));
        let now = Look { session: Some((2, Details::Forgotten)), ..look(&state, 3) };
        state.answer(0, Answer::Look(Box::new(now)));
        press(&mut state, &[Key::Char('c')]);
        assert_eq!(state.prompt, None, "what has ended cannot be cut");
        assert_eq!(press(&mut state, &[Key::Escape]), Action::Tap);
        assert!(state.detail.is_none());
    }

    #[test]
    fn ctrl_c_leaves_wherever_one_is() {
        for keys in [&[][..], &[Key::Char('/')], &[Key::Char('c')], &[Key::Enter], &[Key::Char('?')]] {
            let mut state = state(1);
            for key in keys {
                state.key(*key);
            }
            assert_eq!(state.key(Key::Interrupt), Action::Quit);
            assert_eq!(state.key(Key::Suspend), Action::Suspend);
        }
        assert_eq!(state(1).key(Key::Char('q')), Action::Quit);
    }
}
