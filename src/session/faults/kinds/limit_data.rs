//! `limit_data`: passes a number of bytes, and then ends both streams.
//!
//! On TCP: the receiver gets a clean end too early, as of a sender that has given up. The count stays when the limit changes.

use crate::session::faults::{
    fault::Values,
    kind::{Attribute, FaultPlace, KindPage},
    stage::{FaultEnd, Flow, Stage},
};

pub static PAGE: KindPage = KindPage {
    about: "ends both streams once bytes have passed; with 0, at the first byte",
    attributes: &[Attribute::bytes("bytes")],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|values| Box::new(LimitData { values, passed: 0 })),
};

struct LimitData {
    values: Values,
    passed: u64,
}

impl Stage for LimitData {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        loop {
            let has_begun = self.passed > 0 || flow.bytes_are_next();
            let left = self.values[0].saturating_sub(self.passed);
            if left == 0 && has_begun {
                return flow.end(FaultEnd::Fin);
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
