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
        findings::{self, Case, Findings},
        load::{
            condition::{self, Condition},
            report::Report,
            run::drive,
            settings::Load,
            shared::Shared,
        },
        tls::TargetTls,
    },
};
use live::Live;
use outcome::Outcome;
use plan::Prepared;
use serde_json::Value;
use std::{
    fmt, fs,
    io::{self, Write},
    path::Path,
    thread,
};

/// Loads the target as `config` says, prints the report to `out` and a line a second to `notes`; whether everything went
/// well. Fails if there is nothing to report.
pub fn run(config: &Load, out: &mut dyn Write, notes: &mut dyn Write) -> Result<bool, Failure> {
    let descriptors = raise_descriptor_limit();
    let message = plan::message(config)?;
    if let Some(warning) = config.tls.as_ref().and_then(TargetTls::warning) {
        let _ = writeln!(notes, "switchboard: {warning}");
    }
    let older = config.compare.as_deref().map(older_run).transpose()?;
    // One nudge that waits is enough: its reader looks at everything.
    let (watcher, nudges) = mailbox(1);
    let prepared = shard::run(plan::prepare(config, message, descriptors, watcher));
    let prepared = prepared.map_err(|error| internal(&error))??;
    let mut live = Live::new(config, prepared.connections, &mut *notes);
    let (report, interrupted) = play(&prepared, nudges, &mut live)?;
    let outcome = Outcome::new(config, prepared, report, interrupted);
    if outcome.prepared.shared.progress().made == 0
        && let Some((fault, why)) = &outcome.report.unreached
    {
        return Err(Failure::unreached(*fault, &config.target.endpoint().to_string(), why));
    }
    tell(&outcome, older.as_ref(), out, notes)
}

/// Prints what came of a run and writes its files; whether everything went well.
fn tell(
    outcome: &Outcome<'_>,
    older: Option<&Value>,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<bool, Failure> {
    let config = outcome.config;
    if let Some(path) = &config.html {
        findings::write(path, &html::Page(outcome).to_string())?;
    }
    let json = json::json(outcome);
    let run: Value = serde_json::from_str(&json).map_err(|error| internal(&error))?;
    let mut text = if config.json { json.clone() } else { text::Text(outcome).to_string() };
    if let Some(older) = older.filter(|_| !config.json) {
        text += &format!("\n{}", condition::comparison(&run, older));
    }
    print(out, &text).map_err(|error| Failure::output(&error))?;
    let cases = cases(config, &run, older);
    // If the notes cannot be written, the exit code says it.
    for problem in cases.iter().filter_map(|case| case.problem.as_ref()) {
        let _ = writeln!(notes, "failed: {problem}");
    }
    if config.tls.is_none() && run["requests"] == 0 && !run["errors_by_cause"]["not_http"].is_null() {
        let _ = writeln!(notes, "what came is not HTTP; tcp://{} takes any bytes", config.target.endpoint());
    }
    let is_good = cases.iter().all(|case| case.problem.is_none());
    if !config.report.is_empty() {
        let page = Some(html::Page(outcome).to_string());
        let summary = text.lines().take_while(|line| !line.starts_with("latency")).collect::<Vec<_>>();
        let findings = Findings {
            tool: "load",
            subject: outcome.target.clone(),
            summary: if config.json { outcome.about() } else { summary.join("\n") },
            took: outcome.report.window,
            cases,
            json,
            page,
        };
        // Beside the one object of --json nothing stands on standard output; GitHub reads annotations from both.
        findings.write(&config.report, if config.json { notes } else { out })?;
    }
    Ok(is_good)
}

/// Each condition, and that nothing failed unless a condition says how much may.
fn cases(config: &Load, run: &Value, older: Option<&Value>) -> Vec<Case> {
    let verdict = |failed| if failed { "failed" } else { "passed" }.to_owned();
    let mut cases = Vec::new();
    if !config.fail_if.iter().any(Condition::is_about_errors) {
        let errors = run["errors"].as_u64().unwrap_or(0);
        let of = |count| match count {
            0 => "no errors".to_owned(),
            1 => "1 error".to_owned(),
            count => format!("{count} errors"),
        };
        cases.push(Case {
            name: "errors".to_owned(),
            about: "every request is answered as it should be".to_owned(),
            verdict: verdict(errors > 0),
            seen: of(errors),
            problem: (errors > 0).then(|| format!("{}: {}", of(errors), run["errors_by_cause"])),
        });
    }
    cases.extend(config.fail_if.iter().map(|condition| {
        let (holds, seen) = condition.judge(run, older);
        let problem = holds.then(|| format!("{seen}, and --fail-if {} holds", condition.text()));
        let about = "a condition of --fail-if".to_owned();
        Case { name: condition.text().to_owned(), about, verdict: verdict(holds), seen, problem }
    }));
    cases
}

/// The JSON report of an older run.
fn older_run(path: &Path) -> Result<Value, Failure> {
    let failed = |why: &dyn fmt::Display| {
        Failure::new(Fault::Input, format!("cannot read '{}': {why}", path.display()))
    };
    let text = fs::read_to_string(path).map_err(|error| failed(&reason(&error)))?;
    let run: Value = serde_json::from_str(&text).map_err(|_| failed(&"it is no JSON"))?;
    if !run["service_ms"].is_object() {
        return Err(failed(&"it is no report of 'load --json' with answered requests"));
    }
    Ok(run)
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
