//! The lines that a load prints while it runs: the connections made so far, then one a second. It ends with the last thread.

use crate::{
    runtime::{clock::sleep, mailbox::Mailbox, signals::StopSignals},
    text::units::{self, count, duration},
    tools::load::{
        report::a_second,
        run::Phase,
        settings::Load,
        shared::Shared,
        timeline::{SHORT_REST, Second},
    },
};
use futures::future::{Either, select};
use std::{
    io::Write,
    pin::pin,
    time::{Duration, Instant},
};

const RAMP_EVERY: Duration = Duration::from_secs(1);

enum Event {
    Told,
    Signal,
    /// Time to tell how far the connections are.
    Tick,
}

pub struct Live<'a> {
    notes: &'a mut dyn Write,
    connections: usize,
    warm_up: Duration,
    phase: Phase,
    told: usize,
}

impl<'a> Live<'a> {
    pub fn new(config: &Load, connections: usize, notes: &'a mut dyn Write) -> Self {
        Live { notes, connections, warm_up: config.warm_up, phase: Phase::Ramp, told: 0 }
    }

    /// Prints the news until every thread has ended; true if a signal ended them.
    pub async fn watch(
        &mut self,
        shared: &Shared,
        mut nudges: Mailbox<()>,
        mut signals: StopSignals,
    ) -> bool {
        let mut next_tick = Instant::now() + RAMP_EVERY;
        while shared.progress().running > 0 {
            let tick = next_tick.saturating_duration_since(Instant::now());
            match next_event(&mut nudges, &mut signals, tick).await {
                Event::Told => {}
                Event::Signal => shared.progress().stopped = true,
                Event::Tick => {
                    next_tick += RAMP_EVERY;
                    let ready = shared.progress().ready as u64;
                    if shared.progress().phase == Phase::Ramp {
                        let of = count(self.connections as u64);
                        self.say(&format!("{} of {of} connections\n", count(ready)));
                    }
                }
            }
            self.tell(shared);
        }
        shared.progress().stopped
    }

    fn tell(&mut self, shared: &Shared) {
        // Nothing is written under the lock.
        let (phase, ready, new) = {
            let progress = shared.progress();
            let new = progress.timeline.seconds().get(self.told..).unwrap_or_default().to_vec();
            (progress.phase, progress.ready, new)
        };
        if phase > self.phase {
            self.phase = phase;
            if self.phase == Phase::WarmUp && !self.warm_up.is_zero() {
                let (ready, warm_up) = (count(ready as u64), duration(self.warm_up));
                self.say(&format!("{ready} connections, warming up for {warm_up}\n"));
            }
        }
        self.told += new.len();
        // What is left of a last second is told with the report.
        for second in new.iter().filter(|second| second.length >= SHORT_REST) {
            self.say(&line(second));
        }
    }

    /// A reader that is gone or slow misses it.
    fn say(&mut self, line: &str) {
        let _ = self.notes.write_all(line.as_bytes());
    }
}

async fn next_event(nudges: &mut Mailbox<()>, signals: &mut StopSignals, tick: Duration) -> Event {
    let (told, signal, tick) = (pin!(nudges.next()), pin!(signals.next()), pin!(sleep(tick)));
    match select(signal, select(told, tick)).await {
        Either::Left(_) => Event::Signal,
        Either::Right((Either::Left(_), _)) => Event::Told,
        Either::Right((Either::Right(_), _)) => Event::Tick,
    }
}

fn line(second: &Second) -> String {
    let rate = |amount: u64| a_second(amount, second.length).round() as u64;
    let mut line = format!(
        "{:>4} s {:>12}/s {:>14} sent {:>14} received   p50 {:>8}  p99 {:>8}  max {:>8}",
        second.number,
        count(rate(second.operations)),
        units::rate(rate(second.sent)),
        units::rate(rate(second.received)),
        duration(second.p50),
        duration(second.p99),
        duration(second.max),
    );
    if second.operations == 0 {
        line = format!("{:>4} s  nothing was answered", second.number);
    }
    if second.failures > 0 {
        line += &format!("  {} errors", count(second.failures));
    }
    line + "\n"
}
