//! `slicer`: pieces leave in slices, with a pause after each.
//!
//! A piece is halved until no part is larger than average and variation together, as toxiproxy does; where it is halved is
//! off the middle by up to the variation. Parts are made one at a time, so that small ones take no memory before they leave.
//!
//! On TCP: true as far as anything is. Each slice is a write of its own, and mostly a segment; a receiver that reads late
//! finds several as one, for a stream has no pieces.

use crate::{
    runtime::random::Lot,
    session::faults::{
        fault::Values,
        kind::{Attribute, FaultPlace, KindPage},
        stage::{FaultEnd, Flow, Stage},
    },
};

pub static PAGE: KindPage = KindPage {
    about: "passes pieces in slices of average_size, more or less by up to size_variation, and pauses for delay after each",
    attributes: &[
        Attribute::bytes("average_size"),
        Attribute::bytes("size_variation"),
        Attribute::microseconds("delay"),
    ],
    check: |[average, variation, _]| {
        if *average > 0 && variation >= average {
            return Err(format!("size_variation is less than average_size ({average}), and not {variation}"));
        }
        Ok(())
    },
    place: FaultPlace::Direction(|values| Box::new(Slicer { values, parts: Vec::new(), free_ns: 0 })),
};

struct Slicer {
    values: Values,
    /// The parts of the first piece, the next one last.
    parts: Vec<u64>,
    /// When the pause after the last slice is over.
    free_ns: u64,
}

impl Slicer {
    /// The next slice's size of a piece of `bytes`.
    fn next(&mut self, bytes: u64, lot: &mut Lot) -> u64 {
        let [average, variation, _] = self.values;
        let mut part = self.parts.pop().unwrap_or(bytes);
        while average > 0 && part > average.saturating_add(variation) {
            // No part is empty: it is larger than twice the variation.
            let first = part / 2 + lot.up_to(2 * variation) - variation;
            self.parts.push(part - first);
            part = first;
        }
        part
    }
}

impl Stage for Slicer {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        while let Some(first) = flow.input.front() {
            if self.free_ns > flow.now_ns {
                flow.show();
                return flow.wake_at(self.free_ns);
            }
            if flow.output.is_full() {
                return;
            }
            let bytes = first.count() as u64;
            if bytes == 0 {
                flow.pass_next(flow.now_ns);
                continue;
            }
            let slice = self.next(bytes, flow.lot);
            if slice < bytes {
                flow.show();
            }
            flow.pass_part(slice, flow.now_ns);
            self.free_ns = flow.now_ns.saturating_add(self.values[2].saturating_mul(1000));
        }
    }

    fn update(&mut self, values: Values) {
        self.values = values;
        (self.free_ns, self.parts) = (0, Vec::new());
    }

    fn leave(&mut self) -> Option<FaultEnd> {
        (self.free_ns, self.parts) = (0, Vec::new());
        None
    }
}
