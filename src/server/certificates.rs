//! The watch over the certificates of the plan in force: a file that changes is taken within 10 s, without a reload. A set that
//! does not fit together leaves the old one in use, told once a minute.
//!
//! Files are compared, not watched: links that are swapped, bind mounts and network file systems need no case of their own.

use crate::{
    net::tls::files::TlsRenewal,
    report::reporter::Reporter,
    runtime::{
        blocking::blocking,
        clock::sleep,
        task::{Task, spawn},
    },
    server::{in_force::PlanInForce, keeper::persist, plan::Plan},
    session::event::What,
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

const LOOK_EVERY: Duration = Duration::from_secs(8);
const REFUSAL_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Dropping it ends the watch.
pub struct CertificateWatch {
    _task: Task<()>,
}

impl CertificateWatch {
    pub fn start(in_force: PlanInForce, reporter: Reporter) -> Self {
        let task = async move {
            let warn = |line: String| reporter.warn(line);
            let tell = |applied, line: String| {
                warn(line.clone());
                reporter.events().tell(What::Config { applied, lines: vec![line] });
            };
            let watch = async || watch(&in_force, &tell).await;
            persist("certificates", "their watch", &warn, watch).await;
        };
        CertificateWatch { _task: spawn(task) }
    }
}

/// Tells what was renewed, and what was not taken.
async fn watch(in_force: &PlanInForce, tell: &impl Fn(bool, String)) {
    let mut told = HashMap::<String, Instant>::new();
    loop {
        sleep(LOOK_EVERY).await;
        let in_force = in_force.get();
        // No thread is woken for a plan without files to look at.
        if !in_force.plan.as_ref().is_some_and(speaks_tls) {
            continue;
        }
        for (name, renewal) in blocking(move || look(&in_force.plan)).await {
            match renewal {
                TlsRenewal::Same => drop(told.remove(&name)),
                TlsRenewal::Renewed(files) => {
                    told.remove(&name);
                    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
                    tell(true, format!("{name}: certificates renewed: {}", files.join(", ")));
                }
                TlsRenewal::Refused(why) => {
                    if told.get(&name).is_none_or(|last| last.elapsed() >= REFUSAL_TOLD_EVERY) {
                        tell(false, format!("{name}: the new certificates are not taken: {why}"));
                        told.insert(name, Instant::now());
                    }
                }
            }
        }
    }
}

fn speaks_tls(plan: &Plan) -> bool {
    !plan.tls.is_empty() || plan.upstreams.iter().any(|one| one.settings.tls.is_some())
}

/// Looks at the files of everything in a plan that speaks TLS; it waits for the file system.
fn look(plan: &Option<Plan>) -> Vec<(String, TlsRenewal)> {
    let Some(plan) = plan else { return Vec::new() };
    let ended = plan.tls.iter().map(|one| (format!("tls {}", one.name), one.tls.look()));
    let begun = plan.upstreams.iter().filter_map(|one| {
        let renewal = one.settings.tls.as_ref()?.look();
        Some((format!("upstream {}", one.name), renewal))
    });
    ended.chain(begun).collect()
}
