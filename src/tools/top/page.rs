//! The page of sessions that is shown, out of all that match: what is asked for, what came, and which one is chosen.

use crate::{
    control::protocol::{Choice, Sort},
    net::network::Network,
    tools::top::keys::Key,
};
use serde_json::Value;

/// Longer than anything to be found; far shorter than a line to the server may be.
const MATCHING_CHARS_MAX: usize = 100;

/// A page of sessions.
pub struct Page {
    /// What is asked for.
    pub choice: Choice,
    /// What came.
    pub rows: Vec<Value>,
    /// What that was asked for with: while it is another page than the wanted one, nothing on it is chosen.
    shown: Choice,
    /// How many sessions there are to choose from.
    pub matching: usize,
    /// The place of the chosen session among those that match.
    pub cursor: usize,
    /// Rows that the screen has room for.
    pub room: usize,
    /// It is held still.
    pub held: bool,
}

impl Page {
    /// Before the first answer.
    #[must_use]
    pub fn new(sort: Sort, from: Option<Network>) -> Self {
        let choice = Choice { sort, from, ..Choice::default() };
        Page { shown: choice.clone(), choice, rows: Vec::new(), matching: 0, cursor: 0, room: 1, held: false }
    }

    /// The place of the first row among the sessions that match.
    #[must_use]
    pub fn first(&self) -> usize {
        self.shown.skip
    }

    /// The session that is chosen; none where there is none, or the page that it is on has not come yet.
    #[must_use]
    pub fn chosen(&self) -> Option<&Value> {
        let limit = self.shown.limit;
        let is_current = Choice { limit, ..self.choice.clone() } == self.shown;
        self.rows.get(self.cursor.checked_sub(self.first())?).filter(|_| is_current)
    }

    /// The page that is to be asked for.
    #[must_use]
    pub fn wanted(&self) -> Choice {
        Choice { limit: Some(self.room), ..self.choice.clone() }
    }

    /// The screen has room for so many rows now.
    pub fn resize(&mut self, room: usize) {
        self.room = room.max(1);
        self.follow_cursor();
    }

    /// Moves the cursor, where the key does that; whether another page is to be asked for.
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

    /// Orders by the next key.
    pub fn sort_by_next(&mut self) {
        self.choice.sort = match self.choice.sort {
            Sort::Rate => Sort::Bytes,
            Sort::Bytes => Sort::Idle,
            Sort::Idle => Sort::Age,
            Sort::Age => Sort::Rate,
        };
        self.begin_again();
    }

    /// Turns the order round.
    pub fn reverse(&mut self) {
        self.choice.reverse = !self.choice.reverse;
        self.begin_again();
    }

    /// Chooses the sessions with this text.
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

    /// A page came that was wanted. Whether another is to be asked for, because there are fewer sessions than before.
    pub fn take(&mut self, choice: Choice, rows: Vec<Value>, matching: usize) -> bool {
        let session = self.chosen().map(|row| row["session"].clone());
        (self.shown, self.rows, self.matching) = (choice, rows, matching);
        // The cursor stays on its session while that is on the page.
        let place = session.and_then(|session| self.rows.iter().position(|row| row["session"] == session));
        self.cursor = place.map_or(self.cursor, |place| self.first() + place);
        self.cursor = self.cursor.min(matching.saturating_sub(1));
        let skip = self.choice.skip;
        self.choice.skip = skip.min(matching.saturating_sub(self.room));
        self.follow_cursor();
        self.choice.skip != skip
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A page with room for ten that shows the first of so many sessions.
    fn page(sessions: u64) -> Page {
        let mut page = Page::new(Sort::Rate, None);
        page.resize(10);
        see(&mut page, sessions);
        page
    }

    /// What a server with so many sessions answers.
    fn see(page: &mut Page, sessions: u64) -> bool {
        let wanted = page.wanted();
        let rows = (1..=sessions).skip(wanted.skip).take(page.room).map(|number| json!({"session": number}));
        page.take(wanted, rows.collect(), sessions.try_into().unwrap())
    }

    fn press(page: &mut Page, keys: &[Key]) -> bool {
        keys.iter().map(|key| page.move_by(*key).unwrap()).last().unwrap()
    }

    fn chosen(page: &Page) -> Option<u64> {
        page.chosen().and_then(|row| row["session"].as_u64())
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
        let rows = |numbers: [u64; 3]| numbers.map(|number| json!({"session": number})).to_vec();
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
}
