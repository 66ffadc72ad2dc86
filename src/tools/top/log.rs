//! The last of what came, as a reader goes through it: the newest is shown until one goes back.

use std::collections::VecDeque;

pub struct Log<T> {
    items: VecDeque<T>,
    most: usize,
    /// How many were dropped at the begin.
    dropped: u64,
    /// The number of the last item that is shown; none: the newest.
    at: Option<u64>,
}

/// A step of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Back(usize),
    On(usize),
    Begin,
    End,
}

impl<T> Log<T> {
    /// Keeps the last `most` items.
    pub fn new(most: usize) -> Self {
        Log { items: VecDeque::new(), most, dropped: 0, at: None }
    }

    pub fn push(&mut self, item: T) {
        if self.items.len() == self.most {
            self.items.pop_front();
            self.dropped += 1;
        }
        self.items.push_back(item);
    }

    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.items.back_mut()
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.items.iter()
    }

    /// The items down to the last that is shown, this one first.
    pub fn shown(&self) -> impl Iterator<Item = &T> {
        self.items.iter().take(self.place() + 1).rev()
    }

    /// How many came after the last that is shown.
    pub fn behind(&self) -> usize {
        self.items.len().saturating_sub(self.place() + 1)
    }

    /// Whether the newest is shown.
    pub fn follows(&self) -> bool {
        self.at.is_none()
    }

    pub fn step(&mut self, step: Step) {
        let last = self.items.len().saturating_sub(1);
        let place = match step {
            Step::Back(count) => self.place().saturating_sub(count),
            Step::On(count) => self.place().saturating_add(count).min(last),
            Step::Begin => 0,
            Step::End => last,
        };
        self.go_to(place);
    }

    /// Goes to the next item that is meant, backwards or on, and round at the end; false if there is none.
    pub fn search(&mut self, back: bool, is_meant: impl Fn(&T) -> bool) -> bool {
        let count = self.items.len();
        let steps = (1..=count).map(|step| {
            let step = if back { count - step } else { step };
            (self.place() + step) % count
        });
        let found = steps.into_iter().find(|place| is_meant(&self.items[*place]));
        if let Some(place) = found {
            self.at = Some(self.dropped + place as u64);
        }
        found.is_some()
    }

    fn go_to(&mut self, place: usize) {
        let is_last = place + 1 >= self.items.len();
        self.at = (!is_last).then_some(self.dropped + place as u64);
    }

    fn place(&self) -> usize {
        let last = self.items.len().saturating_sub(1);
        self.at.map_or(last, |at| usize::try_from(at.saturating_sub(self.dropped)).unwrap_or(last).min(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(items: std::ops::Range<u32>) -> Log<u32> {
        let mut log = Log::new(10);
        items.for_each(|item| log.push(item));
        log
    }

    fn last(log: &Log<u32>) -> Option<u32> {
        log.shown().next().copied()
    }

    #[test]
    fn who_goes_back_stays_where_they_are_while_more_comes() {
        let mut log = log(0..5);
        assert_eq!((last(&log), log.follows()), (Some(4), true));
        log.step(Step::Back(2));
        log.push(5);
        assert_eq!((last(&log), log.behind(), log.follows()), (Some(2), 3, false));
        log.step(Step::On(9));
        log.push(6);
        assert_eq!((last(&log), log.follows()), (Some(6), true));
        log.step(Step::Begin);
        (7..30).for_each(|item| log.push(item));
        assert_eq!((last(&log), log.len()), (Some(20), 10), "what it was at is gone");
        assert_eq!(last(&Log::new(3)), None);
    }

    #[test]
    fn a_search_goes_round() {
        let mut log = log(0..6);
        let even = |item: &u32| item.is_multiple_of(2);
        for expected in [4, 2, 0, 4] {
            assert!(log.search(true, even));
            assert_eq!(last(&log), Some(expected));
        }
        assert!(log.search(false, |item| *item == 5) && !log.search(false, |item| *item == 9));
        assert_eq!(last(&log), Some(5));
        assert!(!Log::<u32>::new(1).search(true, |_| true));
    }
}
