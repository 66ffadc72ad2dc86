//! `cut`: at a byte of the stream, or after a while, the session ends for both peers.
//!
//! On TCP: true. FIN comes after exactly that byte, as of a program that has closed; RST as of one that has died. A cable
//! that is unplugged sends neither: that is `timeout` 0, in both streams.

use crate::session::faults::{
    fault::{Values, ms_as_ns},
    kind::{Attribute, FaultPlace, KindPage},
    stage::{FaultEnd, Flow, Stage},
};

pub static PAGE: KindPage = KindPage {
    about: "ends the session after bytes or time, which comes first: by FIN, or by RST if reset is 1",
    attributes: &[Attribute::bytes("bytes"), Attribute::milliseconds("time"), Attribute::flag("reset")],
    check: |values| match values {
        [0, 0, _] => Err("it has bytes, or time, or both: else it would never cut".to_owned()),
        _ => Ok(()),
    },
    place: FaultPlace::Direction(|values| Box::new(Cut { values, passed: 0 })),
};

struct Cut {
    values: Values,
    passed: u64,
}

impl Stage for Cut {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        let [bytes, time, reset] = self.values;
        let (at_bytes, at_time) = match reset {
            0 => (FaultEnd::Fin, FaultEnd::Fin),
            _ => (FaultEnd::Abort, FaultEnd::Reset),
        };
        if time > 0 {
            let due_ns = flow.since_ns.saturating_add(ms_as_ns(time));
            if due_ns <= flow.now_ns {
                return flow.end(at_time);
            }
            flow.wake_at(due_ns);
        }
        loop {
            let left = if bytes == 0 { u64::MAX } else { bytes.saturating_sub(self.passed) };
            if left == 0 {
                return flow.end(at_bytes);
            }
            if flow.input.is_empty() || flow.output.is_full() {
                return;
            }
            self.passed += flow.pass_part(left, flow.now_ns);
        }
    }

    fn update(&mut self, values: Values) {
        self.values = values;
    }
}
