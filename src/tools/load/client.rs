//! One client: plays its script until the run is over.

use crate::{
    net::{dial::open_at_once, options::Options, socket::Socket},
    relay::leg::Leg,
    runtime::clock::{sleep, sleep_until},
    tools::{
        failure::Fault,
        load::{
            connection::Connection, content::Content, failure::Failure, run::Plan, script::Step,
            stage::Stage, watch::Watch,
        },
        own_header::own_header,
        tls::TargetTls,
    },
};
use std::{
    future::pending,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

/// How long a client waits after a failure before it starts its script anew.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(5);

/// How often a client that waits for its turn to connect looks whether the run is over.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One client: plays the script, and anew after a failure while the run goes on.
pub(super) async fn client(stage: &Stage<'_>, watch: Rc<Watch>) {
    let mut started = false;
    loop {
        let end = watch.over(play(stage, &watch, &mut started)).await;
        watch.end();
        let Err(failure) = end else { return };
        // This machine gives no more connections, or the target takes no more, and asking again would only take as long
        // again: the run goes on with those that there are.
        let is_limit = !started && (failure.is_own() || failure == Failure::TimedOut);
        if failure == Failure::TimedOut {
            stage.note_unreached(
                Fault::Connect,
                &io::Error::new(io::ErrorKind::TimedOut, "it does not answer"),
            );
        }
        if is_limit {
            stage.report.borrow_mut().limit.get_or_insert(failure);
        }
        if started || !failure.is_own() {
            stage.fail(failure);
        }
        note_start(stage, &mut started);
        if is_limit || stage.over.get() || stage.stopped.get() {
            return;
        }
        sleep(PAUSE_AFTER_FAILURE).await;
    }
}

fn note_start(stage: &Stage<'_>, started: &mut bool) {
    if !std::mem::replace(started, true) {
        stage.started.update(|started| started + 1);
    }
}

async fn play<'a>(stage: &'a Stage<'a>, watch: &Watch, started: &mut bool) -> Result<(), Failure> {
    let script = &stage.plan.script;
    let mut connection = None;
    // The answer to a connection's request comes in its time; the turn to make it is not part of that.
    let connects_each = script.each.contains(&Step::Connect);
    if !connects_each && !await_connection_slot(stage).await {
        return Ok(());
    }
    watch.begin(Instant::now());
    for step in &script.before {
        take(*step, stage, &mut connection).await?;
    }
    // The first request may have to wait for its turn; what opens the connection does not.
    if let Some(connection) = &mut connection {
        connection.send(0).await?;
    }
    watch.end();
    if !*started {
        stage.report.borrow_mut().ready += 1;
        stage.shared.progress().ready += 1;
    }
    note_start(stage, started);
    stage.opened().await;
    while !script.each.is_empty() {
        let Some(due) = stage.arrivals.next().await else { break };
        if !stage.may_begin() {
            break;
        }
        if connects_each && !await_connection_slot(stage).await {
            return Ok(());
        }
        operate(stage, watch, due, &mut connection).await?;
    }
    watch.begin(Instant::now());
    for step in &script.after {
        take(*step, stage, &mut connection).await?;
    }
    Ok(())
}

/// Waits for the turn to make a connection; false if the run ends before it.
async fn await_connection_slot(stage: &Stage<'_>) -> bool {
    let Some(slot) = stage.connection_slot() else { return true };
    while Instant::now() < slot && !stage.over.get() {
        sleep_until(slot.min(Instant::now() + LOOK_EVERY)).await;
    }
    !stage.over.get()
}

async fn operate<'a>(
    stage: &'a Stage<'a>,
    watch: &Watch,
    due: Option<Instant>,
    connection: &mut Option<Connection<'a>>,
) -> Result<(), Failure> {
    let (mut begin, counting) = (None, stage.counting.get());
    let mut status = None;
    for step in &stage.plan.script.each {
        if begin.is_none() && !matches!(step, Step::Pause(_)) {
            let now = Instant::now();
            watch.begin(now);
            begin = Some(now);
        }
        status = take(*step, stage, connection).await?.or(status);
    }
    watch.end();
    if let Some(begin) = begin {
        stage.add(begin, due, counting, status);
    }
    Ok(())
}

/// Takes one step; the status of an answer. Steps of a connection that is not there do nothing.
async fn take<'a>(
    step: Step,
    stage: &'a Stage<'a>,
    connection: &mut Option<Connection<'a>>,
) -> Result<Option<u16>, Failure> {
    match (step, connection.as_mut()) {
        (Step::Connect, _) => *connection = Some(connect(stage).await?),
        (Step::Reconnect, own) => {
            if own.is_none_or(|connection| connection.has_ended()) {
                *connection = None;
                await_connection_slot(stage).await;
                *connection = Some(connect(stage).await?);
            }
        }
        (Step::Pause(duration), _) => sleep(duration).await,
        (Step::Hold, _) => {
            stage.holding.update(|holding| holding + 1);
            pending::<()>().await;
        }
        (Step::Close, _) => {
            if let Some(connection) = connection.take() {
                connection.close();
            }
        }
        (Step::TellSeed, Some(connection)) => connection.tell_seed().await?,
        (Step::Send(count), Some(connection)) => connection.send(count).await?,
        (Step::Expect(count), Some(connection)) => connection.expect(count).await?,
        (Step::ExpectExactly(count), Some(connection)) => connection.expect_exactly(count).await?,
        (Step::ExpectRest, Some(connection)) => connection.expect_rest().await?,
        (Step::ExpectEnd, Some(connection)) => connection.expect_end().await?,
        (Step::ExpectTotal, Some(connection)) => connection.expect_total().await?,
        (Step::HalfClose, Some(connection)) => connection.half_close().await?,
        (Step::ExpectAnswer, Some(own)) => {
            let (status, closes) = own.expect_answer().await?;
            if closes && let Some(connection) = connection.take() {
                connection.close();
            }
            return Ok(Some(status));
        }
        (_, None) => {}
    }
    Ok(None)
}

async fn connect<'a>(stage: &'a Stage<'a>) -> Result<Connection<'a>, Failure> {
    let Plan { target, tls, message, blind, send_proxy, .. } = stage.plan;
    let socket = open_at_once(target, &Options::default()).await.map_err(|error| {
        stage.note_unreached(Fault::Connect, &error);
        Failure::of_connecting(&error)
    })?;
    // A port without a listener can be met by our own request (simultaneous open, RFC 9293 §3.5).
    if socket.local_address().is_ok_and(|own| own == *target) {
        stage.note_unreached(Fault::Connect, &io::ErrorKind::ConnectionRefused.into());
        return Err(Failure::Refused);
    }
    let header = own_header(*send_proxy, &socket).map_err(|error| Failure::of_connection(&error))?;
    let (leg, header) = match tls {
        Some(tls) => (secure(socket, &header, tls, stage).await?, Vec::new()),
        None => (Leg::Plain(socket), header),
    };
    stage.shared.progress().made += 1;
    let message = message.clone().map(Content::Message);
    Ok(Connection::new(leg, stage.next_seed(), &stage.room).opening_with(header).carrying(message, *blind))
}

/// Makes the handshake, after the PROXY header.
async fn secure(socket: Socket, header: &[u8], tls: &TargetTls, stage: &Stage<'_>) -> Result<Leg, Failure> {
    let begin = Instant::now();
    let (leg, resumed) = tls.open(socket, header).await.map_err(|error| {
        let fault = Fault::of_handshake(&error);
        stage.note_unreached(fault, &error);
        if fault == Fault::Untrusted { Failure::NotTrusted } else { Failure::NoTls }
    })?;
    stage.report.borrow_mut().add_handshake(begin.elapsed(), resumed);
    Ok(leg)
}
