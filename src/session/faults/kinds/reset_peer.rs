//! `reset_peer`.

use crate::session::faults::{
    kind::{Attribute, FaultPlace, KindPage},
    kinds::noop::Noop,
};

pub static PAGE: KindPage = KindPage {
    about: "",
    attributes: &[Attribute::milliseconds("timeout")],
    check: |_| Ok(()),
    place: FaultPlace::Direction(|_| Box::new(Noop)),
};
