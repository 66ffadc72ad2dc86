//! The order of an audit: checks that need everything for themselves, then all others together, then the crowd, then the
//! one in which the origin is gone, which a proxy may remember.

use crate::{
    runtime::clock::within,
    tools::audit::{
        checks::{Check, Turn},
        ground::{Ground, Trial, Way},
        observation::{Observation, Record},
        report::{Report, Row},
    },
};
use futures::{StreamExt, join, stream::FuturesUnordered};
use std::{io::Write, time::Duration};

/// Another round of checks, the crowd and the last check take this long, even if the proxy hangs.
const FOR_THE_REST: Duration = Duration::from_secs(32);

/// Makes the checks, and puts a row into the report as each ends. `progress` is a terminal that shows how far it is.
pub async fn run(
    ground: &Ground,
    checks: &[&'static Check],
    report: &mut Report,
    progress: &mut Option<&mut dyn Write>,
) {
    show(progress, checks, &report.rows);
    let of = |turn| checks.iter().copied().filter(move |check| check.turn == turn);
    let mut done = |row: Row| {
        report.rows.push(row);
        show(progress, checks, &report.rows);
    };
    for check in of(Turn::First) {
        done(one_after_the_other(ground, check).await);
    }
    let mut batch: Vec<_> = of(Turn::Together).collect();
    while !batch.is_empty() {
        batch = together(ground, &batch, &mut done).await;
    }
    for check in of(Turn::Apart).chain(of(Turn::Last)) {
        done(one_after_the_other(ground, check).await);
    }
}

/// Makes checks beside each other. Returns those that the proxy sent away while it took others: they are made again in less
/// company. They have not seen what they look for; a limit of connections shows in the crowd.
async fn together(
    ground: &Ground,
    checks: &[&'static Check],
    mut done: impl FnMut(Row),
) -> Vec<&'static Check> {
    let mut rows: FuturesUnordered<_> = checks.iter().map(|check| both(ground, check)).collect();
    let mut sent_away = Vec::new();
    while let Some(row) = rows.next().await {
        if row.through.is_sent_away() {
            sent_away.push(row);
        } else {
            done(row);
        }
    }
    if sent_away.len() < checks.len() && ground.time_left() > FOR_THE_REST {
        return sent_away.iter().map(|row| row.check).collect();
    }
    sent_away.into_iter().for_each(done);
    Vec::new()
}

async fn one_after_the_other(ground: &Ground, check: &'static Check) -> Row {
    let direct = observe(ground, check, Way::Direct).await;
    Row::new(check, direct, observe(ground, check, Way::Through).await)
}

async fn both(ground: &Ground, check: &'static Check) -> Row {
    let (direct, through) = join!(observe(ground, check, Way::Direct), observe(ground, check, Way::Through));
    Row::new(check, direct, through)
}

async fn observe(ground: &Ground, check: &Check, way: Way) -> Observation {
    let record = Record::default();
    let limit = check.limit(ground).min(ground.time_left());
    let trial = Trial { ground, way, record: &record, pause: check.pause(ground) };
    if within(Some(limit), (check.scenario)(trial)).await.is_none() {
        record.give_up();
    }
    record.observation()
}

const LINE_CHARS: usize = 78;

/// Shows in one line which checks are still to be made.
fn show(progress: &mut Option<&mut dyn Write>, checks: &[&Check], rows: &[Row]) {
    let is_open = |check: &&&Check| rows.iter().all(|row| row.check.name != check.name);
    let open: Vec<&str> = checks.iter().filter(is_open).map(|check| check.name).collect();
    let line = format!("{} of {} checks done; to do: {}", rows.len(), checks.len(), open.join(", "));
    write(progress, &line.chars().take(LINE_CHARS).collect::<String>());
}

/// Writes a line in place of the one before it; an empty one takes it off the screen.
pub fn write(progress: &mut Option<&mut dyn Write>, line: &str) {
    if let Some(progress) = progress {
        // A failure cannot be told either.
        let _ = write!(progress, "\r\x1b[2K{line}").and_then(|()| progress.flush());
    }
}
