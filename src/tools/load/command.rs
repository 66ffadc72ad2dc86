//! `switchboard load`: the engine on one thread or several, a line a second while it runs, and what came of it.
//!
//! Each of these threads runs only the engine. The calling thread waits, prints, and listens for Ctrl-C, so that a slow reader
//! of what is printed slows nothing down.

mod chart;
mod html;
mod json;
mod live;
mod outcome;
mod plan;
mod text;

use crate::{
    error::reason,
    net::limits::raise_descriptor_limit,
    runtime::{
        mailbox::{Mailbox, mailbox},
        shard,
        signals::StopSignals,
    },
    text::print,
    tools::{
        failure::{Failure, Fault},
        load::{report::Report, run::drive, settings::Load, shared::Shared},
    },
};
use live::Live;
use outcome::Outcome;
use plan::Prepared;
use std::{
    fmt, fs,
    io::{self, Write},
    thread,
};

/// Loads the target as `config` says, prints the report to `out` and a line a second to `notes`; whether everything went
/// well. Fails if there is nothing to report.
pub fn run(config: &Load, out: &mut dyn Write, notes: &mut dyn Write) -> Result<bool, Failure> {
    let descriptors = raise_descriptor_limit();
    let message = plan::message(config)?;
    // One nudge that waits is enough: its reader looks at everything.
    let (watcher, nudges) = mailbox(1);
    let prepared = shard::run(plan::prepare(config, message, descriptors, watcher));
    let prepared = prepared.map_err(|error| internal(&error))??;
    let mut live = Live::new(config, prepared.connections, notes);
    let (report, interrupted) = play(&prepared, nudges, &mut live)?;
    let outcome = Outcome::new(config, prepared, report, interrupted);
    if outcome.prepared.shared.progress().made == 0
        && let Some(why) = &outcome.report.not_connected
    {
        return Err(Failure::new(
            Fault::Connect,
            format!("cannot connect to {}: {why}", config.target.endpoint()),
        ));
    }
    if let Some(path) = &config.html {
        fs::write(path, html::Page(&outcome).to_string()).map_err(|error| {
            Failure::new(Fault::Output, format!("cannot write '{}': {}", path.display(), reason(&error)))
        })?;
    }
    let text = if config.json { json::json(&outcome) } else { text::Text(&outcome).to_string() };
    print(out, &text).map_err(|error| Failure::output(&error))?;
    Ok(outcome.report.errors() == 0)
}

/// Runs every plan on a thread of its own, and watches them to their end; true if a signal ended them.
fn play(prepared: &Prepared, nudges: Mailbox<()>, live: &mut Live<'_>) -> Result<(Report, bool), Failure> {
    let Prepared { plans, shared, .. } = prepared;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        let interrupted = shard::run(async {
            // A signal that comes before the first connection ends the run too, and not the process.
            let signals = StopSignals::new()?;
            for (number, plan) in plans.iter().enumerate() {
                let ended = Ended(shared);
                let thread = thread::Builder::new().name(format!("load {number}"));
                threads.push(thread.spawn_scoped(scope, move || {
                    let _ended = ended;
                    shard::run(drive(plan, shared, seed_of(number), number, |_| ()))
                })?);
            }
            io::Result::Ok(live.watch(shared, nudges, signals).await)
        })
        .flatten();
        if interrupted.is_err() {
            shared.progress().stopped = true;
        }
        let mut report = Report::default();
        for thread in threads {
            let part = thread.join().map_err(|_| internal(&"a thread failed"))?;
            report.merge(&part.map_err(|error| internal(&error))?);
        }
        shared.progress().timeline.finish();
        let interrupted = interrupted.map_err(|error| internal(&error))?;
        Ok((report, interrupted))
    })
}

/// Tells of a thread's end, a panic included.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.note_end();
    }
}

/// Tells this thread's patterns from those of others, and of other runs.
fn seed_of(thread: usize) -> u64 {
    u64::from(std::process::id()) << 8 | thread as u64 & 0xff
}

fn internal(error: &dyn fmt::Display) -> Failure {
    Failure::new(Fault::Internal, format!("the load cannot run: {error}"))
}
