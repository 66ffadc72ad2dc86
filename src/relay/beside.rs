//! What is seldom beside a link: a chain that acts on its stream, or the failure of a write that the sender did. One of them
//! costs no place for the other.

use crate::relay::{direction::Direction, gate::Chain, link::Parcel};
use std::{
    cell::Cell,
    io, mem,
    task::{Context, Poll},
};

#[derive(Default)]
pub(super) struct Beside(Cell<Option<Box<Seldom>>>);

enum Seldom {
    /// Why the sender could not write in the receiver's place.
    Failed(io::Error),
    /// What acts on the stream.
    Chain(Box<dyn Chain>),
}

impl Beside {
    pub fn fail(&self, error: io::Error) {
        self.0.set(Some(Box::new(Seldom::Failed(error))));
    }

    /// Has the chain take `parcel`, if there is one that does: also while the receiver is busy writing, so that time runs for it
    /// from when it came. Else it comes back.
    pub fn take_in(&self, parcel: Parcel) -> Option<Parcel> {
        let Some(mut seldom) = self.0.take() else { return Some(parcel) };
        let left = match &mut *seldom {
            Seldom::Chain(chain) if chain.takes() => {
                chain.take(Some(parcel));
                None
            }
            _ => Some(parcel),
        };
        self.0.set(Some(seldom));
        left
    }

    /// The next parcel of those that `poll_link` gives, once what acts on the `direction` lets it pass.
    /// Nothing begins to act on a parcel of which the sender has written a part, which `is_begun`.
    /// Errors: that of a write which the sender did.
    pub fn poll_next(
        &self,
        direction: &Direction,
        is_begun: impl Fn() -> bool,
        poll_link: impl Fn(&Context<'_>) -> Poll<Option<Parcel>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Parcel>>> {
        let Some(mut seldom) = self.0.take().or_else(|| Seldom::chain(direction, is_begun)) else {
            return poll_link(context).map(Ok);
        };
        let chain = match &mut *seldom {
            Seldom::Chain(chain) => &mut **chain,
            Seldom::Failed(error) => {
                return Poll::Ready(Err(mem::replace(error, io::ErrorKind::BrokenPipe.into())));
            }
        };
        let next = poll_through(chain, poll_link, context);
        if chain.is_over() && next.is_pending() {
            drop(seldom);
            direction.gate.rest();
        } else {
            self.0.set(Some(seldom));
        }
        next.map(Ok)
    }

    /// Time runs for what acts on the `direction` while the receiver is busy writing.
    pub fn keep_time(
        &self,
        direction: &Direction,
        poll_link: impl Fn(&Context<'_>) -> Poll<Option<Parcel>>,
        context: &mut Context<'_>,
    ) {
        let Some(mut seldom) = self.0.take().or_else(|| Seldom::chain(direction, || false)) else { return };
        if let Seldom::Chain(chain) = &mut *seldom {
            fill(&mut **chain, poll_link, context);
            chain.keep_time(context);
        }
        self.0.set(Some(seldom));
    }

    /// Nothing is there from now on.
    pub fn clear(&self) {
        self.0.take();
    }
}

impl Seldom {
    /// What is to act on the `direction`, if anything is.
    fn chain(direction: &Direction, is_begun: impl Fn() -> bool) -> Option<Box<Self>> {
        let is_free = direction.gate.is_chained() && !is_begun();
        let chain = if is_free { direction.gate.make_chain() } else { None };
        chain.map(|chain| Box::new(Seldom::Chain(chain)))
    }
}

/// The next parcel that passes `chain`, of those that `poll_link` gives.
fn poll_through(
    chain: &mut dyn Chain,
    poll_link: impl Fn(&Context<'_>) -> Poll<Option<Parcel>>,
    context: &mut Context<'_>,
) -> Poll<Option<Parcel>> {
    loop {
        fill(chain, &poll_link, context);
        let is_full = !chain.takes();
        match chain.poll_next(context) {
            // It made room, and nothing was asked for what may come into it.
            Poll::Pending if is_full && chain.takes() => {}
            next => return next,
        }
    }
}

/// Has `chain` take what there is, as far as it does.
fn fill(
    chain: &mut dyn Chain,
    poll_link: impl Fn(&Context<'_>) -> Poll<Option<Parcel>>,
    context: &Context<'_>,
) {
    while chain.takes()
        && let Poll::Ready(parcel) = poll_link(context)
    {
        chain.take(parcel);
    }
}
