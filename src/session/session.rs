//! The session actor: one client connection, from its start to its end.
//!
//! It takes the near leg, joins it to the target, and pumps. It ends with its outcome: both directions are done, a peer is
//! gone, a deadline passed, or an operator cut it. Its supervisor may drop its task at any time, which resets both peers.

use crate::{
    net::{dial::Reserved, socket::Socket},
    relay::{
        direction::Ways,
        early::EarlyReader,
        leg::{Leg, LegReader, LegWriter},
        link::Nudge,
        pump::pump,
    },
    runtime::task::{Task, contain, spawn},
    session::{
        cause::Cause,
        context::Context,
        deadline::Watch,
        delivery,
        ends::{close, outlive},
        faults::{faulted::OpeningFaults, stage::FaultEnd},
        introduction::Introduction,
        opening,
        order::Order,
        outcome::Outcome,
        record::Record,
        target::Joined,
    },
};
use futures::{
    FutureExt,
    future::{Either, select},
};
use std::{
    cell::OnceCell,
    future::poll_fn,
    os::fd::OwnedFd,
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{self, Poll},
};

/// What wakes the half-loops at both ends of both links: those of the far leg belong to another task.
type Nudges = OnceCell<[Nudge; 2]>;

/// All that can wake a session.
enum Event {
    /// Its life is over by itself.
    Over(Outcome),
    /// A deadline passed.
    Due(Cause),
    /// An operator says what to do.
    Order(Order),
}

/// Starts the session of `record` on the client's socket, with what is `reserved` for the far leg. `ended` runs when the
/// session is over, unless its task was dropped; the record then holds the outcome.
pub fn start<E: Future<Output = ()> + 'static>(
    (accepted, reserved): (OwnedFd, Option<Reserved>),
    record: Arc<Record>,
    context: Arc<Context>,
    ended: impl FnOnce() -> E + 'static,
) -> Task<()> {
    // Its own task in all but name: a panic in it is a fault of this session, and its end is still told.
    spawn(contain(run(accepted, reserved, record.clone(), context)).then(move |end| {
        if let Err(panicked) = end {
            record.conclude(Outcome::Panicked(panicked));
        }
        ended()
    }))
}

// Plain functions that return an async block: an async function stores each argument twice, as passed and as used.

fn run(
    accepted: OwnedFd,
    reserved: Option<Reserved>,
    record: Arc<Record>,
    context: Arc<Context>,
) -> impl Future<Output = ()> {
    async move {
        let near = match Socket::new(accepted, true) {
            Ok(socket) => socket,
            Err(error) => return record.conclude(Outcome::NoResources(error)),
        };
        let (near, mut watch) = begin(near, &record, &context);
        let (mut orders, nudges) = (None, Nudges::new());
        let mut life = pin!(live(near, reserved, &record, &context, &nudges));
        let outcome = loop {
            let next_event = |task: &mut task::Context<'_>| {
                if let Poll::Ready(Ok(outcome) | Err(outcome)) = life.as_mut().poll(task) {
                    return Poll::Ready(Event::Over(outcome));
                }
                if let Poll::Ready(cause) = watch.poll_expired(task) {
                    return Poll::Ready(Event::Due(cause));
                }
                record.orders.poll_next(&mut orders, task).map(Event::Order)
            };
            match poll_fn(next_event).await {
                Event::Over(outcome) => break outcome,
                // Dropping what lives resets both peers.
                Event::Due(cause) => {
                    delivery::note_lost(&record);
                    break Outcome::Due(cause);
                }
                Event::Order(Order::Heed) => {
                    record.note_heeded();
                    wake(&nudges);
                }
                Event::Order(Order::Reset) => {
                    delivery::note_lost(&record);
                    break Outcome::Cut;
                }
                // Before there is an upstream nothing can be delivered, and what the client sent is lost: no end for a FIN.
                Event::Order(Order::Finish)
                    if (record.opening() || record.dialling()) && record.cause() != Cause::Fault =>
                {
                    break Outcome::Cut;
                }
                Event::Order(Order::Finish) => {
                    // The end is judged now: what follows from it is not another.
                    record.conclude(Outcome::CutByFin);
                    record.finish();
                    watch.limit_finish();
                    wake(&nudges);
                }
            }
        };
        record.conclude(outcome);
    }
}

fn wake(nudges: &Nudges) {
    nudges.get().into_iter().flatten().for_each(Nudge::wake);
}

/// Tells the start, and sets the deadlines.
fn begin<'a>(near: Socket, record: &'a Arc<Record>, context: &'a Context) -> (Rc<Leg>, Watch<'a>) {
    // Where a PROXY header names the source, it is told with it.
    if !record.awaits_header() {
        record.tell_open(&context.events);
        context.events.onlookers().meet(record);
    }
    context.dump(record);
    let deadlines = record.listening.settings.deadlines.get();
    (Rc::new(Leg::Plain(near)), Watch::new(record, deadlines, context))
}

/// The session's life, if nothing ends it from outside: the client's stream is joined to the target once it begins.
/// Errors: how it ended before that.
fn live<'a>(
    mut near: Rc<Leg>,
    reserved: Option<Reserved>,
    record: &'a Arc<Record>,
    context: &'a Arc<Context>,
    nudges: &'a Nudges,
) -> impl Future<Output = Result<Outcome, Outcome>> + 'a {
    async move {
        // One whose client has to send a PROXY header knows no client before that.
        if !record.awaits_header() {
            begin_faults(&near, record, context)?;
        }
        near = match opening::open(near, record, context) {
            Ok(near) => near,
            Err(opening) => opening.await?,
        };
        if record.awaits_header() {
            begin_faults(&near, record, context)?;
        }
        let joined = record.listening.target.join(reserved, record, context);
        let Joined { up_sender, down_receiver, nudges: of_links, mut far } = joined;
        let _ = nudges.set(of_links);
        let ends = {
            let ways = Ways { incoming: &record.from_client, outgoing: record.to_client() };
            let early = record.introduced().and_then(Introduction::take_early);
            let reader = EarlyReader::new(early, LegReader::new(&near, record.may_splice()));
            let mut pump = pin!(pump(reader, LegWriter::new(&near), up_sender, down_receiver, ways));
            // The far end first: what has happened there is older than what this poll finds here.
            let first = loop {
                match select(&mut far, pump.as_mut()).await {
                    // The near leg goes on.
                    Either::Left((Ok(Outcome::Clean), _)) => {}
                    Either::Left((fault, _)) => {
                        break Err(Box::pin(outlive(pump, fault, record.to_client())));
                    }
                    Either::Right((near_end, _)) => break Ok(near_end),
                }
            };
            match first {
                // Clean: the far side goes on, or has ended so, or there is none.
                Ok(near_end) => (Some(near_end), Outcome::Clean),
                Err(outliving) => outliving.await,
            }
        };
        Ok(match close(near, ends, far, record) {
            None => Outcome::Clean,
            Some(ending) => ending.await,
        })
    }
}

/// What faults do to a session whose client is known.
/// Errors: how it ends, if they refuse it.
fn begin_faults(near: &Leg, record: &Arc<Record>, context: &Context) -> Result<(), Outcome> {
    record.begin_faults(&context.events);
    let Some(OpeningFaults { refused_by, near_window, .. }) = record.opening_faults() else { return Ok(()) };
    if let Some(bytes) = near_window {
        near.socket().clamp_window(*bytes);
    }
    let refused = refused_by.clone().map(|plan| Outcome::Fault { plan, end: FaultEnd::Reset });
    refused.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::upstream;

    /// What a session and its upstream hold while nothing flows, in bytes; the rest of an idle session is its record, two
    /// links without a queue, two registrations and a place on the clock.
    const SESSION_BYTES_MAX: usize = 504;
    const UPSTREAM_BYTES_MAX: usize = 304;

    #[test]
    fn an_idle_session_is_small() {
        let session = size(run);
        assert!(session <= SESSION_BYTES_MAX, "{session}");
        let upstream = size_of_upstream(upstream::run);
        assert!(upstream <= UPSTREAM_BYTES_MAX, "{upstream}");
    }

    fn size<A, B, C, D, F: Future>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    fn size_of_upstream<A, B, C, D, E, G, F: Future>(_: impl FnOnce(A, B, C, D, E, G) -> F) -> usize {
        size_of::<F>()
    }
}
