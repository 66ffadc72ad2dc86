//! `refuse`.

use crate::session::faults::kind::{FaultPlace, KindPage};

pub static PAGE: KindPage =
    KindPage { about: "", attributes: &[], check: |_| Ok(()), place: FaultPlace::Opening };
