//! The gate of a direction: who watches the stream and what acts on it, and all that the half-loops have to heed of that in one
//! word. [`crate::relay::leg`] ends a stream that is to finish, and [`crate::relay::beside`] passes through a chain what
//! something acts on.
//!
//! An open gate costs one relaxed load a chunk, and the relay splices. With a watcher, a chain or an act the direction
//! copies; it splices again once its watchers and its chain are gone; an act stays.

use crate::{relay::link::Parcel, runtime::lock::Lock};
use once_cell::race::OnceBox;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

/// The stream is to end after what its sender's leg has received.
const FINISHING: u32 = 1 << 31;
/// The stream is to be in memory for as long as it lasts: its receiver cannot take pipes.
const COPIED: u32 = 1 << 30;
/// A chain acts on the stream, or is to.
const CHAINED: u32 = 1 << 29;
/// The chain holds what the receiver might take: that this gets nothing is not its doing.
const HELD: u32 = 1 << 28;

/// The receiver's task is to be woken by the next chunk: what watches over its session sleeps for long.
const AWAITED: u32 = 1 << 27;

/// A watcher of one direction. It must not wait.
pub trait ChunkWatcher: Send + Sync {
    /// Shows a chunk that begins `offset` bytes into the stream.
    fn show(&self, offset: u64, bytes: &[u8]);

    /// The sender has ended its stream.
    fn ended(&self) {}
}

/// What acts on the stream of a direction, between its link and the half-loop that writes.
pub trait Chain {
    /// Whether it takes another parcel.
    fn takes(&self) -> bool;

    /// Takes the next parcel; none: the stream was aborted. That and `Fin` are the last.
    fn take(&mut self, parcel: Option<Parcel>);

    /// The next parcel that passes; none: the stream is aborted. Before it waits it has done all that it can with what it
    /// took.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Parcel>>;

    /// Does what falls due while the receiver is busy writing, and has it polled again when the next does.
    fn keep_time(&mut self, context: &mut Context<'_>);

    /// It holds nothing, and nothing is left that acts.
    fn is_over(&self) -> bool;
}

/// What makes the chain of a direction once that is needed, where the direction is written.
pub trait Chains: Send + Sync {
    /// None: nothing acts on it any more.
    fn chain(&self) -> Option<Box<dyn Chain>>;

    /// Whether something is to act on the stream.
    fn act(&self) -> bool;
}

/// What stands at the gate, in one word: the watchers in its low bits, the rest above them.
#[derive(Default)]
pub struct Gate {
    word: AtomicU32,
    /// Boxed: most sessions never need it.
    standing: OnceBox<Standing>,
}

/// Who stands at the gate.
#[derive(Default)]
struct Standing {
    watchers: Lock<Vec<Arc<dyn ChunkWatcher>>>,
    chains: Lock<Option<Arc<dyn Chains>>>,
}

impl Gate {
    /// Whether the stream passes without being looked at.
    pub fn is_open(&self) -> bool {
        self.word.load(Relaxed) & !AWAITED == 0
    }

    /// Whether the receiver's task was to be woken by this chunk. The next one need not wake it.
    pub fn take_awaited(&self) -> bool {
        self.word.load(Relaxed) & AWAITED != 0 && self.word.fetch_and(!AWAITED, Relaxed) & AWAITED != 0
    }

    /// Says whether the receiver's task is to be woken by the next chunk, though the sender writes that itself.
    pub fn set_awaited(&self, is_awaited: bool) {
        if is_awaited != (self.word.load(Relaxed) & AWAITED != 0) {
            self.set(AWAITED, is_awaited);
        }
    }

    /// Whether the stream is to end after what its sender's leg has received.
    pub fn finishes(&self) -> bool {
        self.word.load(Relaxed) & FINISHING != 0
    }

    /// Ends the stream after what its sender's leg has received. The half-loop that reads it must be woken to see this.
    pub fn finish(&self) {
        self.word.fetch_or(FINISHING, Relaxed);
    }

    /// From now on every chunk is in memory.
    pub fn copy(&self) {
        self.word.fetch_or(COPIED, Relaxed);
    }

    /// Whether a chain acts on the stream.
    pub fn is_chained(&self) -> bool {
        self.word.load(Relaxed) & CHAINED != 0
    }

    /// Whether what waits is held by the chain: not the receiver is what it waits for.
    pub fn is_held(&self) -> bool {
        self.word.load(Relaxed) & HELD != 0
    }

    pub(super) fn set_held(&self, is_held: bool) {
        self.set(HELD, is_held);
    }

    fn set(&self, bit: u32, is_set: bool) {
        if is_set {
            self.word.fetch_or(bit, Relaxed);
        } else {
            self.word.fetch_and(!bit, Relaxed);
        }
    }

    /// The watchers and what acts, if there ever was one.
    fn standing(&self) -> Option<&Standing> {
        if self.is_open() { None } else { self.standing.get() }
    }

    /// Shows the watchers a chunk that begins `offset` bytes into the stream.
    pub(super) fn show(&self, offset: u64, bytes: &[u8]) {
        if let Some(standing) = self.standing() {
            standing.watchers.lock().iter().for_each(|watcher| watcher.show(offset, bytes));
        }
    }

    /// Shows them the end.
    pub(super) fn show_end(&self) {
        if let Some(standing) = self.standing() {
            standing.watchers.lock().iter().for_each(|watcher| watcher.ended());
        }
    }

    /// From now on `watcher` is shown every chunk, until [`Gate::unwatch`].
    pub fn watch(&self, watcher: Arc<dyn ChunkWatcher>) -> Weak<dyn ChunkWatcher> {
        let weak = Arc::downgrade(&watcher);
        self.standing.get_or_init(Box::default).watchers.lock().push(watcher);
        self.word.fetch_add(1, Relaxed);
        weak
    }

    /// Takes a watcher off, if it is there.
    pub fn unwatch(&self, watcher: &Weak<dyn ChunkWatcher>) {
        let Some(standing) = self.standing() else { return };
        let mut watchers = standing.watchers.lock();
        if let Some(at) = watchers.iter().position(|there| Weak::ptr_eq(&Arc::downgrade(there), watcher)) {
            watchers.swap_remove(at);
            self.word.fetch_sub(1, Relaxed);
        }
    }

    /// From now on what `chains` makes acts on the stream, until nothing is left of it. The half-loop that writes the direction
    /// must be woken to see this.
    pub fn act(&self, chains: Arc<dyn Chains>) {
        let mut place = self.standing.get_or_init(Box::default).chains.lock();
        *place = Some(chains);
        self.set(CHAINED, true);
    }

    /// The chain that is to act on the stream; none: none is.
    pub(super) fn make_chain(&self) -> Option<Box<dyn Chain>> {
        self.standing.get()?.chains.lock().as_ref()?.chain()
    }

    /// The chain is over: nothing acts on the stream, unless something has come since.
    pub(super) fn rest(&self) {
        let Some(standing) = self.standing.get() else { return };
        let mut chains = standing.chains.lock();
        if !chains.as_ref().is_some_and(|chains| chains.act()) {
            *chains = None;
            self.set(CHAINED, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::direction::Direction;
    use std::sync::Mutex;

    /// What was shown; an end is shown as no bytes.
    #[derive(Default)]
    struct Seen(Mutex<Vec<(u64, Vec<u8>)>>);

    impl ChunkWatcher for Seen {
        fn show(&self, offset: u64, bytes: &[u8]) {
            self.0.lock().unwrap().push((offset, bytes.to_vec()));
        }

        fn ended(&self) {
            self.show(0, b"");
        }
    }

    #[test]
    fn a_gate_is_open_again_once_its_watchers_are_gone() {
        let gate = Gate::default();
        let watchers = [(); 2].map(|()| gate.watch(Arc::new(Seen::default())));
        gate.unwatch(&watchers[0]);
        assert!(!gate.is_open());
        gate.unwatch(&watchers[1]);
        assert!(gate.is_open() && !gate.finishes());
        gate.finish();
        assert!(!gate.is_open() && gate.finishes());
    }

    #[test]
    fn a_watcher_is_shown_what_comes_between_its_coming_and_its_going() {
        let (direction, seen) = (Direction::new(), Arc::new(Seen::default()));
        direction.note_received(b"before");
        let watcher = direction.gate.watch(seen.clone());
        direction.note_received(b"while");
        direction.gate.unwatch(&watcher);
        direction.gate.unwatch(&watcher);
        direction.note_received(b"after");
        assert_eq!(*seen.0.lock().unwrap(), [(6, b"while".to_vec())]);
        assert!(direction.gate.is_open());
    }

    #[test]
    fn a_watcher_is_shown_the_end_after_the_last_byte() {
        let (direction, seen) = (Direction::new(), Arc::new(Seen::default()));
        direction.gate.watch(seen.clone());
        direction.note_received(b"last");
        direction.set_ended();
        assert_eq!(*seen.0.lock().unwrap(), [(0, b"last".to_vec()), (0, Vec::new())]);
    }
}
