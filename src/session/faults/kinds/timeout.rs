//! `timeout`: takes all bytes away, and ends both streams some time after it began to act on the session. With 0 it never
//! does: that is a black hole. If it goes, bytes are missing, and so the session ends too.
//!
//! On TCP: the sender's bytes are acknowledged, and nothing comes back, as of a peer that has stopped answering. A route
//! that is lost would acknowledge nothing.

use crate::session::faults::{
    fault::{Values, ms_as_ns},
    held::{Held, HeldPart},
    kind::{Attribute, FaultPlace, KindPage},
    stage::{FaultEnd, Flow, Stage},
};

pub static PAGE: KindPage = KindPage {
    about: "takes all bytes away, and ends both streams after timeout, or never if that is 0",
    attributes: &[Attribute::milliseconds("timeout")],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|values| Box::new(Timeout { values })),
};

struct Timeout {
    values: Values,
}

impl Stage for Timeout {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        let due_ns = flow.since_ns.saturating_add(ms_as_ns(self.values[0]));
        if self.values[0] > 0 && due_ns <= flow.now_ns {
            return flow.end(FaultEnd::Fin);
        }
        while let Some(first) = flow.input.front() {
            if let Held { part: HeldPart::Bytes(_), .. } = first {
                flow.swallow_next();
                flow.show();
            } else if !flow.pass_next(flow.now_ns) {
                break;
            }
        }
        if self.values[0] > 0 {
            flow.wake_at(due_ns);
        }
    }

    fn update(&mut self, values: Values) {
        self.values = values;
    }

    fn leave(&mut self) -> Option<FaultEnd> {
        Some(FaultEnd::Fin)
    }
}
