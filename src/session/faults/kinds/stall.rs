//! `stall`: at a byte of the stream it stops reading, for a while or until it is removed. Nothing is lost.
//!
//! On TCP: true. The sender meets a window that is full, as of a peer that hangs. What both kernels and the 64 KiB here have
//! room for is still taken.

use crate::session::faults::{
    fault::{Values, ms_as_ns},
    kind::{Attribute, FaultPlace, KindPage},
    stage::{Flow, Stage},
};

pub static PAGE: KindPage = KindPage {
    about: "stops reading after bytes, for duration, or until it is removed if that is 0",
    attributes: &[Attribute::bytes("bytes"), Attribute::milliseconds("duration")],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|values| {
        Box::new(Stall { values, passed: 0, begun_ns: None, is_over: false })
    }),
};

struct Stall {
    values: Values,
    passed: u64,
    begun_ns: Option<u64>,
    is_over: bool,
}

impl Stage for Stall {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        let [bytes, duration, _] = self.values;
        while !self.is_over {
            let left = bytes.saturating_sub(self.passed);
            if left == 0 {
                let begun_ns = *self.begun_ns.get_or_insert(flow.now_ns);
                let due_ns = begun_ns.saturating_add(ms_as_ns(duration));
                if duration == 0 || due_ns > flow.now_ns {
                    flow.show();
                    flow.stop_intake();
                    if duration > 0 {
                        flow.wake_at(due_ns);
                    }
                    return;
                }
                self.is_over = true;
            } else if flow.input.is_empty() || flow.output.is_full() {
                return;
            } else {
                self.begun_ns = None;
                self.passed += flow.pass_part(left, flow.now_ns);
            }
        }
        flow.pass_all();
    }

    fn update(&mut self, values: Values) {
        self.values = values;
    }
}
