//! Who runs where: the server has one processor to itself, the clients and the upstream share the others.
//!
//! Left alone, the scheduler puts two that talk now on one processor and now on two, which changes the latency of a round
//! trip threefold and says nothing of the server.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::{io, sync::OnceLock};

static SHARES: OnceLock<Shares> = OnceLock::new();

/// The processors of the server, and of everyone else.
struct Shares {
    server: CpuSet,
    others: CpuSet,
}

/// Shares the processors out, from here on; false where there is only one.
pub fn share() -> io::Result<bool> {
    let mut others = sched_getaffinity(None)?;
    let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|processor| others.is_set(*processor)) else {
        return Ok(false);
    };
    others.unset(last);
    if others.count() == 0 {
        return Ok(false);
    }
    let mut server = CpuSet::new();
    server.set(last);
    sched_setaffinity(None, &others)?;
    Ok(SHARES.set(Shares { server, others }).is_ok())
}

/// Does what starts a server; its processes inherit the server's processor.
pub fn start_server<T>(start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(Shares { server, others }) = SHARES.get() else { return start() };
    sched_setaffinity(None, server)?;
    let started = start();
    sched_setaffinity(None, others)?;
    started
}
