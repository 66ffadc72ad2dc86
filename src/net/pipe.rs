//! Kernel pipes as owned pieces of a stream (splice(2)), from a bounded pool. Without a pipe, the relay copies.

use crate::{
    net::{buffer::Buffer, ceiling},
    runtime::{clock::coarse_ms, limit::descriptors, lock::Lock, shard::shared},
};
use rustix::{
    io::read,
    pipe::{PipeFlags, fcntl_getpipe_size, pipe_with},
};
use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// What a pipe takes at most in one piece: the kernel's default size of a pipe, 16 pages (pipe(7)). Three pieces of a
/// direction may be under way (one being read, one in the link, one being written): 192 KiB a session.
pub const PIPE_BYTES: usize = 64 * 1024;
/// Descriptors of one pipe.
pub const PIPE_DESCRIPTORS: usize = 2;
/// `pipe-user-pages-soft` (16,384 pages a user, pipe(7)) is 1,024 pipes; half of it leaves room for other programs.
pub const PIPES_MAX: usize = 512;
/// Free pipes kept for reuse: enough for the pieces under way of 16 busy sessions.
const SPARE_PIPES: usize = 64;
/// The part of the pipes that may be in use before a direction gets one at a time.
const SCARCE: (usize, usize) = (3, 4);
/// After there was no pipe, how long to copy before asking for one again.
const SHORTAGE_MS: u64 = 500;

/// The pipes of the program. One pool for all shards: the limit is the user's, and in a shortage all that are spare are given
/// back at once.
struct Pipes {
    #[expect(
        clippy::vec_box,
        reason = "a pipe moves through links as its one pointer, which the pool takes and gives"
    )]
    spare: Lock<Vec<Box<Ends>>>,
    live: Arc<AtomicUsize>,
    limit: AtomicUsize,
    short_until: AtomicU64,
    /// Bytes that ever went into a pipe.
    spliced: AtomicU64,
}

/// Both ends of a kernel pipe and how many bytes are between them; counted while they are open.
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    live: Arc<AtomicUsize>,
}

/// A pipe and how many bytes it holds. One pointer wide: links move it.
pub struct Pipe {
    /// None only while it is dropped.
    ends: Option<Box<Ends>>,
}

/// Bounds the pipes of the program to `limit`; see [`crate::net::limits`].
pub fn set_limit(limit: usize) {
    pipes().limit.store(limit.min(PIPES_MAX), Ordering::Relaxed);
}

/// How many pipes are open, and the limit.
pub fn count() -> (usize, usize) {
    pipes().count()
}

pub fn spliced() -> u64 {
    pipes().spliced.load(Ordering::Relaxed)
}

pub fn spare() -> usize {
    pipes().spare().len()
}

/// Closes the spare pipes, and opens none for half a second: a connection that is waited for needs the descriptors more.
pub fn give_back() {
    let pipes = pipes();
    pipes.note_shortage();
    let spare = std::mem::take(&mut *pipes.spare());
    drop(spare);
}

fn pipes() -> Arc<Pipes> {
    shared()
}

impl Default for Pipes {
    fn default() -> Self {
        Pipes {
            spare: Lock::default(),
            live: Arc::default(),
            limit: AtomicUsize::new(PIPES_MAX),
            short_until: AtomicU64::new(0),
            spliced: AtomicU64::new(0),
        }
    }
}

impl Pipes {
    #[expect(clippy::vec_box, reason = "as above")]
    fn spare(&self) -> MutexGuard<'_, Vec<Box<Ends>>> {
        self.spare.lock()
    }

    fn count(&self) -> (usize, usize) {
        (self.live.load(Ordering::Relaxed), self.limit.load(Ordering::Relaxed))
    }

    fn note_shortage(&self) {
        self.short_until.store(coarse_ms() + SHORTAGE_MS, Ordering::Relaxed);
    }

    fn is_short(&self) -> bool {
        coarse_ms() < self.short_until.load(Ordering::Relaxed)
    }

    fn open(&self) -> Option<Pipe> {
        let ends = Ends::open(&self.live);
        if ends.is_none() {
            self.note_shortage();
            // What else failed for want of a descriptor meanwhile may not say so.
            descriptors().note_shortage();
        }
        ends.map(|ends| Pipe { ends: Some(Box::new(ends)) })
    }
}

impl Pipe {
    /// An empty pipe; none at the limit, or if the kernel has none of full size to give (`EMFILE`, `ENFILE`, the soft
    /// limit on pages), for half a second after which it is asked again.
    ///
    /// `another` says that a pipe of the same direction is still to be delivered. Once `SCARCE` of the pipes are in use
    /// it gets no second one, and copies: else peers that take nothing would hold three each, until there is none left
    /// for those that do.
    pub fn take(another: bool) -> Option<Self> {
        let pipes = pipes();
        let mut spare = pipes.spare();
        let (live, limit) = pipes.count();
        if another && live.saturating_sub(spare.len()) >= limit * SCARCE.0 / SCARCE.1 {
            return None;
        }
        if let Some(ends) = spare.pop() {
            return Some(Pipe { ends: Some(ends) });
        }
        drop(spare);
        if live >= limit || pipes.is_short() { None } else { pipes.open() }
    }

    pub fn held(&self) -> usize {
        self.ends().held
    }

    pub fn read_end(&self) -> &OwnedFd {
        &self.ends().read
    }

    pub fn write_end(&self) -> &OwnedFd {
        &self.ends().write
    }

    pub fn filled(&mut self, count: usize) {
        self.ends_mut().held += count;
        pipes().spliced.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub fn written(&mut self, count: usize) {
        let ends = self.ends_mut();
        ends.held -= count.min(ends.held);
    }

    /// Takes the first bytes out of it into memory; none if it holds none.
    pub fn read_out(&mut self) -> io::Result<Option<Buffer>> {
        if self.held() == 0 {
            return Ok(None);
        }
        let mut buffer = Buffer::take();
        let count = read(self.read_end(), buffer.room())?;
        buffer.filled(count);
        self.written(count);
        Ok(Some(buffer).filter(|_| count > 0))
    }

    fn ends(&self) -> &Ends {
        self.ends.as_ref().expect(TAKEN_BY_DROP)
    }

    fn ends_mut(&mut self) -> &mut Ends {
        self.ends.as_mut().expect(TAKEN_BY_DROP)
    }
}

const TAKEN_BY_DROP: &str = "the ends are taken only by drop";

impl Drop for Pipe {
    fn drop(&mut self) {
        // Bytes left in a pipe would turn up in another session's stream: only an empty one is used again.
        if self.held() > 0 {
            return;
        }
        let pipes = pipes();
        let mut spare = pipes.spare();
        if spare.len() < SPARE_PIPES {
            spare.extend(self.ends.take());
        }
    }
}

impl Ends {
    fn open(live: &Arc<AtomicUsize>) -> Option<Self> {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
        let (read, write) = (ceiling::below(read).ok()?, ceiling::below(write).ok()?);
        live.fetch_add(1, Ordering::Relaxed);
        let ends = Ends { read, write, held: 0, live: live.clone() };
        // Over the soft limit on pages the kernel gives pipes of two pages (pipe(7)); copying is cheaper than those.
        fcntl_getpipe_size(&ends.write).is_ok_and(|size| size >= PIPE_BYTES).then_some(ends)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shard::run;

    #[test]
    fn once_pipes_are_scarce_a_direction_has_one_at_a_time() {
        run(async {
            set_limit(8);
            let mut held: Vec<Pipe> = (0..6).map_while(|_| Pipe::take(true)).collect();
            assert_eq!(held.len(), 6);
            assert!(Pipe::take(true).is_none());
            held.extend((0..2).map_while(|_| Pipe::take(false)));
            assert_eq!(held.len(), 8);
            assert!(Pipe::take(false).is_none());
            held.truncate(5);
            // A free pipe counts as free, though it is open.
            assert_eq!(spare(), 3);
            assert!(Pipe::take(true).is_some());
        })
        .unwrap();
    }
}
