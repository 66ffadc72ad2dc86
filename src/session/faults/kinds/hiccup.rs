//! `hiccup`: now and then a piece is held, and everything behind it waits. If the next one is held too, it is for twice as
//! long, and so on.
//!
//! On TCP: this is what the loss of packets looks like above it. The segment comes again after the retransmission timer, which
//! doubles (RFC 6298 §5.5), and what came meanwhile waits for it. No byte is ever missing.

use crate::session::faults::{
    fault::{Values, ms_as_ns},
    kind::{Attribute, FaultPlace, KindPage},
    stage::{FaultEnd, Flow, Stage},
};

pub static PAGE: KindPage = KindPage {
    about: "holds percent of the pieces for pause, and all behind them; twice as long each time that it repeats at once",
    attributes: &[Attribute::percent("percent"), Attribute::milliseconds("pause")],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|values| Box::new(Hiccup { values, due_ns: None, repeated: 0, left_ns: 0 })),
};

/// As from the first retransmission timer of 1 s to the longest of some 60 s (RFC 6298 §2).
const DOUBLINGS_MAX: u32 = 6;

struct Hiccup {
    values: Values,
    /// When the first piece may leave, once that is drawn.
    due_ns: Option<u64>,
    /// Pieces that were held one after the other.
    repeated: u32,
    /// When the last piece left.
    left_ns: u64,
}

impl Hiccup {
    /// When the piece that came at `came_ns` and is first may leave.
    fn draw(&mut self, came_ns: u64, draw: u64) -> u64 {
        let [percent, pause, _] = self.values;
        let ready_ns = came_ns.max(self.left_ns);
        if draw >= percent {
            self.repeated = 0;
            return ready_ns;
        }
        let pause_ns = ms_as_ns(pause).saturating_mul(1 << self.repeated.min(DOUBLINGS_MAX));
        self.repeated = self.repeated.saturating_add(1);
        ready_ns.saturating_add(pause_ns)
    }
}

impl Stage for Hiccup {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        while let Some(first) = flow.input.front() {
            let (came_ns, is_end) = (first.came_ns, first.count() == 0);
            let due_ns = match self.due_ns {
                Some(due_ns) => due_ns,
                None if is_end => came_ns.max(self.left_ns),
                None => self.draw(came_ns, flow.lot.up_to(99)),
            };
            self.due_ns = Some(due_ns);
            if due_ns > flow.now_ns {
                flow.show();
                return flow.wake_at(due_ns);
            }
            if !flow.pass_next(due_ns) {
                return;
            }
            (self.due_ns, self.left_ns) = (None, due_ns);
        }
    }

    fn update(&mut self, values: Values) {
        self.values = values;
        self.due_ns = None;
    }

    fn leave(&mut self) -> Option<FaultEnd> {
        self.due_ns = None;
        None
    }
}
