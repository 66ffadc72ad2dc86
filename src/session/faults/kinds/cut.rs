//! `cut`.

use crate::session::faults::{
    kind::{Attribute, FaultPlace, KindPage},
    kinds::noop::Noop,
};

pub static PAGE: KindPage = KindPage {
    about: "",
    attributes: &[Attribute::bytes("bytes"), Attribute::milliseconds("time"), Attribute::flag("reset")],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|_| Box::new(Noop)),
};
