//! What a supervisor is asked by an operator, and the answers. Nothing here waits for the asker.

use super::{Message, Supervisor};
use crate::{
    mailbox::{Address, mailbox},
    observe::{history::Totals, record::Record, verdict::Ended},
};
use std::sync::Arc;

/// A question, with a mailbox of one place for its answer.
pub(super) enum Question {
    /// The records of all live sessions.
    List(Address<Vec<Arc<Record>>>),
    /// The record of one.
    Find(u64, Address<Option<Arc<Record>>>),
    /// The last sessions that ended.
    Closed(usize, Address<Vec<Arc<Ended>>>),
    /// One that ended.
    Ended(u64, Address<Option<Arc<Ended>>>),
    /// Sums.
    Totals(Address<Overview>),
}

/// The sums of all sessions, and what goes on just now.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Of all sessions; bytes of live ones are counted as far as they are.
    pub totals: Totals,
    /// Live sessions.
    pub live: usize,
    /// A drain has begun.
    pub draining: bool,
}

impl Supervisor {
    /// The records of all live sessions, in the order of their numbers; none where the supervisor has ended.
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

    /// A session that ended, where it is remembered.
    pub async fn ended(&self, id: u64) -> Option<Arc<Ended>> {
        self.ask(|reply| Question::Ended(id, reply)).await.flatten()
    }

    /// Sums; none where the supervisor has ended.
    pub async fn overview(&self) -> Option<Overview> {
        self.ask(Question::Totals).await
    }

    /// Asks, and waits for the answer; none where the supervisor has ended.
    async fn ask<T: 'static>(&self, question: impl FnOnce(Address<T>) -> Question) -> Option<T> {
        let (reply, mut answer) = mailbox(1);
        self.address.send(Message::Ask(question(reply))).await.ok()?;
        answer.next().await
    }
}
