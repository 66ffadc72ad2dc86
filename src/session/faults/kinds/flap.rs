//! `flap`.

use crate::session::faults::kind::{Attribute, FaultPlace, KindPage};

pub static PAGE: KindPage = KindPage {
    about: "",
    attributes: &[Attribute::milliseconds("up"), Attribute::milliseconds("down")],
    check: |_| Ok(()),
    place: FaultPlace::Listener,
};
