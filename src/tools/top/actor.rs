//! The actor that owns what is shown: keys, answers, pieces of a tap, signals and the time come to it, and screens go from it.

use crate::{
    control::{client::ControlClient, protocol::Greeting},
    error::Error,
    runtime::{
        clock::{Sleep, sleep_until},
        mailbox::{Mailbox, Sender, mailbox},
        signals::{TerminalSignal, TerminalSignals, stop_here},
        task::Task,
    },
    tools::{
        ctl::Failure,
        top::{
            keyboard::{self, Key},
            link::{self, Answer, Link, Question, Tap, Tapped, Told},
            paint::Paint,
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
    /// A server answered, or has gone.
    Answer {
        server: usize,
        answer: Result<Answer, Failure>,
    },
    Tap {
        number: u64,
        told: Tapped,
    },
    /// What a session said.
    Told {
        server: usize,
        told: Told,
    },
    /// A server has started.
    Found {
        path: PathBuf,
        greeting: Box<Greeting>,
    },
    /// The terminal took a screen, or has gone.
    Written(io::Result<()>),
    Signal(TerminalSignal),
    /// It is time for the next look.
    Tick,
}

/// A server that is looked at.
struct Watched {
    path: PathBuf,
    /// None once it has gone.
    link: Option<Link>,
    /// A look is under way; whether the next is to follow at once.
    looking: Option<bool>,
    /// Once they are wanted.
    events: Option<Task<()>>,
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
    /// By the numbers that the state has for them.
    servers: Vec<Watched>,
    _finder: Option<Task<()>>,
    tap: Option<Tap>,
    taps: u64,
    writer: Writer,
    tty: Arc<Tty>,
    /// The shell has the terminal.
    suspended: bool,
}

impl Actor {
    /// Watches `clients`; with `finds` those that start later as well.
    pub fn start(
        config: Top,
        clients: Vec<ControlClient>,
        finds: bool,
        signals: TerminalSignals,
        tty: Arc<Tty>,
    ) -> Result<Self, Failure> {
        let failed = |error| Error::new("cannot start", error);
        let (address, events) = mailbox(EVENTS);
        let state = State::new(config.sort, config.from);
        let paint = Paint { colour: config.colour, plain: config.plain };
        keyboard::start(tty.clone(), address.clone()).map_err(failed)?;
        let writer = Writer::start(tty.clone(), paint, address.clone()).map_err(failed)?;
        let now = Instant::now();
        let known = clients.iter().map(|client| client.path.clone()).collect();
        let finder = finds.then(|| link::find(known, address.clone()));
        let mut actor = Actor {
            config,
            state,
            events,
            address,
            signals,
            tick: sleep_until(now),
            next_tick: now,
            servers: Vec::new(),
            _finder: finder,
            tap: None,
            taps: 0,
            writer,
            tty,
            suspended: false,
        };
        clients.into_iter().for_each(|client| actor.add(client));
        Ok(actor)
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
                Event::Answer { server, answer } => self.answered(server, answer)?,
                Event::Tap { number, told } => {
                    if self.tap.as_ref().is_some_and(|tap| tap.number == number) {
                        self.state.tapped(told);
                    }
                }
                Event::Told { server, told } => self.state.told(server, told),
                Event::Found { path, greeting } => {
                    self.state.notice = Some(format!("{} has started", greeting.about()));
                    let number = self.state.add_server(*greeting);
                    let link = Link::connect(path.clone(), number, self.address.clone());
                    self.watch(path, link);
                    self.look();
                }
                Event::Tick => self.ticked()?,
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

    fn add(&mut self, client: ControlClient) {
        let number = self.state.add_server(client.greeting.clone());
        let path = client.path.clone();
        let link = Link::start(client, number, self.address.clone());
        self.watch(path, link);
    }

    fn watch(&mut self, path: PathBuf, link: Link) {
        self.servers.push(Watched { path, link: Some(link), looking: None, events: None });
        self.follow_events();
    }

    fn answered(&mut self, server: usize, answer: Result<Answer, Failure>) -> Result<(), Failure> {
        match answer {
            Ok(answer) => {
                let is_look = matches!(answer, Answer::Look(_));
                let watched = &mut self.servers[server];
                let more = is_look && watched.looking.take().unwrap_or(false);
                if self.state.answer(server, answer) | more {
                    self.look();
                }
            }
            Err(failure) => {
                self.servers[server].link = None;
                self.servers[server].looking = None;
                if self.servers.iter().all(|watched| watched.link.is_none()) {
                    return Err(failure);
                }
                self.state.remove_server(server);
                self.follow_tap();
            }
        }
        Ok(())
    }

    fn ticked(&mut self) -> Result<(), Failure> {
        self.next_tick = (self.next_tick + self.config.interval).max(Instant::now());
        self.tick = sleep_until(self.next_tick);
        if self.suspended {
            // The shell did not stop us, or lets us go on.
            return self.redraw();
        }
        for server in 0..self.servers.len() {
            if self.servers[server].looking.is_none() {
                self.look_at(server);
            }
        }
        Ok(())
    }

    /// Does what a key asked for; false if that is to leave.
    fn act(&mut self, action: Action) -> Result<bool, Failure> {
        self.follow_events();
        match action {
            Action::Quit => return Ok(false),
            Action::Show => {}
            Action::Look => self.look(),
            Action::Redraw => self.resize()?,
            Action::Suspend => self.suspend(),
            Action::Cut { server, session, fin } => {
                let link = self.servers.get(server).and_then(|watched| watched.link.as_ref());
                if !link.is_some_and(|link| link.ask(Question::Cut { session, fin })) {
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

    /// Looks at all servers now, or after the look that is under way.
    fn look(&mut self) {
        (0..self.servers.len()).for_each(|server| self.look_at(server));
    }

    fn look_at(&mut self, server: usize) {
        let watched = &mut self.servers[server];
        let Some(link) = &watched.link else { return };
        if watched.looking.is_some() {
            watched.looking = Some(true);
            return;
        }
        let (choice, session, ended) = self.state.wanted_of(server);
        if link.ask(Question::Look { choice, session, ended }) {
            watched.looking = Some(false);
        }
    }

    /// Follows the events of all servers, once they are wanted.
    fn follow_events(&mut self) {
        if !self.state.follows_events() {
            return;
        }
        for (number, watched) in self.servers.iter_mut().enumerate() {
            let start = || link::follow_events(watched.path.clone(), number, self.address.clone());
            watched.events.get_or_insert_with(start);
        }
    }

    /// Taps the session that is to be tapped, and no other.
    fn follow_tap(&mut self) {
        let wanted = self.state.wants_tap();
        if wanted == self.tap.as_ref().map(|tap| tap.of) {
            return;
        }
        self.taps += 1;
        let start = |of: (usize, u64)| {
            let path = self.servers[of.0].path.clone();
            Tap::start(path, self.taps, of, self.address.clone())
        };
        self.tap = wanted.map(start);
    }

    fn resize(&mut self) -> Result<(), Failure> {
        let area = self.writer.resize()?;
        self.state.resize(area);
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
