//! What a supervisor is asked by an operator, and the answers. Nothing here waits for the asker.

use super::{Actor, Message, Supervisor};
use crate::{
    report::{tally::Tally, verdict::Ended},
    runtime::mailbox::{Address, mailbox},
    session::record::Record,
};
use std::sync::Arc;

/// A question, with a mailbox of one place for its answer.
pub(super) enum Question {
    /// The records of all live sessions.
    List(Address<Vec<Arc<Record>>>),
    Find(u64, Address<Option<Arc<Record>>>),
    /// The last sessions that ended.
    Closed(usize, Address<Vec<Arc<Ended>>>),
    /// One that ended.
    Ended(u64, Address<Option<Arc<Ended>>>),
    /// What needs no look at the sessions.
    State(Address<SupervisorState>),
    /// The books as they stand.
    Overview(Address<Overview>),
    /// To end these sessions, by FIN or by RST; the answer is those that are not there.
    Cut(Vec<u64>, bool, Address<Vec<u64>>),
}

/// The sums of all sessions, live ones included, at one instant: what operators and scrapers are told alike.
#[derive(Clone, Debug)]
pub struct Overview {
    pub tally: Tally,
    pub draining: bool,
}

/// What a supervisor knows without a look at its sessions, of which there may be many.
#[derive(Clone, Copy, Debug)]
pub struct SupervisorState {
    /// Sessions that ever began; they are numbered from 1.
    pub opened: u64,
    pub draining: bool,
}

impl Supervisor {
    /// The records of all live sessions, in the order of their numbers; none if the supervisor has ended.
    pub async fn list(&self) -> Vec<Arc<Record>> {
        let mut records = self.ask(Question::List).await.unwrap_or_default();
        records.sort_unstable_by_key(|record| record.id);
        records
    }

    /// The record of a live session.
    pub async fn find(&self, id: u64) -> Option<Arc<Record>> {
        self.ask(|reply| Question::Find(id, reply)).await.flatten()
    }

    /// The last `count` sessions that ended, the newest last.
    pub async fn closed(&self, count: usize) -> Vec<Arc<Ended>> {
        self.ask(|reply| Question::Closed(count, reply)).await.unwrap_or_default()
    }

    /// A session that ended, if it is remembered.
    pub async fn ended(&self, id: u64) -> Option<Arc<Ended>> {
        self.ask(|reply| Question::Ended(id, reply)).await.flatten()
    }

    /// How far it is; none if the supervisor has ended.
    pub async fn state(&self) -> Option<SupervisorState> {
        self.ask(Question::State).await
    }

    /// Sums; none if the supervisor has ended.
    pub async fn overview(&self) -> Option<Overview> {
        self.ask(Question::Overview).await
    }

    /// Ends sessions by RST, or by `fin` after what is under way; says which of them are not there.
    pub async fn cut_some(&self, ids: Vec<u64>, fin: bool) -> Vec<u64> {
        let all = ids.clone();
        self.ask(|reply| Question::Cut(ids, fin, reply)).await.unwrap_or(all)
    }

    /// Asks, and waits for the answer; none if the supervisor has ended.
    async fn ask<T: 'static>(&self, question: impl FnOnce(Address<T>) -> Question) -> Option<T> {
        let (reply, mut answer) = mailbox(1);
        self.address.send(Message::Ask(question(reply))).await.ok()?;
        answer.next().await
    }
}

impl Actor {
    /// Answers at once; an asker that is gone gets nothing.
    pub(super) fn answer(&mut self, question: Question) {
        match question {
            Question::List(reply) => {
                let _ = reply.try_send(self.live.values().map(|entry| entry.record.clone()).collect());
            }
            Question::Find(id, reply) => {
                let _ = reply.try_send(self.live.get(&id).map(|entry| entry.record.clone()));
            }
            Question::Closed(count, reply) => {
                let _ = reply.try_send(self.history.newest(count));
            }
            Question::Ended(id, reply) => {
                let _ = reply.try_send(self.history.find(id));
            }
            Question::State(reply) => {
                let _ = reply.try_send(SupervisorState { opened: self.last_id, draining: self.draining });
            }
            Question::Overview(reply) => {
                let tally = self.books.tally(self.live.values().map(|entry| &*entry.record));
                let _ = reply.try_send(Overview { tally, draining: self.draining });
            }
            Question::Cut(mut ids, fin, reply) => {
                // One that is named twice is there the first time only.
                ids.sort_unstable();
                ids.dedup();
                ids.retain(|id| !self.cut_one(*id, fin));
                let _ = reply.try_send(ids);
            }
        }
    }
}
