//! One client: plays its script until the run is over.

use crate::{
    io::{dial::open_tcp, options::Options},
    load::{connection::Connection, failure::Failure, script::Step, stage::Stage},
    runtime::clock::sleep,
};
use std::{
    future::pending,
    time::{Duration, Instant},
};

/// How long a client waits after a failure before it starts its script anew.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(5);

/// One client: plays the script, and anew after a failure while the run goes on.
pub(super) async fn client(stage: &Stage<'_>) {
    let mut started = false;
    while let Err(failure) = play(stage, &mut started).await {
        stage.fail(failure);
        note_start(stage, &mut started);
        if stage.over.get() {
            return;
        }
        sleep(PAUSE_AFTER_FAILURE).await;
    }
}

fn note_start(stage: &Stage<'_>, started: &mut bool) {
    if !std::mem::replace(started, true) {
        stage.started.set(stage.started.get() + 1);
    }
}

async fn play<'a>(stage: &'a Stage<'a>, started: &mut bool) -> Result<(), Failure> {
    let script = &stage.plan.script;
    let mut connection = None;
    for step in &script.before {
        take(*step, stage, &mut connection).await?;
    }
    note_start(stage, started);
    stage.opened().await;
    while !script.each.is_empty() && stage.may_begin() {
        let mut begin = None;
        for step in &script.each {
            if !matches!(step, Step::Pause(_)) {
                begin.get_or_insert_with(Instant::now);
            }
            take(*step, stage, &mut connection).await?;
        }
        if let Some(begin) = begin.filter(|_| stage.counting.get()) {
            stage.report.borrow_mut().add(begin.elapsed());
        }
    }
    for step in &script.after {
        take(*step, stage, &mut connection).await?;
    }
    Ok(())
}

/// Takes one step. Steps of a connection that is not there do nothing.
async fn take<'a>(
    step: Step,
    stage: &'a Stage<'a>,
    connection: &mut Option<Connection<'a>>,
) -> Result<(), Failure> {
    match (step, connection.as_mut()) {
        (Step::Connect, _) => {
            let socket = open_tcp(stage.plan.target, &Options::default()).await;
            let socket = socket.map_err(|error| Failure::of_connecting(&error))?;
            *connection = Some(Connection::new(socket, stage.next_seed(), &stage.room));
        }
        (Step::Pause(duration), _) => sleep(duration).await,
        (Step::Hold, _) => {
            stage.holding.set(stage.holding.get() + 1);
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
        (Step::ExpectEnd, Some(connection)) => connection.expect_end().await?,
        (Step::ExpectTotal, Some(connection)) => connection.expect_total().await?,
        (Step::HalfClose, Some(connection)) => connection.half_close()?,
        (_, None) => {}
    }
    Ok(())
}
