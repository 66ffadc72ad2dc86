//! What the screen shows, and what keys and answers make of it. It knows nothing of terminals and sockets.

use crate::{
    control::protocol::{Choice, Greeting, ServerStats, Sort},
    net::network::Network,
    tools::top::{
        detail::Detail,
        history::History,
        keyboard::Key,
        link::{Answer, Details, Look, Tapped},
        table::Page,
    },
};

pub struct State {
    pub greeting: Greeting,
    /// None before the first look.
    pub stats: Option<ServerStats>,
    pub history: History,
    pub page: Page,
    /// One session in place of the page.
    pub detail: Option<Detail>,
    pub prompt: Option<Prompt>,
    /// What was last done, until the next key.
    pub notice: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Prompt {
    /// For a text to filter by; what it was before.
    Filter(String),
    /// Whether to cut this session.
    Cut { session: u64, about: String },
}

#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing but showing what has changed.
    Show,
    /// Look at the server at once.
    Look,
    Redraw,
    /// Let the shell have the terminal.
    Suspend,
    Quit,
    Cut {
        session: u64,
        fin: bool,
    },
    /// See to it that what is shown is what is tapped.
    Tap,
}

impl State {
    /// Before the first look.
    pub fn new(greeting: Greeting, sort: Sort, from: Option<Network>) -> Self {
        State {
            greeting,
            stats: None,
            history: History::default(),
            page: Page::new(sort, from),
            detail: None,
            prompt: None,
            notice: None,
        }
    }

    /// The sessions to ask for; none if only the totals are wanted.
    pub fn wanted(&self) -> Choice {
        let wanted = self.page.wanted();
        if self.page.held || self.detail.is_some() { Choice { limit: Some(0), ..wanted } } else { wanted }
    }

    pub fn key(&mut self, key: Key) -> Action {
        self.notice = None;
        match (key, &self.prompt) {
            (Key::Interrupt, _) => Action::Quit,
            (Key::Suspend, _) => Action::Suspend,
            (Key::Redraw, _) => Action::Redraw,
            (key, Some(Prompt::Cut { session, .. })) => {
                let session = *session;
                self.prompt = None;
                match key {
                    Key::Char('y' | 'Y') => Action::Cut { session, fin: false },
                    Key::Char('f' | 'F') => Action::Cut { session, fin: true },
                    _ => Action::Show,
                }
            }
            (key, Some(Prompt::Filter(_))) => self.filter_key(key),
            (Key::Char('q'), None) => Action::Quit,
            (Key::Char('c'), None) => self.ask_cut(),
            (key, None) if self.detail.is_some() => self.detail_key(key),
            (key, None) => self.page_key(key),
        }
    }

    fn page_key(&mut self, key: Key) -> Action {
        if let Some(another) = self.page.move_by(key) {
            return if another { Action::Look } else { Action::Show };
        }
        match key {
            Key::Char('s') => self.page.sort_by_next(),
            Key::Char('r') => self.page.reverse(),
            Key::Char(' ') => self.page.held = !self.page.held,
            Key::Escape => self.page.filter(""),
            Key::Char('/') => {
                self.prompt = Some(Prompt::Filter(self.page.choice.matching.clone()));
                return Action::Show;
            }
            Key::Enter => {
                let Some(session) = self.page.chosen().map(|row| row.session) else {
                    return Action::Show;
                };
                self.detail = Some(Detail::new(session));
                return Action::Tap;
            }
            _ => return Action::Show,
        }
        Action::Look
    }

    fn filter_key(&mut self, key: Key) -> Action {
        let mut text = self.page.choice.matching.clone();
        match key {
            Key::Char(c) => text.push(c),
            Key::Backspace => drop(text.pop()),
            Key::Clear => text.clear(),
            Key::Enter => {
                self.prompt = None;
                return Action::Show;
            }
            Key::Escape => {
                if let Some(Prompt::Filter(before)) = self.prompt.take() {
                    text = before;
                }
            }
            _ => return Action::Show,
        }
        self.page.filter(&text);
        Action::Look
    }

    fn detail_key(&mut self, key: Key) -> Action {
        let Some(detail) = &mut self.detail else { return Action::Show };
        match key {
            Key::Escape | Key::Enter | Key::Backspace => {
                self.detail = None;
                Action::Tap
            }
            Key::Char('t') => {
                detail.tapped = !detail.tapped;
                detail.tap_over = None;
                Action::Tap
            }
            Key::Char('h') => {
                detail.hex = !detail.hex;
                Action::Show
            }
            _ => Action::Show,
        }
    }

    fn ask_cut(&mut self) -> Action {
        let row = match &self.detail {
            Some(detail) if detail.ended.is_some() => None,
            Some(detail) => detail.facts.as_ref().map(|facts| &facts.listed),
            None => self.page.chosen(),
        };
        if let Some(row) = row {
            self.prompt = Some(Prompt::Cut { session: row.session, about: row.client.to_string() });
        }
        Action::Show
    }

    /// The server answered; says whether to ask it again at once.
    pub fn answer(&mut self, answer: Answer) -> bool {
        match answer {
            Answer::Look(look) => self.look(*look),
            Answer::Cut { session, refused } => {
                let refused = refused.map(|reason| reason.to_string());
                self.notice = Some(refused.unwrap_or_else(|| format!("session {session} was cut")));
                true
            }
        }
    }

    fn look(&mut self, look: Look) -> bool {
        if let Some(stats) = look.stats {
            self.history.note(&stats);
            self.stats = Some(stats);
        }
        if let (Some(detail), Some((session, told))) = (&mut self.detail, look.session)
            && detail.session == session
        {
            match told {
                Details::Alive(facts) => detail.facts = Some(*facts),
                Details::Ended(verdict) => detail.ended = Some(verdict),
            }
        }
        if look.choice != self.wanted() {
            // It was asked for before the last key.
            return true;
        }
        look.choice.limit != Some(0) && self.page.take(look.choice, look.rows, look.matching)
    }

    pub fn tapped(&mut self, told: Tapped) {
        if let Some(detail) = &mut self.detail {
            detail.tell(told);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{ListedSession, SessionDetail};
    use serde_json::{from_value, json};

    #[test]
    fn an_answer_to_what_is_not_wanted_any_more_is_followed_by_another_look() {
        let mut state = state(25);
        let old = look(&state, 25);
        assert_eq!(press(&mut state, &[Key::PageDown, Key::PageDown]), Action::Look);
        assert!(state.answer(Answer::Look(Box::new(old))));
        // Nothing is chosen before the page is there.
        assert_eq!(press(&mut state, &[Key::Char('c'), Key::Enter]), Action::Show);
        assert!(state.prompt.is_none() && state.detail.is_none());
        assert!(!see(&mut state, 25));
        assert_eq!(press(&mut state, &[Key::Enter]), Action::Tap);
        assert_eq!(state.detail.map(|detail| detail.session), Some(21));
    }

    /// A state that has seen a server with this number of sessions, with room for ten of them.
    fn state(sessions: usize) -> State {
        let mut state =
            State::new(from_value(json!({"switchboard": 1, "mode": "proxy"})).unwrap(), Sort::Rate, None);
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
        state.answer(Answer::Look(Box::new(look(state, sessions))))
    }

    fn press(state: &mut State, keys: &[Key]) -> Action {
        keys.iter().map(|key| state.key(*key)).last().unwrap()
    }

    #[test]
    fn a_session_is_cut_after_a_yes_and_only_the_one_that_was_asked_for() {
        let mut state = state(3);
        press(&mut state, &[Key::Down, Key::Char('c')]);
        assert_eq!(state.prompt, Some(Prompt::Cut { session: 2, about: "127.0.0.1:2".into() }));
        // The table moves on; the question does not.
        state.page.rows.remove(0);
        assert_eq!(press(&mut state, &[Key::Char('y')]), Action::Cut { session: 2, fin: false });
        for key in [Key::Char('n'), Key::Enter, Key::Escape, Key::Char(' '), Key::Char('q')] {
            assert_eq!(press(&mut state, &[Key::Char('c'), key]), Action::Show, "{key:?}");
            assert_eq!(state.prompt, None);
        }
        assert!(matches!(
            press(&mut state, &[Key::Char('c'), Key::Char('f')]),
            Action::Cut { fin: true, .. }
        ));
        assert!(state.answer(Answer::Cut { session: 2, refused: Some("there is no session 2".into()) }));
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
    fn the_order_goes_round_and_turns() {
        let mut state = state(3);
        let mut seen = Vec::new();
        for _ in 0..4 {
            assert_eq!(press(&mut state, &[Key::Char('s')]), Action::Look);
            seen.push(state.page.choice.sort);
        }
        assert_eq!(seen, [Sort::Bytes, Sort::Idle, Sort::Age, Sort::Rate]);
        press(&mut state, &[Key::Char('r')]);
        assert!(state.wanted().reverse);
    }

    #[test]
    fn a_table_that_is_held_stays_while_the_totals_go_on() {
        let mut state = state(3);
        press(&mut state, &[Key::Char(' ')]);
        assert_eq!(state.wanted().limit, Some(0));
        let mut now = look(&state, 9);
        now.stats = Some(ServerStats { live: 9, ..ServerStats::default() });
        assert!(!state.answer(Answer::Look(Box::new(now))));
        let live = state.stats.as_ref().map(|stats| stats.live);
        assert_eq!((state.page.rows.len(), state.page.matching, live), (3, 3, Some(9)));
        press(&mut state, &[Key::Char(' ')]);
        see(&mut state, 9);
        assert_eq!(state.page.rows.len(), 9);
    }

    #[test]
    fn details_are_those_of_the_chosen_session_until_they_are_left() {
        let mut state = state(3);
        assert_eq!(press(&mut state, &[Key::Down, Key::Enter]), Action::Tap);
        assert_eq!(state.detail.as_ref().map(|detail| (detail.session, detail.tapped)), Some((2, true)));
        let alive = |number: u64| {
            let mut detail = SessionDetail::default();
            (detail.listed.session, detail.listed.client) = (number, "127.0.0.1:2".into());
            (number, Details::Alive(Box::new(detail)))
        };
        let another = |number: u64| (number, Details::Ended("another".into()));
        for told in [alive(2), alive(1), another(1)] {
            let now = Look { session: Some(told), ..look(&state, 3) };
            state.answer(Answer::Look(Box::new(now)));
        }
        assert_eq!(state.detail.as_ref().unwrap().facts.as_ref().unwrap().listed.session, 2);
        press(&mut state, &[Key::Char('c')]);
        assert_eq!(state.prompt, Some(Prompt::Cut { session: 2, about: "127.0.0.1:2".into() }));
        press(&mut state, &[Key::Char('n')]);
        assert_eq!(press(&mut state, &[Key::Char('t')]), Action::Tap);
        assert!(!state.detail.as_ref().unwrap().tapped);
        let now = Look { session: Some((2, Details::Ended("it is over".into()))), ..look(&state, 3) };
        state.answer(Answer::Look(Box::new(now)));
        press(&mut state, &[Key::Char('c')]);
        assert_eq!(state.prompt, None, "what has ended cannot be cut");
        assert_eq!(press(&mut state, &[Key::Escape]), Action::Tap);
        assert!(state.detail.is_none());
    }

    #[test]
    fn ctrl_c_leaves_wherever_one_is() {
        for keys in [&[][..], &[Key::Char('/')], &[Key::Char('c')], &[Key::Enter]] {
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
