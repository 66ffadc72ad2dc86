//! `slow_close`: the end of a stream comes later.
//!
//! On TCP: true. The receiver gets a late FIN, as of a sender that is slow to close. An RST is no end, and is not delayed.

use crate::session::faults::{
    fault::{Values, ms_as_ns},
    held::{Held, HeldPart},
    kind::{Attribute, FaultPlace, KindPage},
    stage::{Flow, Stage},
};

pub static PAGE: KindPage = KindPage {
    about: "passes bytes at once, and delays the end of the stream",
    attributes: &[Attribute::milliseconds("delay")],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|values| Box::new(SlowClose { values })),
};

struct SlowClose {
    values: Values,
}

impl Stage for SlowClose {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        while let Some(first) = flow.input.front() {
            let as_of_ns = match first {
                Held { came_ns, part: HeldPart::Fin } => came_ns.saturating_add(ms_as_ns(self.values[0])),
                _ => flow.now_ns,
            };
            if as_of_ns > flow.now_ns {
                flow.show();
                return flow.wake_at(as_of_ns);
            }
            if !flow.pass_next(as_of_ns) {
                return;
            }
        }
    }

    fn update(&mut self, values: Values) {
        self.values = values;
    }
}
