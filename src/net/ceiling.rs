//! The last descriptors are for operators: what sessions open has a number below a ceiling.
//!
//! The kernel gives out the lowest number that is free. A number at the ceiling says that all below it are in use, and costs
//! no call. What an operator opens may have any number; once it is closed, that number is above the ceiling again.

use crate::runtime::shard::{own, shared};
use rustix::{
    event::{EventfdFlags, eventfd},
    io::{DupFlags, Errno, dup3},
};
use std::{
    cell::RefCell,
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
};

/// Of the program. One that no server has lowered is above all.
struct Ceiling(AtomicI32);

impl Default for Ceiling {
    fn default() -> Self {
        Ceiling(AtomicI32::new(RawFd::MAX))
    }
}

impl Ceiling {
    fn is_above(&self, descriptor: &OwnedFd) -> bool {
        descriptor.as_raw_fd() < self.0.load(Relaxed)
    }

    fn check(&self, descriptor: OwnedFd) -> io::Result<OwnedFd> {
        if self.is_above(&descriptor) { Ok(descriptor) } else { Err(Errno::MFILE.into()) }
    }
}

pub fn set(ceiling: usize) {
    shared::<Ceiling>().0.store(RawFd::try_from(ceiling).unwrap_or(RawFd::MAX), Relaxed);
}

/// Closes a descriptor of a session that is not below the ceiling, and fails as the kernel does without any (`EMFILE`).
pub fn below(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    shared::<Ceiling>().check(descriptor)
}

/// A number below the ceiling for a connection that is accepted, which could not be given back to the kernel's queue.
pub struct SpareNumber {
    ceiling: Arc<Ceiling>,
    held: RefCell<Option<OwnedFd>>,
}

/// That of this thread's shard: its listeners accept one after the other.
pub fn spare_number() -> Rc<SpareNumber> {
    own()
}

impl Default for SpareNumber {
    /// Without a descriptor it is empty; see [`SpareNumber::fill`].
    fn default() -> Self {
        let spare = SpareNumber { ceiling: shared(), held: RefCell::default() };
        let _ = spare.fill();
        spare
    }
}

impl SpareNumber {
    /// Makes it anew if it was used. Fails if there is no descriptor below the ceiling: then nothing is to be accepted.
    pub fn fill(&self) -> io::Result<()> {
        let mut held = self.held.borrow_mut();
        if held.as_ref().is_none_or(|held| !self.ceiling.is_above(held)) {
            *held = None;
            *held = Some(self.ceiling.check(eventfd(0, EventfdFlags::CLOEXEC)?)?);
        }
        Ok(())
    }

    /// Gives an accepted connection this number if its own is not below the ceiling.
    pub fn lower(&self, accepted: OwnedFd) -> io::Result<OwnedFd> {
        if self.ceiling.is_above(&accepted) {
            return Ok(accepted);
        }
        let Some(mut lowered) = self.held.take() else { return Ok(accepted) };
        dup3(&accepted, &mut lowered, DupFlags::CLOEXEC)?;
        Ok(lowered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{net::socket::stream_socket, runtime::shard::run};
    use rustix::net::{AddressFamily, getsockname};

    #[test]
    fn a_descriptor_that_is_not_below_the_ceiling_is_as_none() {
        run(async {
            let open = || stream_socket(AddressFamily::UNIX).unwrap();
            assert!(below(open()).is_ok());
            set(0);
            assert_eq!(Errno::from_io_error(&below(open()).unwrap_err()), Some(Errno::MFILE));
            set(usize::MAX);
            assert!(below(open()).is_ok());
        })
        .unwrap();
    }

    #[test]
    fn a_connection_that_is_too_high_takes_the_spare_number_and_the_next_waits_for_another() {
        run(async {
            let spare = spare_number();
            let number = spare.held.borrow().as_ref().map(AsRawFd::as_raw_fd).unwrap();
            let connection = || stream_socket(AddressFamily::UNIX).unwrap();
            let own = connection();
            let kept = own.as_raw_fd();
            assert_eq!(spare.lower(own).unwrap().as_raw_fd(), kept);
            set(0);
            let lowered = spare.lower(connection()).unwrap();
            assert_eq!(lowered.as_raw_fd(), number);
            assert!(getsockname(&lowered).is_ok(), "it is the socket");
            assert!(spare.fill().is_err());
            set(usize::MAX);
            assert!(spare.fill().is_ok());
        })
        .unwrap();
    }
}
