//! `reset_peer`: some time after the first bytes or the end of the stream came, both peers are reset. It takes away what
//! comes until then.
//!
//! On TCP: true. Both peers get an RST, and what they had not yet read may go with it.

use crate::session::faults::{
    fault::{Values, ms_as_ns},
    held::{Held, HeldPart},
    kind::{Attribute, FaultPlace, KindPage},
    stage::{FaultEnd, Flow, Stage},
};

pub static PAGE: KindPage = KindPage {
    about: "resets both peers timeout after the first bytes or the end came",
    attributes: &[Attribute::milliseconds("timeout")],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|values| Box::new(ResetPeer { values, first_ns: None })),
};

struct ResetPeer {
    values: Values,
    /// When the first bytes or the end came.
    first_ns: Option<u64>,
}

impl Stage for ResetPeer {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        while let Some(first) = flow.input.front() {
            match first {
                // Its sender has reset the connection: that is told, and not this.
                Held { part: HeldPart::Abort, .. } => {
                    flow.pass_next(flow.now_ns);
                    return;
                }
                Held { part: HeldPart::Fin, came_ns } => {
                    self.first_ns.get_or_insert(*came_ns);
                    break;
                }
                Held { part: HeldPart::Bytes(_), came_ns } => {
                    self.first_ns.get_or_insert(*came_ns);
                    flow.swallow_next();
                }
            }
        }
        let Some(first_ns) = self.first_ns else { return };
        let due_ns = first_ns.saturating_add(ms_as_ns(self.values[0]));
        if due_ns <= flow.now_ns {
            flow.end(FaultEnd::Reset);
        } else {
            flow.wake_at(due_ns);
        }
    }

    fn update(&mut self, values: Values) {
        self.values = values;
    }

    /// Where bytes are missing, the session cannot go on.
    fn leave(&mut self) -> Option<FaultEnd> {
        self.first_ns.map(|_| FaultEnd::Reset)
    }
}
