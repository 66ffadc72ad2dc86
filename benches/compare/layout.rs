//! Who runs where: the server has a processor to itself, or the scheduler decides.
//!
//! Pinned, the figures repeat: left alone, the scheduler puts two that talk now on one processor and now on two, which
//! changes the latency of a round trip threefold and says nothing of the server. Unpinned is how servers run.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;

pub const PINNED: &str = "pinned";
pub const UNPINNED: &str = "unpinned";

/// Which processors are whose, and how many threads (nginx: workers) a server has.
pub struct Layout {
    pub name: &'static str,
    pub threads: usize,
    server: CpuSet,
    /// Those of the clients and the upstream.
    others: CpuSet,
}

impl Layout {
    /// Both, in the order they run; pinned needs two processors.
    pub fn all() -> io::Result<Vec<Layout>> {
        let all = sched_getaffinity(None)?;
        let (mut server, mut others) = (CpuSet::new(), all);
        if let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|processor| all.is_set(*processor)) {
            server.set(last);
            others.unset(last);
        }
        let threads = all.count() as usize;
        let mut layouts = Vec::new();
        if threads > 1 {
            layouts.push(Layout { name: PINNED, threads: 1, server, others });
        }
        layouts.push(Layout { name: UNPINNED, threads, server: all, others: all });
        Ok(layouts)
    }

    /// What it is, in a few words.
    pub fn about(&self) -> String {
        match self.threads {
            1 => "the server has a processor and one thread".to_owned(),
            threads => format!("the scheduler decides, servers have {threads} threads"),
        }
    }

    /// Gives this thread, and what it starts, the processors of the others.
    pub fn enter(&self) -> io::Result<()> {
        Ok(sched_setaffinity(None, &self.others)?)
    }

    /// Does what starts a server; its processes inherit the server's processors.
    pub fn start_server<T>(&self, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        sched_setaffinity(None, &self.server)?;
        let started = start();
        self.enter()?;
        started
    }
}
