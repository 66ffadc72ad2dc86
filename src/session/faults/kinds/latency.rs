//! `latency`: what comes leaves later, and so does the end. The rate stays: what comes in between waits beside it.
//!
//! On TCP: true as far as the stream goes. The connection's own round trip stays as it was: connect() is as fast, and the
//! sender's bytes are acknowledged before they leave here.

use crate::session::faults::{
    fault::{Values, ms_as_ns},
    held::HELD_MAX,
    kind::{Attribute, FaultPlace, KindPage},
    stage::{FaultEnd, Flow, Stage},
};
use std::collections::VecDeque;

pub static PAGE: KindPage = KindPage {
    about: "delays all bytes and the end by latency, more or less by up to jitter",
    attributes: &[Attribute::milliseconds("latency"), Attribute::milliseconds("jitter")],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|values| Box::new(Latency { values, due_ns: VecDeque::new() })),
};

struct Latency {
    values: Values,
    /// When each of those that wait may leave; order is kept, so that one waits for those before it.
    due_ns: VecDeque<u64>,
}

impl Stage for Latency {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        let [latency, jitter, _] = self.values.map(ms_as_ns);
        for held in flow.input.runs().skip(self.due_ns.len()) {
            let drawn = latency.saturating_add(flow.lot.up_to(jitter.saturating_mul(2)));
            let due = held.came_ns.saturating_add(drawn.saturating_sub(jitter));
            self.due_ns.push_back(self.due_ns.back().map_or(due, |before| due.max(*before)));
        }
        while let Some(due) = self.due_ns.front().copied() {
            if due > flow.now_ns {
                flow.show();
                return flow.wake_at(due);
            }
            if flow.output.is_full() {
                return flow.is_late_since(due);
            }
            self.due_ns.pop_front();
            if let Some(held) = flow.input.pop() {
                flow.pass(held, due);
            }
        }
    }

    /// A second's worth of a fast link, and no more than a direction may hold.
    fn room(&self) -> usize {
        HELD_MAX
    }

    fn update(&mut self, values: Values) {
        self.values = values;
        self.due_ns.clear();
    }

    fn leave(&mut self) -> Option<FaultEnd> {
        self.due_ns.clear();
        None
    }
}
