//! `corrupt`: flips bits of a byte, once or again and again. Which bits, the draws of the session say.
//!
//! On TCP: true of a box in between, or of a memory or a disk that is broken. A broken wire does not come through like this:
//! TCP's checksum would catch it.

use crate::{
    runtime::random::Lot,
    session::faults::{
        fault::Values,
        held::{Held, HeldPart},
        kind::{Attribute, FaultPlace, KindPage},
        stage::{Flow, Stage},
    },
};

pub static PAGE: KindPage = KindPage {
    about: "flips bits of the byte at offset, and of one byte in each run of every bytes after it",
    attributes: &[Attribute::bytes("offset"), Attribute::bytes("every"), Attribute::bits("bits")],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|values| Box::new(Corrupt { values, passed: 0 })),
};

struct Corrupt {
    values: Values,
    passed: u64,
}

impl Corrupt {
    /// The first byte to be changed from `place` in the stream on.
    fn next_from(&self, place: u64) -> Option<u64> {
        let [offset, every, _] = self.values;
        match place.checked_sub(offset) {
            None | Some(0) => Some(offset),
            Some(_) if every == 0 => None,
            Some(beyond) => offset.checked_add(beyond.div_ceil(every).checked_mul(every)?),
        }
    }

    /// Which bits are flipped.
    fn mask(&self, lot: &mut Lot) -> u8 {
        let count = u32::try_from(self.values[2]).unwrap_or(u8::BITS).clamp(1, u8::BITS);
        let mut mask = 0_u8;
        while mask.count_ones() < count {
            mask |= 1 << lot.up_to(u64::from(u8::BITS - 1));
        }
        mask
    }
}

impl Stage for Corrupt {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        while !flow.output.is_full()
            && let Some(mut held) = flow.input.pop()
        {
            let end = self.passed.saturating_add(held.count() as u64);
            if let Held { part: HeldPart::Bytes(run), .. } = &mut held {
                let bytes = run.bytes_mut();
                let mut place = self.passed;
                while let Some(next) = self.next_from(place).filter(|next| *next < end) {
                    // It is within the run, which memory holds.
                    bytes[(next - self.passed) as usize] ^= self.mask(flow.lot);
                    flow.show();
                    place = next + 1;
                }
            }
            self.passed = end;
            flow.pass(held, flow.now_ns);
        }
    }

    fn update(&mut self, values: Values) {
        self.values = values;
    }
}
