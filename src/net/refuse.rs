//! A listener that keeps its address and takes no connections for a while: for the audit, which looks at what becomes of
//! a proxy's client then.

use crate::net::listener::Listener;
use rustix::net::{Shutdown, listen, shutdown};
use std::io;

impl Listener {
    /// Refuses connections from now on, and resets those not yet accepted. The address stays bound: nobody else gets it.
    ///
    /// Linux takes a listening socket that is shut down for reading back to the state before listen(2).
    ///
    /// # Errors
    /// Where it does not listen.
    pub fn refuse(&self) -> io::Result<()> {
        Ok(shutdown(&self.descriptor, Shutdown::Read)?)
    }

    /// Listens with a queue of another length; after [`Listener::refuse`] as well.
    ///
    /// One connection more than `backlog` waits in the queue; the requests of others are not answered, and come again
    /// after a second (RFC 6298 §2).
    ///
    /// # Errors
    /// Where the kernel does not let it.
    pub fn listen_again(&self, backlog: i32) -> io::Result<()> {
        Ok(listen(&self.descriptor, backlog)?)
    }
}
