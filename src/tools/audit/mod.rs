//! `switchboard audit`: holds the same conversations directly and through a proxy, plays both ends of each, and says when
//! an end can tell the difference.
//!
//! ```text
//!              ┌───────────── directly ─────────────┐
//!   client ────┤                                    ├──▶ origin
//!              └──▶ the proxy under test ───────────┘
//! ```
//!
//! `checks` lists the checks, with a scenario each; `ground` and `origin` bring two ends together, `side` is
//! one end; each run gives an `observation`, and `verdict` compares two. All of it runs on the calling thread, and ends with
//! the last check, at a signal, or if the proxy cannot be reached.

mod advice;
mod checks;
mod ground;
mod label;
mod observation;
mod origin;
mod own;
mod probe;
mod report;
mod run;
pub mod settings;
mod side;
mod verdict;

use crate::{
    error::{Error, reason},
    net::{endpoint::Endpoint, limits::raise_descriptor_limit},
    runtime::{shard, signals::StopSignals},
    text::print,
    tools::{
        audit::settings::{Audit, Subject},
        failure::{Failure, Fault},
    },
};
use checks::Check;
use futures::{
    future::{Either, select},
    pin_mut,
};
use ground::Ground;
use origin::Origin;
use own::OwnProxy;
use report::Report;
use std::io::Write;

/// The audit's output.
pub struct Streams<'a> {
    pub out: &'a mut dyn Write,
    /// The start line and the progress.
    pub notes: &'a mut dyn Write,
    /// The report may have colours.
    pub colour: bool,
    /// A person sees the progress at once.
    pub notes_are_seen: bool,
}

/// Whether `word` names a check, or several that begin with it and a dash.
pub fn is_check(word: &str) -> bool {
    checks::named(word).next().is_some()
}

/// Whether one of those can be made of a proxy that ends TLS, or of one that does not.
pub fn suits(word: &str, tls: bool) -> bool {
    checks::named(word).any(|check| check.suits(tls))
}

/// The names of all checks, in the order of a report.
pub fn names() -> impl Iterator<Item = &'static str> {
    checks::ALL.iter().map(|check| check.name)
}

/// Audits a proxy, and prints what was seen. True if neither end can tell the proxy from a direct connection, and all checks
/// were made.
pub fn run(config: &Audit, streams: Streams<'_>) -> Result<bool, Failure> {
    if let Some(error) = own::become_proxy() {
        return Err(Failure::new(Fault::Internal, reason(&error)));
    }
    // If the limit cannot be raised, the default of 1024 is enough.
    let _ = raise_descriptor_limit();
    let Streams { out, notes, colour, notes_are_seen } = streams;
    let audited = shard::run(audit(config, notes_are_seen, notes));
    let report = audited.map_err(|error| Error::new("cannot start", error))??;
    let text = if config.json { report.json() } else { report.table(colour) };
    print(out, &text).map_err(|error| Failure::output(&error))?;
    if !config.report.is_empty() {
        // Beside the one object of --json nothing stands on standard output; GitHub reads annotations from both.
        report.findings().write(&config.report, if config.json { notes } else { out })?;
    }
    Ok(report.is_good())
}

async fn audit(config: &Audit, notes_are_seen: bool, notes: &mut dyn Write) -> Result<Report, Failure> {
    let endpoint = match &config.subject {
        Subject::Own => &Endpoint::loopback(0),
        Subject::Running { origin, .. } => origin,
    };
    let in_use = |error| Error::new(format!("cannot listen on {endpoint} as the origin"), error);
    let origin = Origin::bind(endpoint).map_err(in_use)?;
    let direct = origin.direct().map_err(in_use)?;
    let ((socket, via), mut signals, _own) = match &config.subject {
        Subject::Running { via, .. } => {
            // If the notes cannot be written, the user has to know the origin's address.
            let _ = writeln!(notes, "listening on {}, as the origin of {via}", origin.address());
            (probe::connect(via, origin.address()).await?, signals()?, None)
        }
        Subject::Own => {
            // From here on the end of this program is also that of its proxy.
            let signals = signals()?;
            let failed =
                |error| Failure::new(Fault::Internal, format!("cannot start a proxy of our own: {error}"));
            let own = OwnProxy::start(direct, config).await.map_err(failed)?;
            let via = Endpoint::loopback(own.address.port());
            (probe::connect(&via, origin.address()).await?, signals, Some(own))
        }
    };
    let ground = Ground::new(origin, direct, via, config);
    let mut report = Report::new(via, ground.origin.address().clone(), config.tls.is_some());
    let mut progress = notes_are_seen.then_some(notes);
    let end: Result<bool, Failure> = {
        let work = async {
            probe::forwards(&ground, socket).await?;
            run::run(&ground, &chosen(config), &mut report, &mut progress).await;
            Ok(())
        };
        let serve = ground.origin.serve();
        let stopped = signals.next();
        pin_mut!(work, serve, stopped);
        // The origin is looked at after the work, which may just have opened it again.
        match select(select(work, serve), stopped).await {
            Either::Left((Either::Left((end, _)), _)) => end.map(|()| true),
            _ => Ok(false),
        }
    };
    run::write(&mut progress, "");
    report.finish(end?, ground.origin.strangers());
    match ground.origin.fault() {
        Some(error) => Err(in_use(error).into()),
        None => Ok(report),
    }
}

fn signals() -> Result<StopSignals, Error> {
    StopSignals::new().map_err(|error| Error::new("cannot watch for signals", error))
}

/// The checks that were asked for, in the order of a report.
fn chosen(config: &Audit) -> Vec<&'static Check> {
    let is_wanted = |check: &&Check| {
        let named = |word: &String| checks::named(word).any(|named| named.name == check.name);
        let asked = config.checks.is_empty() || config.checks.iter().any(named);
        asked && check.suits(config.tls.is_some()) && (check.name != "idle" || config.idle.is_some())
    };
    checks::ALL.iter().filter(is_wanted).collect()
}
