//! The order of an audit: checks that need everything for themselves, then all others together, then the crowd, then the
//! one in which the origin is gone, which a proxy may remember.

use crate::{
    runtime::clock::within,
    tools::audit::{
        checks::{Check, Turn},
        ground::{Ground, Way},
        observation::{Observation, Record},
        report::{Report, Row},
    },
};
use futures::{StreamExt, join, stream::FuturesUnordered};
use std::{cell::RefCell, io::Write, time::Duration};

/// Another round of checks, the crowd and the last check take this long, even if the proxy hangs.
const FOR_THE_REST: Duration = Duration::from_secs(32);

/// Makes the checks, and puts a row into the report as each ends.
pub async fn run(
    ground: &Ground,
    checks: &[&'static Check],
    report: &RefCell<Report>,
    progress: &Progress<'_, '_>,
) {
    progress.begin(checks);
    let of = |turn| checks.iter().copied().filter(move |check| check.turn == turn);
    let done = |row: Row| {
        progress.done(row.check);
        report.borrow_mut().add(row);
    };
    for check in of(Turn::First) {
        done(one_after_the_other(ground, check).await);
    }
    let mut batch: Vec<_> = of(Turn::Together).collect();
    while !batch.is_empty() {
        batch = together(ground, &batch, done).await;
    }
    for check in of(Turn::Apart).chain(of(Turn::Last)) {
        done(one_after_the_other(ground, check).await);
    }
}

/// Makes checks beside each other. Returns those that the proxy sent away while it took others: they are made again in less
/// company. They have not seen what they look for; a limit of connections shows in the crowd.
async fn together(ground: &Ground, checks: &[&'static Check], done: impl Fn(Row)) -> Vec<&'static Check> {
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
    if within(Some(limit), (check.scenario)(ground, way, &record)).await.is_none() {
        record.give_up();
    }
    record.observation()
}

/// One line on a terminal that says how far the audit is.
pub struct Progress<'s, 'w> {
    notes: Option<&'s RefCell<&'w mut dyn Write>>,
    total: RefCell<usize>,
    open: RefCell<Vec<&'static str>>,
}

const LINE_CHARS: usize = 78;

impl<'s, 'w> Progress<'s, 'w> {
    /// Shows it on `notes`, or nowhere.
    pub fn new(notes: Option<&'s RefCell<&'w mut dyn Write>>) -> Self {
        Progress { notes, total: RefCell::default(), open: RefCell::default() }
    }

    fn begin(&self, checks: &[&'static Check]) {
        *self.total.borrow_mut() = checks.len();
        *self.open.borrow_mut() = checks.iter().map(|check| check.name).collect();
        self.show();
    }

    fn done(&self, check: &Check) {
        self.open.borrow_mut().retain(|name| *name != check.name);
        self.show();
    }

    fn show(&self) {
        let (open, total) = (self.open.borrow(), *self.total.borrow());
        let line = format!("{} of {total} checks done; to do: {}", total - open.len(), open.join(", "));
        let line: String = line.chars().take(LINE_CHARS).collect();
        self.write(&format!("\r\x1b[2K{line}"));
    }

    /// Takes the line off the screen.
    pub fn clear(&self) {
        self.write("\r\x1b[2K");
    }

    fn write(&self, text: &str) {
        if let Some(notes) = self.notes {
            let mut notes = notes.borrow_mut();
            // A failure cannot be told either.
            let _ = notes.write_all(text.as_bytes()).and_then(|()| notes.flush());
        }
    }
}
