//! `window`.

use crate::session::faults::kind::{Attribute, FaultPlace, KindPage};

pub static PAGE: KindPage = KindPage {
    about: "",
    attributes: &[Attribute::bytes("bytes")],
    check: |_| Ok(()),
    place: FaultPlace::Opening,
};
