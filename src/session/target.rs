//! What a session is joined to. A mode is one target; nothing else in the program asks which it is.

use crate::{
    net::dial::Reserved,
    relay::link::{LinkReceiver, LinkSender, Nudge, link},
    runtime::task::{Task, spawn},
    session::{
        context::Context, event::Mode, origin, outcome::Outcome, record::Record, route::Routes, upstream,
    },
};
use futures::{FutureExt, future::Fuse};
use std::{fmt, io, sync::Arc};

#[derive(Clone)]
pub enum Target {
    /// The session itself: what comes goes back (RFC 862).
    Echo,
    /// A small HTTP server in this program.
    Origin,
    /// Another program, as the routes say.
    Upstream(Arc<Routes>),
}

/// The other end of a session, once it is joined.
pub struct Joined {
    /// What the client sends.
    pub up_sender: LinkSender,
    /// What the client is sent.
    pub down_receiver: LinkReceiver,
    /// What wakes the half-loops at both ends of both.
    pub nudges: [Nudge; 2],
    /// The actor at the far end; it never ends if the session is joined to itself.
    pub far: Fuse<Task<Outcome>>,
}

impl Target {
    pub fn mode(&self) -> Mode {
        match self {
            Target::Echo => Mode::Echo,
            Target::Origin => Mode::Origin,
            Target::Upstream(_) => Mode::Proxy,
        }
    }

    /// Whether the client is sent what it sends: then there is one direction.
    pub fn loops(&self) -> bool {
        matches!(self, Target::Echo)
    }

    /// Whether the first words of a client decide what becomes of it.
    pub fn hears(&self) -> bool {
        match self {
            Target::Echo | Target::Origin => false,
            Target::Upstream(routes) => routes.hear(),
        }
    }

    /// Whether TLS is spoken to where a session leads.
    pub fn speaks_tls(&self, record: &Record) -> bool {
        match self {
            Target::Echo | Target::Origin => false,
            Target::Upstream(routes) => routes.speak_tls(record),
        }
    }

    /// Whether the far leg is to be dialled.
    pub fn dials(&self) -> bool {
        matches!(self, Target::Upstream(_))
    }

    /// A socket for the far leg of a session to come; none if there is none to dial.
    pub fn reserve(&self) -> io::Result<Option<Reserved>> {
        match self {
            Target::Echo | Target::Origin => Ok(None),
            Target::Upstream(routes) => routes.reserve(),
        }
    }

    /// Opens the far end of the session of `record`, with the socket that is reserved for it.
    pub fn join(&self, reserved: Option<Reserved>, record: &Arc<Record>, context: &Arc<Context>) -> Joined {
        let (up_sender, up_receiver) = link();
        let up_nudge = up_receiver.nudge();
        let (down_receiver, far) = match self {
            Target::Echo => (up_receiver, Fuse::terminated()),
            Target::Origin => far_end(|down_sender| origin::start(record, up_receiver, down_sender)),
            Target::Upstream(routes) => far_end(|down_sender| {
                let (record, context, routes) = (record.clone(), context.clone(), routes.clone());
                spawn(upstream::run(reserved, record, context, routes, up_receiver, down_sender))
            }),
        };
        Joined { up_sender, nudges: [up_nudge, down_receiver.nudge()], down_receiver, far }
    }
}

/// The actor that is to be started at the other end of a link, and what comes of it.
fn far_end(start: impl FnOnce(LinkSender) -> Task<Outcome>) -> (LinkReceiver, Fuse<Task<Outcome>>) {
    let (down_sender, down_receiver) = link();
    (down_receiver, start(down_sender).fuse())
}

impl fmt::Display for Target {
    /// What the start line says after the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Echo => f.write_str("echoing"),
            Target::Origin => f.write_str("serving HTTP"),
            Target::Upstream(routes) => write!(f, "proxying {routes}"),
        }
    }
}
