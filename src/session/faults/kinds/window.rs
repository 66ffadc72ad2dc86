//! `window`: the sender is offered a small receive window.
//!
//! On TCP: true, by an option of the kernel, and so as exact as that: no less than some 1 KiB. An upstream meets it from the
//! first segment on; a client was accepted before, and may send what it was offered by then, some 64 KiB.

use crate::session::faults::kind::{Attribute, FaultPlace, KindPage};

pub static PAGE: KindPage = KindPage {
    about: "offers the sender a receive window of bytes, for sessions that begin",
    attributes: &[Attribute::bytes("bytes")],
    check: |values| match values[0] {
        0 => Err("bytes is at least 1: a sender without any window could not send".to_owned()),
        _ => Ok(()),
    },
    place: FaultPlace::Opening,
};
