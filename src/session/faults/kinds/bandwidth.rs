//! `bandwidth`.

use crate::session::faults::{
    kind::{Attribute, FaultPlace, KindPage},
    kinds::noop::Noop,
};

pub static PAGE: KindPage = KindPage {
    about: "passes bytes at a rate",
    attributes: &[
        Attribute::kilobytes_per_second("rate"),
        Attribute::bytes("burst"),
        Attribute::flag("shared"),
    ],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|_| Box::new(Noop)),
};
