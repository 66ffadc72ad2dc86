//! `slow_open`: the dial waits.
//!
//! On TCP: the client's connect() succeeds at once, for its kernel and ours did that; its first answer is late.

use crate::session::faults::kind::{Attribute, FaultPlace, KindPage};

pub static PAGE: KindPage = KindPage {
    about: "waits for delay, more or less by up to jitter, before it dials",
    attributes: &[Attribute::milliseconds("delay"), Attribute::milliseconds("jitter")],
    check: |_| Ok(()),
    place: FaultPlace::Opening,
};
