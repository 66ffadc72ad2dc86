//! The checks of a group's servers: for each server one actor, which asks again and again whether it works, and notes what it
//! finds with the server. It runs beside shard 0 only, however many shards there are.
//!
//! A check leaves a server nothing to complain of: one that only connects is reset before the handshake is through, so that
//! the server's program never sees it; one that asks ends its stream, and reads the server's to its end.

use crate::{
    error::reason,
    net::{
        address::Address,
        buffer::{BUFFER_BYTES, Buffer},
        dial::{Destination, DialError, DialFailureKind, dial},
        options::Options,
    },
    relay::{
        chunk::{Chunk, ChunkSink, ChunkSource},
        direction::Direction,
        leg::{Leg, LegReader, LegWriter},
    },
    runtime::{
        clock::{sleep_until, within},
        random::jittered,
        task::{Task, spawn},
    },
    server::{
        keeper::{KeeperContext, persist},
        plan::Check,
    },
    session::{
        event::What,
        group::{Change, Group, GroupSettings, Server, Standing},
        preamble::Preamble,
    },
    text::{escape::Escaped, units::duration},
};
use futures::lock::Mutex;
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};

/// The part of a period that a jittered one has at least.
const SHORTEST_PERIOD: f64 = 0.9;
/// What is searched of an answer.
const ANSWER_BYTES: usize = 4096;
/// After its last word a server has this long to end its stream, and this many bytes; then the connection is closed without it.
const FAREWELL: Duration = Duration::from_millis(500);
const FAREWELL_BYTES: usize = 64 * 1024;
/// What an error shows of the bytes that were expected.
const SHOWN_BYTES: usize = 40;

/// The checkers of a group's members.
pub struct Checkers {
    group: Arc<Group>,
    check: Arc<Check>,
    surroundings: KeeperContext,
    running: Vec<(Arc<Server>, Task<()>)>,
}

/// What checkers ask, each with its last answer: a server that is in several upstreams is asked once for all that ask the same.
#[derive(Clone, Default)]
pub struct Questions(Rc<RefCell<Vec<Weak<Question>>>>);

struct Question {
    destination: Destination,
    /// Without when, and how often.
    check: Check,
    settings: GroupSettings,
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Questions {
    fn find(&self, destination: &Destination, check: &Check, settings: &GroupSettings) -> Rc<Question> {
        let check = Check { every: Duration::ZERO, fall: 0, rise: 0, ..check.clone() };
        let mut all = self.0.borrow_mut();
        all.retain(|question| question.strong_count() > 0);
        let is_same = |one: &Rc<Question>| {
            one.destination == *destination
                && one.check == check
                && one.settings.send_proxy == settings.send_proxy
        };
        if let Some(found) = all.iter().filter_map(Weak::upgrade).find(is_same) {
            return found;
        }
        let (destination, settings) = (destination.clone(), settings.clone());
        let question = Rc::new(Question { destination, check, settings, last: Mutex::default() });
        all.push(Rc::downgrade(&question));
        question
    }
}

impl Question {
    /// What the server answers, or answered another checker less than a period ago; none if that cannot be found out now.
    async fn answer(&self, check: &Check, surroundings: &KeeperContext) -> Option<Result<(), String>> {
        let mut last = self.last.lock().await;
        if let Some((asked, answer)) = &*last
            && asked.elapsed() < check.every.mul_f64(SHORTEST_PERIOD)
        {
            return Some(answer.clone());
        }
        let (begin, own) = (Instant::now(), surroundings.context.own.get());
        let answer = match ask(&self.destination, &self.check, &self.settings, &own).await {
            Ok(()) => Ok(()),
            Err(Failure::Server(why)) => Err(why),
            Err(Failure::Shortage) => return None,
        };
        *last = Some((begin, answer.clone()));
        Some(answer)
    }
}

/// Why a check did not succeed.
#[derive(Debug)]
enum Failure {
    /// In words.
    Server(String),
    /// There was no descriptor, which says nothing of the server.
    Shortage,
}

impl Checkers {
    /// None run yet.
    pub fn new(group: Arc<Group>, check: Check, surroundings: KeeperContext) -> Self {
        Checkers { group, check: Arc::new(check), surroundings, running: Vec::new() }
    }

    /// Has each member checked, and no other server.
    pub fn follow(&mut self) {
        let members = self.group.members();
        let is_member =
            |server: &Arc<Server>| members.iter().any(|member| Arc::ptr_eq(&member.server, server));
        self.running.retain(|(server, _)| is_member(server));
        for member in &members {
            if !self.running.iter().any(|(server, _)| Arc::ptr_eq(server, &member.server)) {
                let (group, server) = (self.group.clone(), member.server.clone());
                let (check, surroundings) = (self.check.clone(), self.surroundings.clone());
                let watched = server.clone();
                let task = spawn(async move {
                    let name = format!("upstream {}: server {}", group.name, watched.address());
                    let watch = async || watch(&group, &watched, &check, &surroundings).await;
                    persist(&name, "its checks", &*surroundings.warn, watch).await;
                });
                self.running.push((server, task));
            }
        }
    }
}

/// The actor of one server.
async fn watch(group: &Group, server: &Arc<Server>, check: &Check, surroundings: &KeeperContext) {
    let question = surroundings.questions.find(&server.destination, check, &group.settings);
    loop {
        // A checker before this one may have asked a moment ago.
        sleep_until(server.next_check(jittered(check.every))).await;
        server.note_check_begun();
        let Some(result) = question.answer(check, surroundings).await else { continue };
        let Some(change) = server.note_check(result, check.fall, check.rise) else { continue };
        if group.settings.cut_on_down && matches!(change, Change::Down(_)) {
            (surroundings.on_down)(group, server).await;
        }
        // An operator who takes it out knows that it will be down.
        if server.standing(Instant::now()) != Standing::Maintenance {
            surroundings.context.events.tell(What::server(group, server, change));
        }
    }
}

/// Checks a server once. `own` are this program's listening addresses.
async fn ask(
    destination: &Destination,
    check: &Check,
    settings: &GroupSettings,
    own: &[Address],
) -> Result<(), Failure> {
    let begin = Instant::now();
    let preamble = Preamble::of_check(settings.send_proxy, check.tls.as_ref());
    let only_connects = check.send.is_empty() && check.expect.is_empty() && check.tls.is_none();
    let options = Options { holds_ack: only_connects, ..Options::default() };
    let dialled = dial(destination, &options, Some(check.timeout), own).await;
    let dialled = dialled.map_err(|error| Failure::of(error, destination, check))?;
    if only_connects {
        // A UNIX socket has no RST: there it is the end of a stream of nothing.
        return Ok(());
    }
    let left = || Some(check.timeout.saturating_sub(begin.elapsed()));
    let more = !check.send.is_empty();
    let greeted = within(left(), preamble.give_for_check(dialled.socket, &destination.endpoint, more)).await;
    let greeted = greeted.unwrap_or_else(|| Err(io::Error::other(no_answer(check))));
    let leg = greeted.map_err(|error| Failure::Server(reason(&error).to_string()))?;
    let mut answer = Vec::new();
    let result = within(left(), talk(&leg, check, &mut answer)).await;
    let result = result.unwrap_or_else(|| match answer.is_empty() {
        true => Err(no_answer(check)),
        false => Err(not_held(check)),
    });
    take_leave(leg).await;
    result.map_err(Failure::Server)
}

impl Failure {
    fn of(error: DialError, destination: &Destination, check: &Check) -> Self {
        let prefix = format!("cannot connect to {}: ", destination.endpoint);
        let reason = error.text.strip_prefix(&prefix);
        let is_unresolved = destination.target().is_err() && error.resolve.is_none();
        Failure::Server(match (error.kind, reason) {
            (DialFailureKind::Resources, _) => return Failure::Shortage,
            (DialFailureKind::TimedOut, _) if is_unresolved => error.text,
            (DialFailureKind::TimedOut, _) => no_answer(check),
            (DialFailureKind::Refused, Some(_)) => "connect refused".into(),
            (_, Some(reason)) => reason.into(),
            (_, None) => error.text,
        })
    }
}

/// Sends what is to be sent, and reads until the answer holds what is expected.
/// Errors: why it does not, in words.
async fn talk(leg: &Rc<Leg>, check: &Check, answer: &mut Vec<u8>) -> Result<(), String> {
    let lost = |error: io::Error| format!("the connection broke: {}", reason(&error));
    let mut writer = LegWriter::new(leg);
    for piece in check.send.chunks(BUFFER_BYTES) {
        let mut chunk = Chunk::Bytes(Buffer::holding(piece));
        while !chunk.is_empty() {
            writer.write(&mut chunk).await.map_err(lost)?;
        }
    }
    let (expect, mut reader, unwatched) = (&check.expect, LegReader::new(leg, false), Direction::new());
    while !expect.is_empty() && !answer.windows(expect.len()).any(|window| window == &expect[..]) {
        // The end, or all that is searched.
        let next =
            if answer.len() < ANSWER_BYTES { reader.read(&unwatched).await.map_err(lost)? } else { None };
        let Some(chunk) = next else { return Err(not_held(check)) };
        answer.extend_from_slice(chunk.bytes().unwrap_or_default());
        answer.truncate(ANSWER_BYTES);
    }
    Ok(())
}

/// Ends the connection so that no side sees an error, if the server ends its stream too.
async fn take_leave(leg: Rc<Leg>) {
    let rest = async {
        poll_fn(|context| LegWriter::new(&leg).poll_finish(context)).await?;
        let (mut left, mut reader, unwatched) =
            (FAREWELL_BYTES, LegReader::new(&leg, false), Direction::new());
        while let Some(chunk) = reader.read(&unwatched).await?
            && left > 0
        {
            left = left.saturating_sub(chunk.len());
        }
        io::Result::Ok(())
    };
    within(Some(FAREWELL), rest).await;
    leg.close();
}

fn no_answer(check: &Check) -> String {
    format!("no answer within {}", duration(check.timeout))
}

fn not_held(check: &Check) -> String {
    let shown = &check.expect[..check.expect.len().min(SHOWN_BYTES)];
    let more = if shown.len() < check.expect.len() { "…" } else { "" };
    format!("the answer does not hold \"{}{more}\"", Escaped(shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::{dial::fake::refuses, endpoint::Endpoint},
        runtime::{
            blocking::blocking,
            clock::sleep,
            mailbox::{Mailbox, mailbox},
            shard::run,
        },
        session::{
            context::Context,
            event::{Event, Events},
            group::{Admin, GroupSettings},
        },
    };
    use futures::{FutureExt, future::ready};
    use std::{
        cell::{Cell, RefCell},
        fs,
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        os::unix::net::UnixListener,
        rc::Rc,
        sync::{
            atomic::{AtomicUsize, Ordering::SeqCst},
            mpsc,
        },
        thread,
    };

    const LIMIT: Duration = Duration::from_secs(20);

    fn check(send: &str, expect: &str) -> Check {
        Check {
            send: send.into(),
            expect: expect.into(),
            timeout: Duration::from_millis(500),
            ..Check::default()
        }
    }

    fn to(endpoint: impl ToString) -> Destination {
        Destination { endpoint: endpoint.to_string().parse().unwrap(), overrides: [].into() }
    }

    /// What a check says of a server.
    fn ask_once(destination: &Destination, check: &Check) -> Result<(), String> {
        let result = run(within(Some(LIMIT), ask(destination, check, &GroupSettings::default(), &[])))
            .unwrap()
            .expect("it has a limit");
        result.map_err(|failure| match failure {
            Failure::Server(why) => why,
            Failure::Shortage => "shortage".into(),
        })
    }

    /// A server that does this on each connection, and says how each went.
    fn serve(
        behave: impl Fn(TcpStream) -> io::Result<Vec<u8>> + Send + 'static,
    ) -> (Destination, mpsc::Receiver<io::Result<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (reports, report) = mpsc::channel();
        let destination = to(listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = reports.send(behave(stream));
            }
        });
        (destination, report)
    }

    /// Answers the first bytes, and reads to the end.
    fn answer(answer: &'static [u8]) -> impl Fn(TcpStream) -> io::Result<Vec<u8>> + Send {
        move |mut stream| {
            let mut all = vec![0; 64];
            let count = stream.read(&mut all)?;
            all.truncate(count);
            stream.write_all(answer)?;
            stream.read_to_end(&mut all)?;
            Ok(all)
        }
    }

    #[test]
    fn a_server_that_answers_as_expected_is_up_and_sees_a_clean_end() {
        let (server, report) = serve(answer(b"+PONG and more\r\n"));
        assert_eq!(ask_once(&server, &check("PING\r\n", "PONG")), Ok(()));
        assert_eq!(report.recv_timeout(LIMIT).unwrap().unwrap(), b"PING\r\n", "and then the end");
    }

    #[test]
    fn a_server_that_goes_on_talking_is_read_to_its_end() {
        let (server, report) = serve(|mut stream| {
            stream.write_all(b"220 hello")?;
            let mut all = Vec::new();
            stream.read_to_end(&mut all)?;
            stream.write_all(&[b'x'; 10_000])?;
            Ok(all)
        });
        assert_eq!(ask_once(&server, &check("", "220")), Ok(()));
        assert_eq!(report.recv_timeout(LIMIT).unwrap().unwrap(), b"");
    }

    #[test]
    fn what_is_expected_is_found_across_reads_and_only_in_the_first_4_kib() {
        let (server, _) = serve(|mut stream| {
            for byte in b"PONG" {
                stream.write_all(&[*byte])?;
                thread::sleep(Duration::from_millis(2));
            }
            Ok(Vec::new())
        });
        assert_eq!(ask_once(&server, &check("", "PONG")), Ok(()));
        for (before, result) in [(4092, Ok(())), (4093, Err("the answer does not hold \"PONG\"".to_owned()))]
        {
            let (server, _) = serve(move |mut stream| {
                stream.write_all(&vec![b'x'; before])?;
                stream.write_all(b"PONG")?;
                stream.read_to_end(&mut Vec::new())?;
                Ok(Vec::new())
            });
            assert_eq!(ask_once(&server, &check("", "PONG")), result, "{before}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let (refusing, _reserved) = refuses();
        assert_eq!(ask_once(&to(refusing), &check("", "")), Err("connect refused".into()));
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = to(held.local_addr().unwrap());
        assert_eq!(ask_once(&silent, &check("x", "y")), Err("no answer within 500 ms".into()));
        let (wrong, _) = serve(answer(b"-ERR\r\n"));
        assert_eq!(
            ask_once(&wrong, &check("PING\r\n", "PONG\r\n")),
            Err("the answer does not hold \"PONG\\r\\n\"".into())
        );
        let (closes, _) = serve(|_| Ok(Vec::new()));
        assert_eq!(ask_once(&closes, &check("", "y")), Err("the answer does not hold \"y\"".into()));
        let unknown = ask_once(&to("no.such.name.invalid:80"), &check("", "")).unwrap_err();
        assert!(unknown.starts_with("cannot resolve no.such.name.invalid: "), "{unknown}");
        let nowhere = ask_once(&to("unix:/nowhere/at/all.sock"), &check("", "")).unwrap_err();
        assert_eq!(nowhere, "no such file or directory");
        let listening = Address::Tcp(held.local_addr().unwrap());
        let own = run(ask(&silent, &check("", ""), &GroupSettings::default(), &[listening])).unwrap();
        assert!(matches!(own, Err(Failure::Server(why)) if why.ends_with("is this proxy's own listener")));
    }

    #[test]
    fn a_check_that_only_connects_is_not_seen_by_the_servers_program() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = to(listener.local_addr().unwrap());
        // The control: a connection is seen.
        drop(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        assert!(listener.accept().is_ok());
        for _ in 0..20 {
            assert_eq!(ask_once(&server, &check("", "")), Ok(()));
        }
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_unix_server_is_checked_too() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = to(format!("unix:{}", path.display()));
        assert_eq!(ask_once(&server, &check("", "")), Ok(()));
        let mut all = Vec::new();
        assert_eq!(listener.accept().unwrap().0.read_to_end(&mut all).unwrap(), 0);
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"hello").unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).map(|_| all)
        });
        assert_eq!(ask_once(&server, &check("PING", "hello")), Ok(()));
        assert_eq!(thread.join().unwrap().unwrap(), b"PING");
        fs::remove_file(&path).unwrap();
        assert_eq!(ask_once(&server, &check("", "")), Err("no such file or directory".into()));
    }

    /// A group of these servers, its surroundings, and what it tells.
    fn kept(servers: &[&Destination]) -> (Arc<Group>, KeeperContext, Mailbox<Event>, Rc<Cell<usize>>) {
        let settings = GroupSettings { cut_on_down: true, ..GroupSettings::default() };
        let group = Arc::new(Group::new("db".into(), false, settings));
        let wanted: Vec<_> = servers.iter().map(|&server| (server.clone(), 1, false)).collect();
        group.set_members(&wanted, &[], true);
        let (address, events) = mailbox(64);
        let context = Context::sample_telling(Events::new(Some(address), Arc::default()));
        let cut = Rc::new(Cell::new(0));
        let count = cut.clone();
        let on_down = Rc::new(move |_: &Group, _: &Server| {
            count.set(count.get() + 1);
            ready(()).boxed_local()
        });
        (
            group,
            KeeperContext { context, warn: Rc::new(|_| ()), on_down, questions: Questions::default() },
            events,
            cut,
        )
    }

    async fn next_change(events: &mut Mailbox<Event>) -> (String, Change) {
        let event = within(Some(LIMIT), events.next()).await.flatten().expect("a change");
        let What::Server { group, server, change } = event.what else { panic!("{:?}", event.what) };
        assert_eq!(group, "db");
        (server, change)
    }

    #[test]
    fn a_server_goes_down_and_comes_back_and_each_is_told_once() {
        let every = Duration::from_millis(20);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = to(address);
        run(async {
            let (group, surroundings, mut events, cut) = kept(&[&server]);
            let check = Check { every, ..check("", "") };
            let mut checkers = Checkers::new(group.clone(), check, surroundings);
            checkers.follow();
            assert_eq!(next_change(&mut events).await, (address.to_string(), Change::Up));
            drop(listener);
            let down = Change::Down("connect refused".into());
            assert_eq!(next_change(&mut events).await, (address.to_string(), down));
            assert_eq!(cut.get(), 1, "its sessions are cut");
            let begin = Instant::now();
            let _listener = TcpListener::bind(address).unwrap();
            assert_eq!(next_change(&mut events).await, (address.to_string(), Change::Up));
            // Two good ones in a row: one period lies between them.
            assert!(begin.elapsed() >= every.mul_f64(0.9));
        })
        .unwrap();
    }

    #[test]
    fn a_fault_of_a_check_is_told_and_the_server_is_checked_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (server, told) = (to(listener.local_addr().unwrap()), Rc::<RefCell<Vec<String>>>::default());
        run(async {
            let (group, surroundings, mut events, _) = kept(&[&server]);
            let lines = told.clone();
            let warn = Rc::new(move |line| lines.borrow_mut().push(line));
            let on_down = Rc::new(|_: &Group, _: &Server| panic!("on purpose"));
            let check = Check { every: Duration::from_millis(10), ..check("", "") };
            let mut checkers = Checkers::new(group, check, KeeperContext { warn, on_down, ..surroundings });
            checkers.follow();
            assert_eq!(next_change(&mut events).await.1, Change::Up);
            drop(listener);
            let line = async {
                while told.borrow().is_empty() {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            within(Some(LIMIT), line).await.expect("it is told");
            let name = format!("upstream db: server {}", server.endpoint);
            let line = format!("{name}: internal fault: on purpose; its checks begin again in 1 s");
            assert_eq!(told.take(), [line]);
            let Endpoint::Tcp { port, .. } = server.endpoint else { unreachable!() };
            let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
            assert_eq!(next_change(&mut events).await.1, Change::Up);
        })
        .unwrap();
    }

    #[test]
    fn a_server_has_one_checker_and_one_connection_a_period_with_any_number_of_keepers() {
        let (every, count) = (Duration::from_millis(100), Arc::new(AtomicUsize::new(0)));
        let counted = count.clone();
        let (server, _reports) = serve(move |mut stream| {
            counted.fetch_add(1, SeqCst);
            stream.write_all(b"hello")?;
            stream.read_to_end(&mut Vec::new()).map(|_| Vec::new())
        });
        run(async {
            let (group, surroundings, mut events, _) = kept(&[&server]);
            let check = Check { every, ..check("", "hello") };
            let new = || Checkers::new(group.clone(), check.clone(), surroundings.clone());
            let mut checkers = new();
            checkers.follow();
            next_change(&mut events).await;
            let begin = Instant::now();
            for _ in 0..50 {
                // As reloads do.
                checkers = new();
                checkers.follow();
                checkers.follow();
                sleep(Duration::from_millis(10)).await;
            }
            let periods = begin.elapsed().as_secs_f64() / every.as_secs_f64();
            let connections = count.load(SeqCst);
            assert!((connections as f64) <= 1.0 + periods / 0.9 + 1.0, "{connections} in {periods} periods");
            assert!(connections >= 3, "{connections}");
        })
        .unwrap();
    }

    #[test]
    fn a_member_that_leaves_is_checked_no_more() {
        let every = Duration::from_millis(10);
        let [one, other] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [first, second] = [&one, &other].map(|listener| to(listener.local_addr().unwrap()));
        run(async {
            let (group, surroundings, mut events, _) = kept(&[&first]);
            let mut checkers = Checkers::new(group.clone(), Check { every, ..check("", "") }, surroundings);
            checkers.follow();
            assert_eq!(next_change(&mut events).await.1, Change::Up);
            group.set_members(&[(second.clone(), 1, false)], &[], true);
            checkers.follow();
            assert_eq!(next_change(&mut events).await, (second.endpoint.to_string(), Change::Up));
            drop((one, other));
            let (server, change) = next_change(&mut events).await;
            assert_eq!((server, change.name()), (second.endpoint.to_string(), "down"));
            sleep(every * 20).await;
            drop(checkers);
            let rest = blocking(move || events.next_blocking());
            assert!(within(Some(every * 5), rest).await.is_none_or(|event| event.is_none()));
        })
        .unwrap();
    }

    #[test]
    fn an_operator_hears_nothing_of_a_server_in_maintenance() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = to(listener.local_addr().unwrap());
        run(async {
            let (group, surroundings, mut events, cut) = kept(&[&server]);
            let member = group.members().remove(0).server;
            let check = Check { every: Duration::from_millis(10), ..check("", "") };
            let mut checkers = Checkers::new(group, check, surroundings);
            checkers.follow();
            assert_eq!(next_change(&mut events).await.1, Change::Up);
            member.set_admin(Some(Admin::Maintenance));
            drop(listener);
            while cut.get() == 0 {
                sleep(Duration::from_millis(5)).await;
            }
            member.set_admin(None);
            assert_eq!(member.standing(Instant::now()).name(), "down");
            drop(checkers);
            let told = within(Some(Duration::from_millis(20)), events.next()).await;
            assert!(told.flatten().is_none());
        })
        .unwrap();
    }
}
