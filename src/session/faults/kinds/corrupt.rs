//! `corrupt`.

use crate::session::faults::{
    kind::{Attribute, FaultPlace, KindPage},
    kinds::noop::Noop,
};

pub static PAGE: KindPage = KindPage {
    about: "",
    attributes: &[Attribute::bytes("offset"), Attribute::bytes("every"), Attribute::bits("bits")],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|_| Box::new(Noop)),
};
