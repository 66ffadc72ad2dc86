//! Turns for work that computes for long, as a handshake does: of all the tasks of a shard that ask for one, one goes on
//! between two looks for events. So what has come waits for one such piece of work, not for as many as there are peers who
//! ask for it at once. While turns are awaited, those looks come often (`shard.rs`): the others' work is no longer either.

use crate::runtime::shard::Shard;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    iter,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// The tasks of a shard that wait for their turn, in the order in which they asked; first those that go on with what has begun,
/// so that under load some of it ends in time, not all too late.
#[derive(Default)]
pub(super) struct Turns([RefCell<VecDeque<Rc<Turn>>>; 2]);

struct Turn {
    has_come: Cell<bool>,
    waker: RefCell<Waker>,
}

/// A task's wait for its turn, if it waits.
#[derive(Default)]
pub struct LongTurn(Option<Rc<Turn>>);

/// Waits until this task may compute for long; outside a shard it may at once. `goes_on` says that it has had a turn for the
/// same piece of work.
pub async fn long_turn(goes_on: bool) {
    let mut turn = LongTurn::default();
    poll_fn(|context| turn.poll_as(goes_on, context)).await;
}

impl LongTurn {
    /// As [`long_turn`] for work that begins; once a turn has come, the next call asks for another.
    pub fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        self.poll_as(false, context)
    }

    fn poll_as(&mut self, goes_on: bool, context: &Context<'_>) -> Poll<()> {
        let Some(shard) = Shard::here() else { return Poll::Ready(()) };
        let turn = self.0.get_or_insert_with(|| shard.turns.ask(goes_on, context.waker().clone()));
        if turn.has_come.get() {
            self.0 = None;
            return Poll::Ready(());
        }
        turn.waker.borrow_mut().clone_from(context.waker());
        Poll::Pending
    }
}

impl Turns {
    fn ask(&self, goes_on: bool, waker: Waker) -> Rc<Turn> {
        let turn = Rc::new(Turn { has_come: Cell::new(false), waker: RefCell::new(waker) });
        let [first, last] = &self.0;
        if goes_on { first } else { last }.borrow_mut().push_back(turn.clone());
        turn
    }

    pub(super) fn are_awaited(&self) -> bool {
        self.0.iter().any(|turns| !turns.borrow().is_empty())
    }

    /// Wakes the task whose turn it is.
    pub(super) fn give_next(&self) {
        // One whose task has gone is nobody's turn.
        let mut all = self.0.iter().flat_map(|turns| iter::from_fn(|| turns.borrow_mut().pop_front()));
        let next = all.find(|turn| Rc::strong_count(turn) > 1);
        if let Some(turn) = next {
            turn.has_come.set(true);
            turn.waker.borrow().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{
        shard::run,
        task::{spawn, yield_now},
    };
    use std::time::{Duration, Instant};

    #[test]
    fn between_two_turns_every_other_task_that_is_ready_goes_on() {
        let log = Rc::new(RefCell::new(String::new()));
        run(async {
            let tasks: Vec<_> = (0..5)
                .map(|_| {
                    let log = log.clone();
                    spawn(async move {
                        for _ in 0..3 {
                            long_turn(false).await;
                            log.borrow_mut().push('L');
                        }
                    })
                })
                .collect();
            let busy = log.clone();
            // It always has something to do, which keeps no turn from coming.
            let _busy = spawn(async move {
                loop {
                    busy.borrow_mut().push('s');
                    yield_now().await;
                }
            });
            for task in tasks {
                task.await.unwrap();
            }
        })
        .unwrap();
        let log = log.borrow();
        assert_eq!(log.matches('L').count(), 15);
        assert!(!log.contains("LL"), "{log}");
    }

    #[test]
    fn a_task_that_has_gone_takes_no_turn() {
        run(async {
            let gone = spawn(long_turn(false));
            let stays = spawn(long_turn(false));
            yield_now().await;
            drop(gone);
            stays.await.unwrap();
            assert!(!Shard::here().unwrap().turns.are_awaited());
        })
        .unwrap();
    }

    /// What tasks note of their turns, one letter each.
    async fn turn_of(letter: char, goes_on: bool, log: Rc<RefCell<String>>) {
        long_turn(goes_on).await;
        log.borrow_mut().push(letter);
    }

    #[test]
    fn what_has_begun_goes_on_before_what_begins() {
        let log = Rc::new(RefCell::new(String::new()));
        run(async {
            let asked = [('b', false), ('B', true), ('c', false), ('C', true)];
            let tasks: Vec<_> =
                asked.map(|(letter, goes_on)| spawn(turn_of(letter, goes_on, log.clone()))).into();
            for task in tasks {
                task.await.unwrap();
            }
        })
        .unwrap();
        assert_eq!(*log.borrow(), "BCbc");
    }

    #[test]
    fn turns_come_also_if_every_other_task_works_for_long() {
        const TURNS: u32 = 30;
        let polls = Rc::new(Cell::new(0));
        run(async {
            let busy = |_| {
                let polls = polls.clone();
                spawn(async move {
                    loop {
                        polls.set(polls.get() + 1);
                        let begin = Instant::now();
                        while begin.elapsed() < Duration::from_micros(200) {}
                        yield_now().await;
                    }
                })
            };
            let _busy: Vec<_> = (0..100).map(busy).collect();
            let asking = (0..TURNS).map(|_| spawn(long_turn(false))).collect::<Vec<_>>();
            for task in asking {
                task.await.unwrap();
            }
        })
        .unwrap();
        // One may have to wait for all of the others once: it is behind them in the queue.
        assert!(polls.get() <= 200 + 10 * TURNS, "{} polls for {TURNS} turns", polls.get());
    }
}
