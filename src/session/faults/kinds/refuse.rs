//! `refuse`: the client is reset as soon as it is accepted, and nothing is dialled.
//!
//! On TCP: the kernel has accepted it by then, so the client's connect() succeeds and what follows fails (ECONNRESET). A
//! connect() that fails (ECONNREFUSED) is that of a listener which is not enabled.

use crate::session::faults::kind::{FaultPlace, KindPage};

pub static PAGE: KindPage = KindPage {
    about: "resets clients as soon as they are accepted, without dialling",
    attributes: &[],
    check: |_| Ok(()),
    place: FaultPlace::Opening,
};
