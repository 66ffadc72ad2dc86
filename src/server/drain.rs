//! What the operator is told of a drain, on stderr: how many sessions are left, for how long, and what was cut.

use crate::{
    error::Error,
    report::reporter::Reporter,
    runtime::clock::sleep,
    server::{supervisor::ServerOutcome, supervisors::Supervisors},
    session::{cause::Cause, record::Record},
    text::units::{self, counted},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two looks at what is left: a person who waits wants to see that it goes on.
const STEP: Duration = Duration::from_secs(5);
/// Sessions that a line names; the log names each.
const NAMED: usize = 5;

/// A drain that has begun.
pub struct Drain {
    reporter: Reporter,
    supervisor: Supervisors,
    /// The sessions that were live when it began.
    live: Vec<Arc<Record>>,
    began: Instant,
    limit: Option<Duration>,
    /// Steps of the countdown so far.
    steps: u32,
    /// A second signal came.
    asked_again: bool,
}

impl Drain {
    /// Lets live sessions finish for at most `limit`, and says so. The acceptors have stopped.
    pub async fn begin(supervisor: Supervisors, limit: Option<Duration>, reporter: Reporter) -> Self {
        let live = supervisor.list().await;
        let began = Instant::now();
        let drain = Drain { reporter, supervisor, live, began, limit, steps: 0, asked_again: false };
        drain.tell(drain.live.len());
        drain.supervisor.drain(limit).await;
        drain
    }

    /// Waits for the next step of the countdown, and tells it. Cancel-safe: a step that is not told comes again.
    pub async fn count_down(&mut self) {
        let due = self.began + STEP * (self.steps + 1);
        sleep(due.saturating_duration_since(Instant::now())).await;
        let left = self.supervisor.list().await.len();
        self.steps += 1;
        if self.left() != Some(Duration::ZERO) {
            self.tell(left);
        }
    }

    /// Cuts what is left.
    pub async fn cut(&mut self) {
        self.asked_again = true;
        self.supervisor.cut().await;
    }

    /// Tells how it ended.
    pub fn end(self, outcome: Result<&ServerOutcome, &Error>) {
        match outcome {
            Ok(ServerOutcome::Drained) => self.reporter.warn("drained"),
            Ok(ServerOutcome::Cut) => self.reporter.warn(self.cuts()),
            Err(_) => {}
        }
    }

    fn left(&self) -> Option<Duration> {
        self.limit.map(|limit| limit.saturating_sub(self.began.elapsed()))
    }

    fn tell(&self, sessions: usize) {
        if sessions == 0 {
            return;
        }
        let time = match self.limit {
            None => "without a limit".to_owned(),
            Some(limit) if self.steps == 0 => format!("up to {}", units::duration(limit)),
            Some(limit) => {
                let left = limit.saturating_sub(STEP * self.steps);
                format!("{} left", units::duration(left))
            }
        };
        self.reporter.warn(format!("draining: {}, {time}; again to cut them", counted(sessions, "session")));
    }

    fn cuts(&self) -> String {
        let cut: Vec<_> = self.live.iter().filter(|record| record.cause() == Cause::Drain).collect();
        let why = if self.asked_again { "by the second signal" } else { "at the drain deadline" };
        let named: Vec<String> =
            cut.iter().take(NAMED).map(|record| format!("#{} of {}", record.id, record.client)).collect();
        let more = match cut.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        format!("cut {} {why}: {}{more}", counted(cut.len(), "session"), named.join(", "))
    }
}
