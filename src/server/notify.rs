//! What a service manager is told (sd_notify(3)): one datagram a message, which waits for no reader. Without `NOTIFY_SOCKET`
//! nothing is said.

use crate::{
    net::{address, passed::Passable},
    runtime::{
        clock::{sleep_until, within},
        task::{Task, spawn},
    },
    server::supervisors::Supervisors,
    text::units::{counted, listed},
};
use rustix::{
    io::IoSlice,
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
        SocketType, sendmsg_addr, socket_with,
    },
    time::{ClockId, clock_gettime},
};
use std::{
    cell::{Cell, RefCell},
    env, io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    process,
    rc::Rc,
    time::{Duration, Instant},
};

pub const SOCKET: &str = "NOTIFY_SOCKET";
pub const WATCHDOG: &str = "WATCHDOG_USEC";
pub const WATCHDOG_PID: &str = "WATCHDOG_PID";
pub const STORE: &str = "FDSTORE";

/// Between two looks at what the status says: a person who asks the manager wants to see that it goes on.
const STEP: Duration = Duration::from_secs(5);
/// How much longer a drain may take, said at each step: three of them, so that one may come late.
const EXTENSION: Duration = Duration::from_secs(15);
/// Addresses that a status names.
const NAMED: usize = 3;

/// The manager's end, as the environment names it.
struct Manager {
    address: Option<SocketAddrUnix>,
    /// How long it may hear nothing; none if it does not ask that of this process.
    watchdog: Option<Duration>,
    /// It keeps sockets.
    stores: bool,
}

impl Manager {
    fn from_environment() -> Self {
        let text = |name| env::var(name).ok();
        let pid = text(WATCHDOG_PID).is_none_or(|pid| pid.parse() == Ok(process::id()));
        let watchdog = text(WATCHDOG).filter(|_| pid).and_then(|text| text.parse().ok());
        Manager {
            address: text(SOCKET).and_then(|text| socket_address(&text)),
            watchdog: watchdog.filter(|microseconds| *microseconds > 0).map(Duration::from_micros),
            stores: env::var_os(STORE).is_some(),
        }
    }

    /// As [`Manager::send`].
    fn say(&self, message: &str) -> bool {
        self.send(message, None)
    }

    /// Whether it need not be said again. A manager that does not read, or is gone, must not hold up the traffic; one whose queue
    /// is full has not got it yet.
    fn send(&self, message: &str, descriptor: Option<BorrowedFd<'_>>) -> bool {
        let Some(address) = &self.address else { return true };
        let send = || -> io::Result<()> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors = descriptor.as_ref().map(std::slice::from_ref);
            if let Some(descriptors) = descriptors {
                control.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            let text = [IoSlice::new(message.as_bytes())];
            sendmsg_addr(&socket, address, &text, &mut control, SendFlags::NOSIGNAL)?;
            Ok(())
        };
        send().err().is_none_or(|error| error.kind() != io::ErrorKind::WouldBlock)
    }
}

/// `/path` or `@abstract`; another form, such as `vsock:`, is of no manager of this machine.
fn socket_address(text: &str) -> Option<SocketAddrUnix> {
    text.starts_with(['/', '@']).then(|| address::unix(Path::new(text)).ok()).flatten()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Accepting,
    Draining,
    /// Another process speaks for the service.
    Silent,
}

/// A server as it tells its manager of itself. Dropping it ends that.
pub struct Notify {
    teller: Rc<Teller>,
    _task: Option<Task<()>>,
}

struct Teller {
    manager: Manager,
    supervisors: Supervisors,
    /// Where the server listens, for the status.
    addresses: RefCell<String>,
    passable: Passable,
    /// The names of the sockets that the manager keeps.
    stored: RefCell<Vec<String>>,
    phase: Cell<Phase>,
    /// What the status says in place of how the server does.
    note: RefCell<Option<String>>,
    /// The status that the manager knows.
    told: RefCell<String>,
    /// What it has to be told again with the status, for its queue was full.
    unsaid: RefCell<String>,
}

impl Notify {
    /// Nothing is said before [`Notify::started`].
    pub fn start(supervisors: Supervisors, addresses: &[String], passable: Passable) -> Self {
        Self::over(Manager::from_environment(), supervisors, addresses, passable)
    }

    fn over(manager: Manager, supervisors: Supervisors, addresses: &[String], passable: Passable) -> Self {
        let teller = Rc::new(Teller {
            manager,
            supervisors,
            addresses: RefCell::new(listed(addresses, NAMED)),
            passable,
            stored: RefCell::default(),
            phase: Cell::new(Phase::Accepting),
            note: RefCell::default(),
            told: RefCell::default(),
            unsaid: RefCell::default(),
        });
        let is_heard = teller.manager.address.is_some();
        let task = is_heard.then(|| spawn(teller.clone().go_on()));
        Notify { teller, _task: task }
    }

    /// Connections can be made; `taken_over` says that this process does it in place of another.
    pub fn started(&self, taken_over: bool) {
        let main = if taken_over { format!("\nMAINPID={}", process::id()) } else { String::new() };
        self.teller.say_with_status(&format!("READY=1{main}"));
        // A socket for each listener and thread may fill the manager's queue.
        self.store();
    }

    /// Gives the sockets to the manager, which passes them to the next start if this process dies. Again after a reload.
    pub fn store(&self) {
        if !self.teller.manager.stores {
            return;
        }
        // A name may have lost some of its sockets.
        self.teller.stored.take().iter().for_each(|name| self.forget(name));
        for (name, descriptor) in self.teller.passable.listeners() {
            self.teller.manager.send(&format!("FDSTORE=1\nFDNAME={name}"), Some(descriptor.as_fd()));
        }
        *self.teller.stored.borrow_mut() = self.teller.passable.names();
    }

    /// The manager shall not keep the sockets of this name any more.
    pub fn forget(&self, name: &str) {
        if self.teller.manager.stores {
            self.teller.manager.say(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
        }
    }

    /// The server accepts at other addresses than before.
    pub fn moved(&self, addresses: &[String]) {
        *self.teller.addresses.borrow_mut() = listed(addresses, NAMED);
    }

    /// A reload begins. [`Notify::reloaded`] has to follow.
    pub fn reloading(&self) {
        self.teller.manager.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_microseconds()));
    }

    /// A reload has ended; if it was refused, the status says why until the next one.
    pub fn reloaded(&self, refused: Option<&str>) {
        *self.teller.note.borrow_mut() = refused.map(|why| format!("reload refused: {why}"));
        self.teller.say_with_status("READY=1");
    }

    /// The drain begins.
    pub fn stopping(&self) {
        self.teller.phase.set(Phase::Draining);
        *self.teller.note.borrow_mut() = None;
        // What is closed from now on shall be refused, not kept by the manager.
        self.teller.stored.take().iter().for_each(|name| self.forget(name));
        self.teller.say_with_status(&format!("STOPPING=1\n{}", extension()));
    }

    /// Another process speaks for the service from now on.
    pub fn fall_silent(&self) {
        self.teller.phase.set(Phase::Silent);
    }
}

impl Teller {
    async fn go_on(self: Rc<Self>) {
        let every = self.manager.watchdog.map(|longest| longest / 2);
        let begin = Instant::now();
        let (mut step, mut sign) = (begin + STEP, every.map(|every| begin + every));
        loop {
            sleep_until(sign.map_or(step, |sign| sign.min(step))).await;
            if self.phase.get() == Phase::Silent {
                return;
            }
            let now = Instant::now();
            if let (Some(every), Some(due)) = (every, sign.filter(|due| *due <= now)) {
                // A shard that does not answer has no sign of life for the others either.
                if within(Some(every), self.supervisors.state()).await.is_some() {
                    self.manager.say("WATCHDOG=1");
                }
                sign = Some((due + every).max(now));
            }
            if step <= now {
                step = now + STEP;
                let unsaid = self.unsaid.take();
                if self.phase.get() == Phase::Draining && unsaid.is_empty() {
                    self.say_with_status(&extension());
                } else if !unsaid.is_empty() || self.status() != *self.told.borrow() {
                    self.say_with_status(&unsaid);
                }
            }
        }
    }

    fn say_with_status(&self, message: &str) {
        let status = self.status();
        let is_said = self.manager.say(format!("{message}\nSTATUS={status}").trim_start());
        *self.unsaid.borrow_mut() = if is_said { String::new() } else { message.to_owned() };
        if is_said {
            *self.told.borrow_mut() = status;
        }
    }

    fn status(&self) -> String {
        if let Some(note) = &*self.note.borrow() {
            return note.replace(['\n', '\r'], " ");
        }
        let live = self.supervisors.live();
        let sessions = counted(live, "session");
        match self.phase.get() {
            Phase::Draining => format!("draining; {sessions}"),
            _ => format!("accepting on {}; {sessions}", self.addresses.borrow()),
        }
    }
}

fn monotonic_microseconds() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

fn extension() -> String {
    format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        runtime::{clock::sleep, shard::run},
        server::{
            books::{Books, Remembered},
            supervisor::IdleSupervisor,
            supervisors::Common,
        },
        session::{context::Context, event::Events, record::Record, target::Target},
    };
    use std::{
        os::unix::net::UnixDatagram,
        sync::{Arc, atomic::AtomicU64},
    };
    use tempfile::TempDir;

    #[test]
    fn only_a_socket_of_this_machine_is_spoken_to() {
        for text in ["/run/notify", "@notify"] {
            assert!(socket_address(text).is_some(), "{text}");
        }
        for text in ["", "vsock:2:1234", "relative", &format!("/{}", "x".repeat(108))] {
            assert!(socket_address(text).is_none(), "{text}");
        }
    }

    /// A server of two shards that have not begun, and what its manager hears.
    fn sample(watchdog: Option<Duration>) -> (Notify, Vec<IdleSupervisor>, UnixDatagram, TempDir) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let listening: Arc<_> = Record::sample(1, Target::Echo).listening.clone();
        let remembered = Arc::new(Remembered::new(1));
        let books = Books::new(std::slice::from_ref(&listening), remembered.clone());
        let context = Context::sample_telling(Events::new(None, Arc::default()));
        let common = Common { context, last_id: AtomicU64::new(0) };
        let (supervisors, idle) = Supervisors::new(common, books, remembered, 2);
        let address = socket_address(path.to_str().unwrap());
        let manager = Manager { address, watchdog, stores: false };
        (Notify::over(manager, supervisors, &["a:1".into()], Passable::default()), idle, socket, folder)
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut room = [0; 512];
        let next = || socket.recv(&mut room).ok().map(|count| String::from_utf8_lossy(&room[..count]).into());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_shard_that_does_not_answer_takes_the_sign_of_life_away() {
        let every = Duration::from_millis(10);
        run(async {
            let (_notify, idle, socket, _folder) = sample(Some(every * 2));
            let mut idle = idle.into_iter();
            let _first = spawn(idle.next().unwrap().run());
            sleep(every * 20).await;
            assert_eq!(heard(&socket), Vec::<String>::new(), "the second shard does nothing");
            let _second = spawn(idle.next().unwrap().run());
            let signs = async {
                while heard(&socket).is_empty() {
                    sleep(every).await;
                }
            };
            assert!(within(Some(Duration::from_secs(10)), signs).await.is_some());
        })
        .unwrap();
    }

    #[test]
    fn what_does_not_fit_the_managers_queue_is_said_again() {
        run(async {
            let (notify, _idle, socket, folder) = sample(None);
            let filler = UnixDatagram::unbound().unwrap();
            filler.set_nonblocking(true).unwrap();
            while filler.send_to(b"x", folder.path().join("notify")).is_ok() {}
            notify.started(true);
            assert!(heard(&socket).iter().all(|text| text == "x"));
            let said = async {
                loop {
                    if let Some(text) = heard(&socket).pop() {
                        return text;
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            };
            let said = within(Some(STEP * 3), said).await;
            let ready = format!("READY=1\nMAINPID={}\nSTATUS=accepting on a:1; 0 sessions", process::id());
            assert_eq!(said, Some(ready));
        })
        .unwrap();
    }

    #[test]
    fn a_reload_is_one_message_with_its_time_and_ends_with_another_also_if_it_is_refused() {
        run(async {
            let (notify, _idle, socket, _folder) = sample(None);
            let before = monotonic_microseconds();
            notify.reloading();
            notify.reloaded(Some("a.toml:1:2: error:\nwhat"));
            notify.reloading();
            notify.reloaded(None);
            let heard = heard(&socket);
            let time: i64 = heard[0].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
            assert!((before..=monotonic_microseconds()).contains(&time));
            assert_eq!(heard[1], "READY=1\nSTATUS=reload refused: a.toml:1:2: error: what");
            assert_eq!(heard[3], "READY=1\nSTATUS=accepting on a:1; 0 sessions");
            notify.moved(&["a:2".into()]);
            notify.reloaded(None);
            assert_eq!(self::heard(&socket), ["READY=1\nSTATUS=accepting on a:2; 0 sessions"]);
            notify.stopping();
            notify.fall_silent();
        })
        .unwrap();
    }
}
