//! `slicer`.

use crate::session::faults::{
    kind::{Attribute, FaultPlace, KindPage},
    kinds::noop::Noop,
};

pub static PAGE: KindPage = KindPage {
    about: "",
    attributes: &[
        Attribute::bytes("average_size"),
        Attribute::bytes("size_variation"),
        Attribute::microseconds("delay"),
    ],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|_| Box::new(Noop)),
};
