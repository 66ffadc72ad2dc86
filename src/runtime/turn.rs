//! Turns for work that computes for long, as a handshake does: of all the tasks of a shard that ask for one, one goes on
//! between two looks for events. So what has come waits for one such piece of work, not for as many as there are peers who
//! ask for it at once.

use crate::runtime::shard::Shard;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// The tasks of a shard that wait for their turn, in the order in which they asked.
#[derive(Default)]
pub(super) struct Turns(RefCell<VecDeque<Rc<Turn>>>);

struct Turn {
    has_come: Cell<bool>,
    waker: RefCell<Waker>,
}

/// A task's wait for its turn, if it waits.
#[derive(Default)]
pub struct LongTurn(Option<Rc<Turn>>);

/// Waits until this task may compute for long; outside a shard it may at once.
pub async fn long_turn() {
    let mut turn = LongTurn::default();
    poll_fn(|context| turn.poll(context)).await;
}

impl LongTurn {
    /// As [`long_turn`]; once a turn has come, the next call asks for another.
    pub fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let Some(shard) = Shard::here() else { return Poll::Ready(()) };
        let turn = self.0.get_or_insert_with(|| shard.turns.ask(context.waker().clone()));
        if turn.has_come.get() {
            self.0 = None;
            return Poll::Ready(());
        }
        turn.waker.borrow_mut().clone_from(context.waker());
        Poll::Pending
    }
}

impl Turns {
    fn ask(&self, waker: Waker) -> Rc<Turn> {
        let turn = Rc::new(Turn { has_come: Cell::new(false), waker: RefCell::new(waker) });
        self.0.borrow_mut().push_back(turn.clone());
        turn
    }

    pub(super) fn are_awaited(&self) -> bool {
        !self.0.borrow().is_empty()
    }

    /// Wakes the task whose turn it is.
    pub(super) fn give_next(&self) {
        // One whose task has gone is nobody's turn.
        let next =
            std::iter::from_fn(|| self.0.borrow_mut().pop_front()).find(|turn| Rc::strong_count(turn) > 1);
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

    #[test]
    fn between_two_turns_every_other_task_that_is_ready_goes_on() {
        let log = Rc::new(RefCell::new(String::new()));
        run(async {
            let tasks: Vec<_> = (0..5)
                .map(|_| {
                    let log = log.clone();
                    spawn(async move {
                        for _ in 0..3 {
                            long_turn().await;
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
            let gone = spawn(long_turn());
            let stays = spawn(long_turn());
            yield_now().await;
            drop(gone);
            stays.await.unwrap();
            assert!(!Shard::here().unwrap().turns.are_awaited());
        })
        .unwrap();
    }
}
