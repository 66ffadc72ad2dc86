//! `accept_stall`: connect() of clients takes until it times out.
//!
//! On TCP: true. The queues of the listener are full, so that the kernel drops further SYNs, as before a program that has
//! hung. Live sessions go on. A client that waits gets in with its next SYN once the fault is gone. A UNIX socket drops
//! nothing: there connect() waits, or fails at once.

use crate::session::faults::kind::{FaultPlace, KindPage};

pub static PAGE: KindPage = KindPage {
    about: "takes no connections, so that connect() of clients times out; live sessions go on",
    attributes: &[],
    check: |_| Ok(()),
    place: FaultPlace::Listener,
};
