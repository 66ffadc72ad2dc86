//! `slow_open`.

use crate::session::faults::kind::{Attribute, FaultPlace, KindPage};

pub static PAGE: KindPage = KindPage {
    about: "",
    attributes: &[Attribute::milliseconds("delay"), Attribute::milliseconds("jitter")],
    check: |_| Ok(()),
    place: FaultPlace::Opening,
};
