//! `flap`: the listener is there for a while, then closed, with its sessions cut, and so on.
//!
//! On TCP: true. While it is closed, connect() fails at once (ECONNREFUSED), as where a program restarts. Its port stays
//! bound, so that the kernel gives it to no other program by chance.

use crate::session::faults::kind::{Attribute, FaultPlace, KindPage};

pub static PAGE: KindPage = KindPage {
    about: "closes the listener and cuts its sessions for down, then opens it for up, and so on",
    attributes: &[Attribute::milliseconds("up"), Attribute::milliseconds("down")],
    check: |[up, down, _]| match up.min(down) {
        0 => Err("it has both up and down: else it would never change".to_owned()),
        _ => Ok(()),
    },
    place: FaultPlace::Listener,
};
