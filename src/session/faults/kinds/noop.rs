//! `noop`: does nothing. Its sessions are copied all the same, and not spliced: it shows what that costs.

use crate::session::faults::{
    fault::Values,
    kind::{FaultPlace, KindPage},
    stage::{Flow, Stage},
};

pub static PAGE: KindPage = KindPage {
    about: "does nothing",
    attributes: &[],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|_| Box::new(Noop)),
};

pub struct Noop;

impl Stage for Noop {
    fn advance(&mut self, flow: &mut Flow<'_>) {
        flow.pass_all();
    }

    fn update(&mut self, _: Values) {}
}
