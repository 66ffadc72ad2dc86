//! What the screen shows, and what keys and answers make of it. It knows nothing of terminals and sockets.

use crate::{
    control::protocol::{Choice, Sort},
    net::network::Network,
    tools::top::{
        detail::Detail,
        history::History,
        keys::Key,
        link::{Answer, Details, Look},
        page::Page,
        tap::Told,
        text::shown,
    },
};
use serde_json::Value;

/// All that is shown.
pub struct State {
    /// The server's greeting.
    pub greeting: Value,
    /// What `stats` told; nothing before the first look.
    pub stats: Value,
    /// Of throughput and open sessions.
    pub history: History,
    /// The sessions.
    pub page: Page,
    /// One session in place of the page.
    pub detail: Option<Detail>,
    /// What the user is asked.
    pub prompt: Option<Prompt>,
    /// What was last done, until the next key.
    pub notice: Option<String>,
}

/// What the user is asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Prompt {
    /// For a text to filter by; what it was before.
    Filter(String),
    /// Whether to cut this session.
    Cut {
        /// Its number.
        session: u64,
        /// Who it is.
        about: String,
    },
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing but showing what has changed.
    Show,
    /// Look at the server at once.
    Look,
    /// Draw all again.
    Redraw,
    /// Let the shell have the terminal.
    Suspend,
    /// Leave.
    Quit,
    /// End a session.
    Cut {
        /// Its number.
        session: u64,
        /// By FIN and not by RST.
        fin: bool,
    },
    /// See to it that what is shown is what is tapped.
    Tap,
}

impl State {
    /// Before the first look.
    #[must_use]
    pub fn new(greeting: Value, sort: Sort, from: Option<Network>) -> Self {
        State {
            greeting,
            stats: Value::Null,
            history: History::default(),
            page: Page::new(sort, from),
            detail: None,
            prompt: None,
            notice: None,
        }
    }

    /// The sessions that are to be asked for; none where only the totals are wanted.
    #[must_use]
    pub fn wanted(&self) -> Choice {
        let wanted = self.page.wanted();
        if self.page.held || self.detail.is_some() { Choice { limit: Some(0), ..wanted } } else { wanted }
    }

    /// A key was pressed.
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
                let Some(session) = self.page.chosen().and_then(|row| row["session"].as_u64()) else {
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
            Some(detail) => Some(&detail.facts).filter(|_| detail.ended.is_none()),
            None => self.page.chosen(),
        };
        if let Some(row) = row
            && let Some(session) = row["session"].as_u64()
        {
            self.prompt = Some(Prompt::Cut { session, about: shown(&row["client"]) });
        }
        Action::Show
    }

    /// The server answered. Whether it is to be asked again at once.
    pub fn answer(&mut self, answer: Answer) -> bool {
        match answer {
            Answer::Look(look) => self.look(*look),
            Answer::Cut { session, refused } => {
                self.notice = Some(refused.unwrap_or_else(|| format!("session {session} was cut")));
                true
            }
        }
    }

    fn look(&mut self, look: Look) -> bool {
        self.history.note(&look.stats);
        self.stats = look.stats;
        if let (Some(detail), Some((session, told))) = (&mut self.detail, look.session)
            && detail.session == session
        {
            match told {
                Details::Alive(facts) => detail.facts = facts,
                Details::Ended(verdict) => detail.ended = Some(verdict),
            }
        }
        if look.choice != self.wanted() {
            // It was asked for before the last key.
            return true;
        }
        look.choice.limit != Some(0) && self.page.take(look.choice, look.rows, look.matching)
    }

    /// The tap of the session that is shown told something.
    pub fn tapped(&mut self, told: Told) {
        if let Some(detail) = &mut self.detail {
            detail.tell(told);
        }
    }
}

#[cfg(test)]
mod tests;
