//! The actor that owns what is shown: keys, answers, pieces of a tap, signals and the time come to it, and screens go from it.

use crate::{
    control::client::ControlClient,
    error::Error,
    runtime::{
        clock::{Sleep, sleep_until},
        mailbox::{Mailbox, Sender, mailbox},
        signals::{TerminalSignal, TerminalSignals, stop_here},
    },
    tools::{
        ctl::Failure,
        top::{
            keyboard::{self, Key},
            link::{Answer, Link, Question, Tap, Tapped},
            paint::Paint,
            screen,
            settings::Top,
            state::{Action, State},
            tty::Tty,
            writer::Writer,
        },
    },
};
use futures::{FutureExt, select_biased};
use std::{io, path::PathBuf, sync::Arc, time::Instant};

/// Events wait here while a screen is drawn: some hundred bytes each.
const EVENTS: usize = 64;

pub enum Event {
    Key(Key),
    /// No keys come any more: the terminal has gone.
    KeyboardGone,
    /// The server answered, or has gone.
    Answer(Result<Answer, Failure>),
    Tap {
        number: u64,
        told: Tapped,
    },
    /// The terminal took a screen, or has gone.
    Written(io::Result<()>),
    Signal(TerminalSignal),
    /// It is time for the next look.
    Tick,
}

pub struct Actor {
    config: Top,
    state: State,
    events: Mailbox<Event>,
    /// Where threads and tasks tell what happens.
    address: Sender<Event>,
    signals: TerminalSignals,
    tick: Sleep,
    next_tick: Instant,
    link: Link,
    /// A look is under way; whether the next is to follow at once.
    looking: Option<bool>,
    path: PathBuf,
    tap: Option<Tap>,
    taps: u64,
    writer: Writer,
    tty: Arc<Tty>,
    /// The shell has the terminal.
    suspended: bool,
}

impl Actor {
    pub fn start(
        config: Top,
        client: ControlClient,
        signals: TerminalSignals,
        tty: Arc<Tty>,
    ) -> Result<Self, Failure> {
        let failed = |error| Error::new("cannot start", error);
        let (address, events) = mailbox(EVENTS);
        let state = State::new(client.greeting.clone(), config.sort, config.from);
        let paint = Paint { colour: config.colour };
        keyboard::start(tty.clone(), address.clone()).map_err(failed)?;
        let writer = Writer::start(tty.clone(), paint, address.clone()).map_err(failed)?;
        let path = client.path.clone();
        let link = Link::start(client, address.clone());
        let now = Instant::now();
        Ok(Actor {
            config,
            state,
            events,
            address,
            signals,
            tick: sleep_until(now),
            next_tick: now,
            link,
            looking: None,
            path,
            tap: None,
            taps: 0,
            writer,
            tty,
            suspended: false,
        })
    }

    /// Shows what happens until the user leaves.
    pub async fn run(mut self) -> Result<(), Failure> {
        self.resize()?;
        loop {
            let event = self.next_event().await;
            let shows = !matches!(event, Event::Written(_));
            match event {
                Event::Key(key) => {
                    let action = self.state.key(key);
                    if !self.act(action)? {
                        return Ok(());
                    }
                }
                Event::Answer(answer) => {
                    let answer = answer?;
                    let more = match &answer {
                        Answer::Look(_) => self.looking.take().unwrap_or(false),
                        Answer::Cut { .. } => false,
                    };
                    if self.state.answer(answer) | more {
                        self.look();
                    }
                }
                Event::Tap { number, told } => {
                    if self.tap.as_ref().is_some_and(|tap| tap.number == number) {
                        self.state.tapped(told);
                    }
                }
                Event::Tick => {
                    self.next_tick = (self.next_tick + self.config.interval).max(Instant::now());
                    self.tick = sleep_until(self.next_tick);
                    if self.suspended {
                        // The shell did not stop us, or lets us go on.
                        self.redraw()?;
                    } else if self.looking.is_none() {
                        self.look();
                    }
                }
                Event::Written(written) => self.writer.written(written)?,
                Event::Signal(TerminalSignal::Resized) => self.resize()?,
                Event::Signal(TerminalSignal::Continued) => self.redraw()?,
                Event::Signal(TerminalSignal::Stop) | Event::KeyboardGone => return Ok(()),
            }
            self.writer.draw(&self.state, shows)?;
        }
    }

    async fn next_event(&mut self) -> Event {
        let mut tick = (&mut self.tick).fuse();
        select_biased! {
            signal = self.signals.next().fuse() => Event::Signal(signal),
            event = self.events.next().fuse() => event.expect("the actor holds an address of its own"),
            () = tick => Event::Tick,
        }
    }

    /// Does what a key asked for; false if that is to leave.
    fn act(&mut self, action: Action) -> Result<bool, Failure> {
        match action {
            Action::Quit => return Ok(false),
            Action::Show => {}
            Action::Look => self.look(),
            Action::Redraw => self.resize()?,
            Action::Suspend => self.suspend(),
            Action::Cut { session, fin } => {
                if !self.link.ask(Question::Cut { session, fin }) {
                    self.state.notice = Some("the server is behind; it was not cut".to_owned());
                }
            }
            Action::Tap => {
                self.follow_tap();
                self.look();
            }
        }
        Ok(true)
    }

    /// Looks now, or after the look that is under way.
    fn look(&mut self) {
        if self.looking.is_some() {
            self.looking = Some(true);
            return;
        }
        let session = self.state.detail.as_ref().map(|detail| detail.session);
        if self.link.ask(Question::Look { choice: self.state.wanted(), session }) {
            self.looking = Some(false);
        }
    }

    /// Taps the session that is to be tapped, and no other.
    fn follow_tap(&mut self) {
        let wanted = self.state.detail.as_ref().filter(|detail| detail.tapped).map(|detail| detail.session);
        if wanted == self.tap.as_ref().map(|tap| tap.session) {
            return;
        }
        self.taps += 1;
        let start = |session| Tap::start(self.path.clone(), self.taps, session, self.address.clone());
        self.tap = wanted.map(start);
    }

    fn resize(&mut self) -> Result<(), Failure> {
        let area = self.writer.resize()?;
        self.state.page.resize(screen::room(area));
        self.look();
        Ok(())
    }

    /// Another program may have written to the terminal, or changed its settings.
    fn redraw(&mut self) -> Result<(), Failure> {
        self.suspended = false;
        self.tty.enter()?;
        self.resize()
    }

    /// Gives the terminal to the shell. Going on is a signal, or the next tick if the shell has not stopped us.
    fn suspend(&mut self) {
        self.suspended = true;
        self.tty.give_back();
        self.next_tick = Instant::now() + self.config.interval;
        self.tick = sleep_until(self.next_tick);
        stop_here();
    }
}
