//! Orders: what an operator tells a live session to do. The mailbox is made on first use, so that an idle session does not
//! pay for it.

use crate::runtime::{
    lock::Lock,
    mailbox::{Mailbox, Sender, mailbox},
};
use futures::task::AtomicWaker;
use once_cell::race::OnceBox;
use std::task::{Context, Poll};

/// Orders that may wait for a session, which takes them at its next poll: an operator sends one at a time.
const ORDERS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End both streams after what has come of them, by FIN.
    Finish,
    /// Look at the gates: what acts there has changed.
    Heed,
    /// Reset both peers at once.
    Reset,
}

/// The mailbox, as the session keeps it: a pointer.
pub type Inbox = Box<Mailbox<Order>>;

/// Where a session takes its orders.
#[derive(Default)]
pub struct Orders {
    opened: OnceBox<Opened>,
    session: AtomicWaker,
}

struct Opened {
    address: Sender<Order>,
    /// The session takes it at the first order.
    mailbox: Lock<Option<Inbox>>,
}

impl Orders {
    /// Gives an order, without waiting; false if as many wait as can.
    pub fn give(&self, order: Order) -> bool {
        let opened = self.opened.get_or_init(|| {
            let (address, mailbox) = mailbox(ORDERS);
            Box::new(Opened { address, mailbox: Lock::new(Some(Box::new(mailbox))) })
        });
        let given = opened.address.try_send(order).is_ok();
        self.session.wake();
        given
    }

    /// The next order, for the session; it keeps the mailbox in `mailbox` once there is one.
    pub fn poll_next(&self, mailbox: &mut Option<Inbox>, context: &mut Context<'_>) -> Poll<Order> {
        if mailbox.is_none() {
            self.session.register(context.waker());
            *mailbox = self.opened.get().and_then(|opened| opened.mailbox.lock().take());
        }
        match mailbox.as_mut().map(|mailbox| mailbox.poll_next(context)) {
            Some(Poll::Ready(Some(order))) => Poll::Ready(order),
            // The address stands beside the mailbox: its end is never seen.
            Some(Poll::Ready(None) | Poll::Pending) | None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, executor::block_on};
    use std::future::poll_fn;

    #[test]
    fn a_session_that_waits_takes_the_order() {
        let (orders, mut mailbox) = (Orders::default(), None);
        let mut next = poll_fn(|context| orders.poll_next(&mut mailbox, context));
        assert!((&mut next).now_or_never().is_none());
        assert!(orders.give(Order::Finish));
        assert_eq!(block_on(&mut next), Order::Finish);
        assert!((&mut next).now_or_never().is_none());
    }

    #[test]
    fn orders_that_no_session_takes_are_bounded() {
        let orders = Orders::default();
        assert!((0..ORDERS).all(|_| orders.give(Order::Finish)));
        assert!(!orders.give(Order::Finish));
    }
}
