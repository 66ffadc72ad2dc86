//! Listening sockets that this program does not open itself: a service manager passes them (sd_listen_fds(3)), or the program
//! that this one replaces.
//!
//! A passed socket belongs to the listener that names it (`fd:NAME`, `fd:3`), else to the one whose address it has. Several
//! may have one name and one address, as one a shard. This program names what it passes on, and what it gives to the
//! manager's store, `listener.NAME`: that is asked last, where the address does not tell (port 0).

use crate::{
    error::Error,
    net::{
        address::Address,
        endpoint::{Endpoint, Host},
        listener::{ListenHandle, ListenSocket},
        options::Options,
    },
    runtime::lock::Lock,
};
use listenfd::ListenFd;
use rustix::{
    fs::fstat,
    net::{getsockname, sockopt},
};
use std::{
    env, fmt,
    io::{self, Read},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process,
    sync::Arc,
};

/// The variables of the protocol. A child gets none of them that it is not meant to have.
pub const PID: &str = "LISTEN_PID";
pub const COUNT: &str = "LISTEN_FDS";
pub const NAMES: &str = "LISTEN_FDNAMES";
/// The numbers of passed UNIX sockets whose files go with the program that listens; of an upgrade alone.
pub const FILES: &str = "SWITCHBOARD_UPGRADE_FILES";
/// The program that this one replaces says at the channel what it leaves, to its end; of an upgrade alone.
pub const STATE: &str = "SWITCHBOARD_UPGRADE_STATE";
/// What the crate that takes the descriptors would begin at.
const FIRST: &str = "LISTEN_FDS_FIRST_FD";
/// SD_LISTEN_FDS_START of sd_listen_fds(3).
pub const FIRST_NUMBER: i32 = 3;
/// Linux grants one process this many descriptors (`fs.nr_open`).
const COUNT_MAX: usize = 1 << 20;

/// The name of the connection to the program that this one replaces. It is no listening socket.
pub const CHANNEL: &str = "upgrade";
/// The names of the sockets beside the traffic.
pub const METRICS: &str = "metrics";
pub const AGENT: &str = "agent";
pub const CONTROL: &str = "control";
pub const API: &str = "api";
const OURS: &str = "listener.";

/// What was passed, before it is known which listener has what.
#[derive(Default)]
pub struct Passed {
    sockets: Vec<PassedSocket>,
    channel: Option<UnixStream>,
    /// What the program that this one replaces leaves beside its sockets, if it says so.
    pub state: Option<Vec<u8>>,
    files: Vec<i32>,
}

/// Something to listen on: its endpoint, and the name by which this program passes its sockets on.
pub struct Claimant<'a> {
    pub name: String,
    pub endpoint: &'a Endpoint,
}

/// Which listener has what.
pub struct Claimed {
    /// For each that was wanted, in its order: the sockets of each address, none if they are to be opened.
    pub sockets: Vec<Vec<Vec<ListenSocket>>>,
    /// The connection to the program that this one replaces.
    pub former: Option<UnixStream>,
    /// The names of sockets of a former start that no listener has any more. They are closed.
    pub left: Vec<String>,
}

struct PassedSocket {
    number: i32,
    /// Empty if it has none.
    name: String,
    /// Or why it is no socket that listens.
    taken: Result<(OwnedFd, Address), String>,
}

/// What the variables say.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    count: usize,
    names: Vec<String>,
}

/// The name under which sockets of the listener `name` are passed on: a listener without one is named by its endpoint.
pub fn listener_name(name: Option<&str>, endpoint: &Endpoint) -> String {
    let name = name.map_or_else(|| endpoint.to_string(), str::to_owned);
    // No other bytes are in a name (sd_notify(3), FDNAME=).
    let legal = |char: char| char.is_ascii_graphic() && char != ':';
    let name = name.chars().map(|char| if legal(char) { char } else { '_' });
    OURS.chars().chain(name).take(255).collect()
}

impl Offer {
    /// None if nothing is passed, or if it is for another process.
    fn read(variable: impl Fn(&str) -> Option<String>, pid: u32) -> io::Result<Option<Self>> {
        if variable(PID).is_none_or(|text| text.trim().parse() != Ok(pid)) {
            return Ok(None);
        }
        let Some(count) = variable(COUNT) else { return Ok(None) };
        let wrong = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        let Some(count) = count.trim().parse().ok().filter(|count| *count <= COUNT_MAX) else {
            return wrong(format!("{COUNT}={count:?} is not a number of sockets"));
        };
        let names: Vec<String> = match variable(NAMES) {
            None => vec![String::new(); count],
            Some(names) => names.split(':').map(str::to_owned).collect(),
        };
        if names.len() != count && !(count == 0 && names == [""]) {
            return wrong(format!("{NAMES} has {} names, and {COUNT} says {count}", names.len()));
        }
        if let Some(first) = variable(FIRST).filter(|first| first.trim() != FIRST_NUMBER.to_string()) {
            return wrong(format!("{FIRST}={first:?} is not understood; sockets begin at {FIRST_NUMBER}"));
        }
        Ok(Some(Offer { count, names }))
    }
}

impl Passed {
    /// Takes what the environment says is passed to this process. Before the program opens a file of its own: a number that
    /// is not passed must not be that of another.
    pub fn take() -> Result<Self, Error> {
        let offer = Offer::read(|name| env::var(name).ok(), process::id());
        let offer = offer.map_err(|error| Error::new("cannot take the sockets that are passed", error))?;
        let Some(Offer { count, names }) = offer else { return Ok(Passed::default()) };
        let mut descriptors = ListenFd::from_env();
        let mut passed = Passed::default();
        for (index, (name, number)) in names.into_iter().take(count).zip(FIRST_NUMBER..).enumerate() {
            match take(&mut descriptors, index) {
                Ok(Taken::Listens(descriptor, address)) => {
                    passed.sockets.push(PassedSocket { number, name, taken: Ok((descriptor, address)) });
                }
                Ok(Taken::Connected(stream)) if name == CHANNEL => passed.channel = Some(stream),
                Ok(Taken::Connected(_)) => {
                    let why = "it does not listen".to_owned();
                    passed.sockets.push(PassedSocket { number, name, taken: Err(why) });
                }
                Err(why) => passed.sockets.push(PassedSocket { number, name, taken: Err(why) }),
            }
        }
        if let Some(channel) = &mut passed.channel {
            if env::var_os(STATE).is_some() {
                let mut state = Vec::new();
                let read = channel.read_to_end(&mut state);
                read.map_err(|error| Error::new("cannot read what the running process leaves", error))?;
                passed.state = Some(state);
            }
            let files = env::var(FILES).unwrap_or_default();
            passed.files = files.split(':').filter_map(|number| number.parse().ok()).collect();
        }
        Ok(passed)
    }

    /// Gives each of `wanted` its sockets. Fails if one of them has to be passed and is not, if what it gets does not listen,
    /// and if a socket is left that no former start of this program named.
    pub fn claim(mut self, wanted: &[Claimant<'_>], options: &Options) -> Result<Claimed, Error> {
        // What the manager itself names counts more than what this program named; equal sockets then come twice.
        self.sockets.sort_by_key(PassedSocket::is_ours);
        self.drop_duplicates();
        let listed = self.list();
        let mut found: Vec<Vec<PassedSocket>> = wanted.iter().map(|one| self.take_named(one)).collect();
        for (one, found) in wanted.iter().zip(&mut found) {
            found.extend(self.take_addressed(one.endpoint));
        }
        for (one, found) in wanted.iter().zip(&mut found).filter(|(_, found)| found.is_empty()) {
            found.extend(self.take_ours(one));
        }
        let from_former = self.channel.is_some();
        let mut sockets = Vec::new();
        for (one, found) in wanted.iter().zip(found) {
            if let (Endpoint::Passed(name), []) = (one.endpoint, &found[..]) {
                return Err(cannot_listen(one, missing(name, &listed)));
            }
            let groups = group(one, found)?.into_iter().map(|group| {
                let files = group.iter().map(|(number, _)| self.files.contains(number)).collect::<Vec<_>>();
                let descriptors = group.into_iter().map(|(_, descriptor)| descriptor);
                ListenSocket::passed(descriptors.zip(files), options, from_former)
            });
            let groups = groups.collect::<io::Result<_>>();
            sockets.push(groups.map_err(|error| cannot_listen(one, error.to_string()))?);
        }
        let (ours, others): (Vec<_>, Vec<_>) =
            self.sockets.into_iter().partition(|socket| from_former || socket.is_ours());
        if let Some(socket) = others.first() {
            return Err(unclaimed(socket, wanted));
        }
        let mut left: Vec<String> = ours.into_iter().map(|socket| socket.name).collect();
        left.dedup();
        Ok(Claimed { sockets, former: self.channel, left })
    }

    /// Of several descriptors of one socket, the first stays.
    fn drop_duplicates(&mut self) {
        let mut seen = Vec::new();
        self.sockets.retain(|socket| {
            let file = socket.taken.as_ref().ok().and_then(|(descriptor, _)| fstat(descriptor).ok());
            let Some(is) = file.map(|file| (file.st_dev, file.st_ino)) else { return true };
            let is_new = !seen.contains(&is);
            seen.push(is);
            is_new
        });
    }

    /// What was passed, for a sentence.
    fn list(&self) -> String {
        let sockets: Vec<String> = self.sockets.iter().map(ToString::to_string).collect();
        sockets.join(", ")
    }

    fn take_if(&mut self, wanted: impl Fn(&PassedSocket) -> bool) -> Vec<PassedSocket> {
        self.sockets.extract_if(.., |socket| wanted(socket)).collect()
    }

    /// Those that `fd:NAME` names; else the one that `fd:3` numbers. A number is that of this start.
    fn take_named(&mut self, one: &Claimant<'_>) -> Vec<PassedSocket> {
        let Endpoint::Passed(name) = one.endpoint else { return Vec::new() };
        let named = self.take_if(|socket| socket.name == *name);
        if named.is_empty()
            && let Ok(number) = name.parse::<i32>()
        {
            return self.take_if(|socket| socket.number == number && !socket.is_ours());
        }
        named
    }

    fn take_addressed(&mut self, endpoint: &Endpoint) -> Vec<PassedSocket> {
        if self.sockets.is_empty() {
            return Vec::new();
        }
        let addresses = addresses(endpoint);
        self.take_if(|socket| socket.taken.as_ref().is_ok_and(|(_, address)| addresses.contains(address)))
    }

    /// Those that this program named by that listener, if its address does not tell: of one address, unless the listener has
    /// all of a name.
    fn take_ours(&mut self, one: &Claimant<'_>) -> Vec<PassedSocket> {
        if !matches!(one.endpoint, Endpoint::Passed(_) | Endpoint::Tcp { port: 0, .. }) {
            return Vec::new();
        }
        let address = |socket: &PassedSocket| socket.taken.as_ref().ok().map(|(_, address)| address.clone());
        let first = self.sockets.iter().find(|socket| socket.name == one.name).and_then(address);
        let all = matches!(one.endpoint, Endpoint::Passed(_));
        self.take_if(|socket| socket.name == one.name && (all || address(socket) == first))
    }
}

impl PassedSocket {
    /// Whether this program named it: in a former life, or the one that this one replaces.
    fn is_ours(&self) -> bool {
        self.name.starts_with(OURS) || [METRICS, AGENT, CONTROL, API].contains(&&*self.name)
    }
}

impl fmt::Display for PassedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "descriptor {}", self.number)?;
        if !self.name.is_empty() {
            write!(f, " named {}", self.name.escape_default())?;
        }
        match &self.taken {
            Ok((_, address)) => write!(f, " at {address}"),
            Err(why) => write!(f, " ({why})"),
        }
    }
}

/// The sockets that this program can pass on, by their names. A socket that is closed is not among them any more.
#[derive(Clone, Default)]
pub struct Passable(Arc<Lock<Vec<(String, ListenHandle)>>>);

impl Passable {
    pub fn add(&self, name: &str, handle: ListenHandle) {
        let mut all = self.0.lock();
        all.retain(|(_, other)| other.is_open());
        // Several shards may wait for one socket, and a reload may give its listener another name.
        match all.iter_mut().find(|(_, other)| other.is_same(&handle)) {
            Some((known, _)) => name.clone_into(known),
            None => all.push((name.to_owned(), handle)),
        }
    }

    /// Another descriptor of each, and whether a file goes with it.
    pub fn sockets(&self) -> io::Result<Vec<(String, OwnedFd, bool)>> {
        let mut sockets = Vec::new();
        for (name, handle) in &*self.0.lock() {
            if let Some(descriptor) = handle.descriptor()? {
                sockets.push((name.clone(), descriptor, handle.has_file()));
            }
        }
        Ok(sockets)
    }

    /// Another descriptor of each socket of a listener, those for which there is one.
    pub fn listeners(&self) -> Vec<(String, OwnedFd)> {
        let all = self.0.lock();
        let listeners = all.iter().filter(|(name, _)| name.starts_with(OURS));
        listeners.filter_map(|(name, handle)| Some((name.clone(), handle.descriptor().ok()??))).collect()
    }

    /// Whether a socket of this name is open.
    pub fn has(&self, name: &str) -> bool {
        self.0.lock().iter().any(|(other, handle)| other == name && handle.is_open())
    }

    /// The names of the listeners, each once.
    pub fn names(&self) -> Vec<String> {
        let all = self.0.lock();
        let open = all.iter().filter(|(name, handle)| name.starts_with(OURS) && handle.is_open());
        let mut names: Vec<String> = open.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The files of sockets that were passed go with them here from now on.
    pub fn take_files(&self) {
        self.0.lock().iter().for_each(|(_, handle)| handle.take_file());
    }

    /// The files stay when the sockets are closed here: they go with those of another program.
    pub fn leave_files(&self) {
        self.0.lock().iter().for_each(|(_, handle)| handle.leave_file());
    }
}

enum Taken {
    Listens(OwnedFd, Address),
    /// A UNIX stream socket that does not.
    Connected(UnixStream),
}

/// Takes the descriptor at `index`, or says why it is no socket that listens.
fn take(descriptors: &mut ListenFd, index: usize) -> Result<Taken, String> {
    let descriptor: OwnedFd = if let Ok(Some(tcp)) = descriptors.take_tcp_listener(index) {
        tcp.into()
    } else if let Ok(Some(unix)) = descriptors.take_unix_listener(index) {
        if sockopt::socket_acceptconn(&unix) == Ok(false) {
            return Ok(Taken::Connected(OwnedFd::from(unix).into()));
        }
        unix.into()
    } else if descriptors.take_udp_socket(index).is_ok() || descriptors.take_unix_datagram(index).is_ok() {
        return Err("it takes datagrams; pass one of connections, ListenStream= in a .socket unit".into());
    } else {
        return Err("it is not open, or no stream socket".into());
    };
    if sockopt::socket_acceptconn(&descriptor) != Ok(true) {
        return Err("it does not listen".into());
    }
    let name = rustix::io::ioctl_fionbio(&descriptor, true).and_then(|()| getsockname(&descriptor));
    match name {
        Ok(name) => Ok(Taken::Listens(descriptor, Address::from_kernel(&name))),
        Err(error) => Err(format!("it cannot be used: {error}")),
    }
}

/// The addresses that an endpoint may be bound to.
fn addresses(endpoint: &Endpoint) -> Vec<Address> {
    let tcp = |ip, port| Address::Tcp(SocketAddr::new(ip, port));
    match endpoint {
        Endpoint::Unix(path) => vec![Address::Unix(path.as_path().into())],
        Endpoint::Tcp { host: Host::Any, port } => {
            vec![tcp(Ipv6Addr::UNSPECIFIED.into(), *port), tcp(Ipv4Addr::UNSPECIFIED.into(), *port)]
        }
        Endpoint::Tcp { host: Host::Ip(ip), port } => vec![tcp(*ip, *port)],
        Endpoint::Tcp { host: Host::Name(name), port } => {
            let found = (name.as_str(), *port).to_socket_addrs();
            found.map(|found| found.map(Address::Tcp).collect()).unwrap_or_default()
        }
        Endpoint::Passed(_) => Vec::new(),
    }
}

/// The descriptors of one listener by their addresses, with their numbers.
fn group(one: &Claimant<'_>, found: Vec<PassedSocket>) -> Result<Vec<Vec<(i32, OwnedFd)>>, Error> {
    let mut groups: Vec<(Address, Vec<(i32, OwnedFd)>)> = Vec::new();
    for socket in found {
        let shown = socket.to_string();
        let Ok((descriptor, address)) = socket.taken else { return Err(cannot_listen(one, shown)) };
        match groups.iter_mut().find(|(of, _)| *of == address) {
            Some((_, group)) => group.push((socket.number, descriptor)),
            None => groups.push((address, vec![(socket.number, descriptor)])),
        }
    }
    Ok(groups.into_iter().map(|(_, group)| group).collect())
}

fn missing(name: &str, listed: &str) -> String {
    let what = match name.parse::<i32>() {
        Ok(number) => format!("descriptor {number} was not passed, or another listener has it"),
        Err(_) => "no socket of this name was passed, or another listener has it".to_owned(),
    };
    match listed {
        "" => format!("{what}; none was passed at all: start it by a .socket unit"),
        listed => format!("{what}; passed: {listed}"),
    }
}

fn cannot_listen(one: &Claimant<'_>, why: String) -> Error {
    Error::new(format!("cannot listen on {}", one.endpoint), io::Error::other(why))
}

fn unclaimed(socket: &PassedSocket, wanted: &[Claimant<'_>]) -> Error {
    let listeners: Vec<String> = wanted.iter().map(|one| one.endpoint.to_string()).collect();
    let why = format!(
        "it fits no listener, of {}; write fd:{} where a listener is to have it, or do not pass it",
        listeners.join(", "),
        if socket.name.is_empty() { socket.number.to_string() } else { socket.name.clone() }
    );
    Error::new(format!("cannot use the passed {socket}"), io::Error::other(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashMap, net::TcpListener};

    fn offer(variables: &[(&str, &str)]) -> io::Result<Option<Offer>> {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        Offer::read(|name| variables.get(name).map(|value| (*value).to_owned()), 42)
    }

    #[test]
    fn what_is_passed_to_another_process_is_not_looked_at() {
        assert_eq!(offer(&[]).unwrap(), None);
        assert_eq!(offer(&[(COUNT, "1")]).unwrap(), None);
        assert_eq!(offer(&[(PID, "41"), (COUNT, "x")]).unwrap(), None);
        let two = Offer { count: 2, names: vec!["a".into(), "b".into()] };
        assert_eq!(offer(&[(PID, "42"), (COUNT, "2"), (NAMES, "a:b")]).unwrap(), Some(two));
        let unnamed = Offer { count: 1, names: vec![String::new()] };
        assert_eq!(offer(&[(PID, "42"), (COUNT, "1")]).unwrap(), Some(unnamed));
        for wrong in [
            &[(COUNT, "x")][..],
            &[(COUNT, "-1")],
            &[(COUNT, "99999999999")],
            &[(COUNT, "1"), (NAMES, "a:b")],
            &[(COUNT, "1"), (FIRST, "7")],
        ] {
            assert!(offer(&[&[(PID, "42")], wrong].concat()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_in_the_protocol_has_no_byte_that_it_does_not_take() {
        let name = |endpoint: &str| listener_name(None, &endpoint.parse().unwrap());
        assert_eq!(name("8002"), "listener.127.0.0.1_8002");
        assert_eq!(name("unix:/a b"), "listener.unix_/a_b");
        assert_eq!(listener_name(Some("web"), &Endpoint::loopback(1)), "listener.web");
    }

    /// A passed socket that listens on a port of its own, with its endpoint.
    fn listens(number: i32, name: &str) -> (PassedSocket, Endpoint) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Ok((listener.into(), Address::Tcp(address)));
        (PassedSocket { number, name: name.into(), taken }, Endpoint::loopback(address.port()))
    }

    fn claim(
        sockets: Vec<PassedSocket>,
        wanted: &[(&str, &Endpoint)],
    ) -> Result<(Vec<Vec<usize>>, Vec<String>), String> {
        let wanted: Vec<_> =
            wanted.iter().map(|&(name, endpoint)| Claimant { name: name.into(), endpoint }).collect();
        let passed = Passed { sockets, ..Passed::default() };
        let claimed = passed.claim(&wanted, &Options::default()).map_err(|error| error.to_string())?;
        let counts = |groups: &Vec<Vec<ListenSocket>>| groups.iter().map(Vec::len).collect();
        Ok((claimed.sockets.iter().map(counts).collect(), claimed.left))
    }

    #[test]
    fn a_socket_belongs_to_the_listener_that_names_it_before_that_of_its_address() {
        let ((one, address), (other, _)) = (listens(3, "web"), listens(4, "other"));
        let (web, number) = (Endpoint::Passed("web".into()), Endpoint::Passed("4".into()));
        let claimed = claim(vec![one, other], &[("a", &address), ("b", &web), ("c", &number)]);
        assert_eq!(claimed, Ok((vec![vec![], vec![1], vec![1]], vec![])));
    }

    #[test]
    fn all_sockets_of_a_name_are_taken_by_their_addresses_and_one_socket_counts_once() {
        let ((one, _), (other, _)) = (listens(3, "web"), listens(4, "web"));
        let (descriptor, address) = one.taken.as_ref().unwrap();
        let taken = Ok((descriptor.try_clone().unwrap(), address.clone()));
        let again = PassedSocket { number: 5, name: "listener.fd_web".into(), taken };
        let web = Endpoint::Passed("web".into());
        let claimed = claim(vec![again, one, other], &[("listener.fd_web", &web)]);
        assert_eq!(claimed, Ok((vec![vec![1, 1]], vec![])));
    }

    #[test]
    fn what_this_program_named_is_found_by_that_name_where_the_address_is_open() {
        let any = Endpoint::loopback(0);
        let name = listener_name(None, &any);
        let sockets = vec![listens(3, &name).0, listens(4, &name).0, listens(5, "listener.gone").0];
        let claimed = claim(sockets, &[(&name, &any), (&name, &any)]);
        assert_eq!(claimed, Ok((vec![vec![1], vec![1]], vec!["listener.gone".into()])));
        // A listener that has moved to another address has nothing of its former one.
        let moved = claim(vec![listens(3, "listener.web").0], &[("listener.web", &Endpoint::loopback(1))]);
        assert_eq!(moved, Ok((vec![vec![]], vec!["listener.web".into()])));
    }

    #[test]
    fn a_socket_is_passed_on_by_the_last_name_of_its_listener() {
        let bind = || ListenSocket::bind(&Endpoint::loopback(0), 1, &Options::default(), None).unwrap();
        let (passable, renamed, other) = (Passable::default(), bind(), bind());
        passable.add("listener.before", renamed.handle());
        passable.add("listener.other", other.handle());
        passable.add("listener.after", renamed.handle());
        let sockets = passable.sockets().unwrap();
        let names: Vec<&str> = sockets.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["listener.after", "listener.other"]);
        drop(other);
        assert!(passable.has("listener.after"));
        assert!(!passable.has("listener.before") && !passable.has("listener.other"));
    }

    #[test]
    fn what_is_left_of_a_former_start_is_closed_by_its_name() {
        let names = [METRICS, AGENT, CONTROL, "listener.gone"];
        let sockets = names.iter().zip(3..).map(|(name, number)| listens(number, name).0).collect();
        let left = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(claim(sockets, &[]), Ok((vec![], left)));
    }

    #[test]
    fn what_fits_no_listener_or_does_not_listen_is_an_error_that_names_both() {
        let web = Endpoint::Passed("web".into());
        let (socket, address) = listens(3, "other");
        let text = claim(vec![socket], &[("a", &Endpoint::loopback(1))]).unwrap_err();
        assert!(text.contains(&format!("descriptor 3 named other at {address}")), "{text}");
        assert!(text.contains("fits no listener, of 127.0.0.1:1; write fd:other"), "{text}");
        let broken = PassedSocket { number: 3, name: "web".into(), taken: Err("it is closed".into()) };
        let text = claim(vec![broken], &[("a", &web)]).unwrap_err();
        assert_eq!(text, "cannot listen on fd:web: descriptor 3 named web (it is closed)");
        let text = claim(vec![], &[("a", &web)]).unwrap_err();
        assert!(text.contains("fd:web: no socket of this name was passed"), "{text}");
    }
}
