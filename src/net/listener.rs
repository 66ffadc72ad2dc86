//! A listening socket, TCP or UNIX.

use crate::{
    net::{
        address::{self, Address, is_abstract},
        ceiling::{SpareNumber, spare_number},
        endpoint::{Endpoint, Host},
        options::Options,
        socket::{Socket, stream_socket},
    },
    runtime::readiness::Registration,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::Mode,
    io::Errno,
    net::{
        AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, acceptfrom_with, bind, connect, getsockname,
        listen, shutdown, sockopt,
    },
};
use std::{
    fs,
    future::poll_fn,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// A socket that listens, and that no shard waits for yet. A clone is the same socket, which closes with the last of them.
#[derive(Clone)]
pub struct ListenSocket {
    opened: Arc<Opened>,
    address: Address,
    errors: Arc<AcceptErrors>,
    /// Other shards wait for the same socket.
    is_shared: bool,
    /// Where it comes from, if this program did not open it.
    passed: Option<Source>,
}

/// Who passed a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Manager,
    /// The program that this one replaces, which waits for the same socket for a while.
    Former,
}

/// A socket that listens, for the one who passes it on. It does not keep it open.
#[derive(Clone)]
pub struct ListenHandle(Weak<Opened>);

/// A socket that listens, on the shard that waits for it. Dropping it refuses new connections and resets those not yet
/// accepted, unless other shards wait for it too.
pub struct Listener {
    registration: Registration,
    socket: ListenSocket,
    /// Of sessions, which leave the last descriptors to operators.
    spare: Option<Rc<SpareNumber>>,
}

/// A port of ours at which nothing listens: connections are refused, and the kernel gives it to no program that asks for any.
/// One that asks for this very port gets it.
pub struct HeldPort {
    _descriptor: OwnedFd,
    address: Address,
}

struct Opened {
    // Dropped before the descriptor: while that is open, no other file gets the number of this one.
    file: Option<SocketFile>,
    descriptor: OwnedFd,
}

/// What an error of accept(2) means for the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptError {
    /// Of one connection: go on at once.
    Connection,
    /// Out of descriptors or memory: pause, then go on.
    Resources,
    /// Of the listener: stop.
    Fatal,
}

/// How often a listener could not accept, by what that meant for it.
#[derive(Debug, Default)]
pub struct AcceptErrors([AtomicU64; AcceptError::ALL.len()]);

impl AcceptError {
    const ALL: [AcceptError; 3] = [AcceptError::Connection, AcceptError::Resources, AcceptError::Fatal];

    pub fn name(self) -> &'static str {
        match self {
            AcceptError::Connection => "connection",
            AcceptError::Resources => "resources",
            AcceptError::Fatal => "fatal",
        }
    }
}

impl AcceptErrors {
    pub fn counts(&self) -> impl Iterator<Item = (AcceptError, u64)> {
        AcceptError::ALL.into_iter().map(|kind| (kind, self.0[kind as usize].load(Ordering::Relaxed)))
    }

    fn note(&self, error: &io::Error) {
        // That no connection is there is no error.
        if error.kind() != io::ErrorKind::WouldBlock {
            self.0[classify(error) as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl ListenSocket {
    /// Binds `endpoint` and listens. A name is resolved here; the first of its addresses that can be bound counts.
    /// `mode` is the permission bits of a UNIX socket's file; without it, they are 0777 without those of the umask.
    pub fn bind(endpoint: &Endpoint, backlog: i32, options: &Options, mode: Option<u32>) -> io::Result<Self> {
        match endpoint {
            Endpoint::Unix(path) if mode.is_some() && is_abstract(path) => {
                let why = "it has no file, and so no mode; write a path in place of the name";
                Err(io::Error::new(io::ErrorKind::InvalidInput, why))
            }
            Endpoint::Unix(path) => Self::bind_unix(path, backlog, mode.map(Mode::from_raw_mode)),
            Endpoint::Passed(_) => {
                let why = "no service manager passes a socket of this name or number";
                Err(io::Error::new(io::ErrorKind::NotFound, why))
            }
            Endpoint::Tcp { host, port } => Self::listen(bind_host(host, *port, options)?, backlog, None),
        }
    }

    /// Binds a UNIX socket that only its owner can connect to, whatever the umask.
    pub fn bind_private(path: &Path, backlog: i32) -> io::Result<Self> {
        Self::bind_unix(path, backlog, Some(Mode::RUSR | Mode::WUSR))
    }

    fn bind_unix(path: &Path, backlog: i32, mode: Option<Mode>) -> io::Result<Self> {
        let at = address::unix(path)?;
        let descriptor = stream_socket(AddressFamily::UNIX)?;
        if let Some(mode) = mode {
            // bind(2) gives the file the socket's own mode: there is no moment in which it is open to others.
            rustix::fs::fchmod(&descriptor, mode)?;
        }
        match bind(&descriptor, &at) {
            Err(Errno::ADDRINUSE) if !is_abstract(path) && is_stale(path)? => {
                fs::remove_file(path)?;
                bind(&descriptor, &at)?;
            }
            result => result?,
        }
        if let Some(mode) = mode {
            // The umask may have taken some of these rights.
            rustix::fs::chmod(path, mode)?;
        }
        Self::listen(descriptor, backlog, (!is_abstract(path)).then(|| SocketFile::at(path)))
    }

    fn listen(descriptor: OwnedFd, backlog: i32, file: Option<SocketFile>) -> io::Result<Self> {
        listen(&descriptor, backlog)?;
        let address = Address::from_kernel(&getsockname(&descriptor)?);
        let opened = Arc::new(Opened { file, descriptor });
        Ok(ListenSocket { opened, address, errors: Arc::default(), is_shared: false, passed: None })
    }

    /// Sockets of one address that listen already, each with whether the file of a UNIX socket goes with it.
    pub fn passed(
        descriptors: impl Iterator<Item = (OwnedFd, bool)>,
        options: &Options,
        from_former: bool,
    ) -> io::Result<Vec<Self>> {
        let errors = Arc::<AcceptErrors>::default();
        let socket = |(descriptor, has_file): (OwnedFd, bool)| {
            let address = Address::from_kernel(&getsockname(&descriptor)?);
            let file = match &address {
                Address::Tcp(at) => {
                    options.apply_to_listener(&descriptor, at.ip());
                    None
                }
                Address::Unix(path) => has_file.then(|| SocketFile::passed(path, from_former)),
            };
            let opened = Arc::new(Opened { file, descriptor });
            let passed = Some(if from_former { Source::Former } else { Source::Manager });
            Ok(ListenSocket { opened, address, errors: errors.clone(), is_shared: false, passed })
        };
        descriptors.map(socket).collect()
    }

    /// Whether both are one socket.
    pub fn is_same(&self, other: &ListenSocket) -> bool {
        Arc::ptr_eq(&self.opened, &other.opened)
    }

    pub fn handle(&self) -> ListenHandle {
        ListenHandle(Arc::downgrade(&self.opened))
    }

    /// A socket for another shard to accept connections to the same address: the kernel gives each connection to one of the
    /// sockets (`SO_REUSEPORT`, socket(7)), or, of a UNIX socket or one that was passed, to one of those that wait for it.
    ///
    /// The first was bound without that option, so a port that another program has taken was an error.
    pub fn another(&mut self, backlog: i32, options: &Options) -> io::Result<Self> {
        let opened = match &self.address {
            Address::Tcp(at) if self.passed.is_none() => {
                sockopt::set_socket_reuseport(&self.opened.descriptor, true)?;
                Self::listen(bind_tcp(*at, options, true)?, backlog, None)?.opened
            }
            _ => self.opened.clone(),
        };
        let is_shared = Arc::ptr_eq(&opened, &self.opened);
        // While the former program waits too, the kernel may wake it alone, just before it goes: then one of ours is always
        // woken, and not only one of all.
        self.is_shared = is_shared && self.passed != Some(Source::Former);
        let (address, errors) = (self.address.clone(), self.errors.clone());
        Ok(ListenSocket { opened, address, errors, is_shared, passed: self.passed })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn errors(&self) -> Arc<AcceptErrors> {
        self.errors.clone()
    }
}

impl HeldPort {
    /// Takes the port of an endpoint; none if that is none of TCP.
    pub fn bind(endpoint: &Endpoint, options: &Options) -> io::Result<Option<Self>> {
        let Endpoint::Tcp { host, port } = endpoint else { return Ok(None) };
        let descriptor = bind_host(host, *port, options)?;
        sockopt::set_socket_reuseport(&descriptor, true)?;
        HeldPort::of(descriptor).map(Some)
    }

    fn of(descriptor: OwnedFd) -> io::Result<Self> {
        let address = Address::from_kernel(&getsockname(&descriptor)?);
        Ok(HeldPort { _descriptor: descriptor, address })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// Both families through one IPv6 socket if the host is any (RFC 3493 §5.3); IPv4 alone if the machine has no IPv6.
fn bind_host(host: &Host, port: u16, options: &Options) -> io::Result<OwnedFd> {
    match host {
        Host::Any => {
            let both = bind_tcp((Ipv6Addr::UNSPECIFIED, port).into(), options, false);
            match both.as_ref().err().and_then(Errno::from_io_error) {
                Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {
                    bind_tcp((Ipv4Addr::UNSPECIFIED, port).into(), options, false)
                }
                _ => both,
            }
        }
        Host::Ip(ip) => bind_tcp((*ip, port).into(), options, false),
        Host::Name(name) => {
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in (name.as_str(), port).to_socket_addrs()? {
                match bind_tcp(address, options, false) {
                    Ok(descriptor) => return Ok(descriptor),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
    }
}

fn bind_tcp(at: SocketAddr, options: &Options, is_another: bool) -> io::Result<OwnedFd> {
    let descriptor = stream_socket(Address::Tcp(at).family())?;
    // A restart binds at once although old connections are in TIME-WAIT (RFC 9293 §3.6.1).
    sockopt::set_socket_reuseaddr(&descriptor, true)?;
    sockopt::set_socket_reuseport(&descriptor, is_another)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&descriptor, !at.ip().is_unspecified())?;
    }
    options.apply_to_listener(&descriptor, at.ip());
    bind(&descriptor, &at)?;
    Ok(descriptor)
}

impl ListenHandle {
    /// Its port, while no socket listens at it; none if it is closed, or is no port of ours.
    pub fn hold(&self, options: &Options) -> Option<HeldPort> {
        let opened = self.0.upgrade()?;
        let name = getsockname(&opened.descriptor).ok()?;
        let Address::Tcp(at) = Address::from_kernel(&name) else { return None };
        sockopt::set_socket_reuseport(&opened.descriptor, true).ok()?;
        HeldPort::of(bind_tcp(at, options, true).ok()?).ok()
    }

    /// Another descriptor of the socket; none if it is closed.
    pub fn descriptor(&self) -> io::Result<Option<OwnedFd>> {
        self.0.upgrade().map(|opened| opened.descriptor.try_clone()).transpose()
    }

    /// Whether the socket has a file that goes with it.
    pub fn has_file(&self) -> bool {
        self.0.upgrade().is_some_and(|opened| opened.file.is_some())
    }

    /// From now on the file stays: it goes with another program's socket.
    pub fn leave_file(&self) {
        if let Some(file) = self.0.upgrade().as_ref().and_then(|opened| opened.file.as_ref()) {
            file.stays.store(true, Ordering::Relaxed);
        }
    }

    /// Gives connections to come other options. What the kernel refuses stays as it is.
    pub fn set_options(&self, options: &Options) {
        let Some(opened) = self.0.upgrade() else { return };
        if let Ok(Address::Tcp(at)) = getsockname(&opened.descriptor).map(|name| Address::from_kernel(&name))
        {
            options.apply_to_listener(&opened.descriptor, at.ip());
        }
    }

    /// Gives the queue another length.
    pub fn set_backlog(&self, backlog: i32) {
        if let Some(opened) = self.0.upgrade() {
            let _ = listen(&opened.descriptor, backlog);
        }
    }

    /// From now on the file goes with the socket here.
    pub fn take_file(&self) {
        if let Some(file) = self.0.upgrade().as_ref().and_then(|opened| opened.file.as_ref()) {
            file.stays.store(false, Ordering::Relaxed);
        }
    }

    pub fn is_open(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// Whether both are of one socket.
    pub fn is_same(&self, other: &ListenHandle) -> bool {
        Weak::ptr_eq(&self.0, &other.0)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may stay open, of another shard or another process, and must not wake a shard that does not accept at it.
        self.registration.withdraw(self.descriptor());
    }
}

impl Listener {
    /// Has this thread's shard wait for `socket`.
    pub fn open(socket: ListenSocket) -> io::Result<Self> {
        let descriptor = &socket.opened.descriptor;
        let registration = if socket.is_shared {
            Registration::shared(descriptor)
        } else {
            Registration::new(descriptor, false)
        };
        Ok(Listener { registration: registration?, socket, spare: None })
    }

    /// As [`Listener::open`], for sessions: connections get only descriptors below the [`ceiling`](crate::net::ceiling).
    pub fn bounded(socket: ListenSocket) -> io::Result<Self> {
        let mut listener = Self::open(socket)?;
        listener.spare = Some(spare_number());
        Ok(listener)
    }

    /// As [`ListenSocket::bind`], for this thread's shard.
    pub fn bind(endpoint: &Endpoint, backlog: i32, options: &Options) -> io::Result<Self> {
        Self::open(ListenSocket::bind(endpoint, backlog, options, None)?)
    }

    /// As [`ListenSocket::bind_private`], for this thread's shard.
    pub fn bind_private(path: &Path, backlog: i32) -> io::Result<Self> {
        Self::open(ListenSocket::bind_private(path, backlog)?)
    }

    pub fn address(&self) -> &Address {
        &self.socket.address
    }

    pub fn handle(&self) -> ListenHandle {
        self.socket.handle()
    }

    /// Our address in a connection that was accepted here.
    pub fn local_address_of(&self, accepted: &OwnedFd) -> Address {
        let is_any = self.address().ip().is_some_and(|ip| ip.is_unspecified());
        let local = is_any.then(|| getsockname(accepted).ok()).flatten();
        local.map_or_else(|| self.address().clone(), |local| Address::from_kernel(&local))
    }

    pub async fn readable(&self) {
        poll_fn(|context| self.registration.poll_readable(context)).await;
    }

    /// Takes one connection.
    /// Errors: `WouldBlock` if none is there; otherwise see [`classify`].
    pub fn try_accept(&self) -> io::Result<(Socket, Address)> {
        let (descriptor, peer) = self.try_accept_if(|| Ok(()))?;
        Ok((Socket::new(descriptor, true)?, peer))
    }

    /// As [`Listener::try_accept`], once `prepare` has made what a connection needs besides, or its error. The socket may be
    /// taken to another shard.
    pub fn try_accept_if(&self, prepare: impl FnOnce() -> io::Result<()>) -> io::Result<(OwnedFd, Address)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let spare = self.spare.as_deref();
        let accept = || {
            spare.map_or(Ok(()), SpareNumber::fill)?;
            prepare()?;
            Ok((acceptfrom_with(self.descriptor(), flags)?, false))
        };
        let accepted = self.registration.read(|| accept().map_err(|e| self.lack(e)));
        let (descriptor, peer) = accepted.inspect_err(|error| self.socket.errors.note(error))?;
        let descriptor = match spare {
            Some(spare) => spare.lower(descriptor)?,
            None => descriptor,
        };
        let peer = peer.as_ref().map_or_else(Address::unnamed, Address::from_kernel);
        Ok((descriptor, peer))
    }

    fn descriptor(&self) -> &OwnedFd {
        &self.socket.opened.descriptor
    }

    /// `error`; but `WouldBlock` if no connection is there, for accept(2) looks for a descriptor first.
    fn lack(&self, error: io::Error) -> io::Error {
        let mut events = [PollFd::new(self.descriptor(), PollFlags::IN)];
        if classify(&error) == AcceptError::Resources
            && poll(&mut events, Some(&Timespec::default())) == Ok(0)
        {
            return io::ErrorKind::WouldBlock.into();
        }
        error
    }

    /// Refuses connections from now on, and resets those not yet accepted. The address stays bound. For the audit.
    /// Linux takes a listening socket that is shut down for reading back to the state before listen(2).
    pub fn refuse(&self) -> io::Result<()> {
        Ok(shutdown(self.descriptor(), Shutdown::Read)?)
    }

    /// Listens with a queue of another length; after [`Listener::refuse`] as well.
    /// The queue takes one connection more than `backlog`. The kernel does not answer further requests, which come again
    /// after a second (RFC 6298 §2). For the audit.
    pub fn listen_again(&self, backlog: i32) -> io::Result<()> {
        Ok(listen(self.descriptor(), backlog)?)
    }
}

/// What an error of [`Listener::try_accept`] means (accept(2), "Error handling").
pub fn classify(error: &io::Error) -> AcceptError {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC) => {
            AcceptError::Resources
        }
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP | Errno::FAULT) => {
            AcceptError::Fatal
        }
        _ => AcceptError::Connection,
    }
}

/// The file that bind(2) made at `path`. It goes with its listener; a file that has taken its place stays.
struct SocketFile {
    path: PathBuf,
    number: Option<(u64, u64)>,
    stays: AtomicBool,
}

impl SocketFile {
    fn at(path: &Path) -> Self {
        Self::passed(path, false)
    }

    /// The file of a former program's socket is that program's until this one takes over.
    fn passed(path: &Path, of_former: bool) -> Self {
        SocketFile { path: path.to_owned(), number: number(path), stays: AtomicBool::new(of_former) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !*self.stays.get_mut() && self.number.is_some() && number(&self.path) == self.number {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A file's device, and its number there.
fn number(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|is| (is.dev(), is.ino()))
}

/// Whether `path` is a socket without a listener. A listener with a full backlog is alive (unix(7)).
///
/// A connection would be a session of the server that listens there, so the kernel's table is asked first. The table does
/// not tell of every listener (one of a relative path, of another network namespace): then a connection tells.
fn is_stale(path: &Path) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let table = fs::read("/proc/net/unix").unwrap_or_default();
    if table.split(|byte| *byte == b'\n').any(|line| listens(line, path)) {
        return Ok(false);
    }
    let probe = stream_socket(AddressFamily::UNIX)?;
    Ok(connect(&probe, &SocketAddrUnix::new(path)?) == Err(Errno::CONNREFUSED))
}

/// Whether a line of `/proc/net/unix` is about a socket that listens at `path`: number, references, protocol, flags, type,
/// state, inode, path.
fn listens(line: &[u8], path: &Path) -> bool {
    const LISTENS: &[u8] = b"00010000"; // __SO_ACCEPTCON (include/linux/net.h)
    let Some(at) = line.iter().position(|byte| *byte == b'/') else { return false };
    let (columns, bound) = line.split_at(at);
    bound == path.as_os_str().as_bytes() && columns.split(|byte| *byte == b' ').nth(3) == Some(LISTENS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::shard::run;
    use rustix::fs::fstat;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_file_goes_with_its_listener_and_one_in_its_place_stays() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("socket");
        let first = UnixListener::bind(&path).unwrap();
        let file = SocketFile::at(&path);
        fs::remove_file(&path).unwrap();
        let second = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
        drop(first);
        drop(SocketFile::at(&path));
        assert!(!path.exists());
        drop(second);
    }

    /// The sockets of this number that an epoll of this process waits for (proc(5), `fdinfo`).
    fn watches(number: u64) -> usize {
        let files = fs::read_dir("/proc/self/fdinfo").unwrap();
        let texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
        let entry = format!(" ino:{number:x} ");
        texts
            .map(|text| text.lines().filter(|line| line.starts_with("tfd:") && line.contains(&entry)).count())
            .sum()
    }

    #[test]
    fn a_shard_waits_no_more_for_a_socket_that_another_process_goes_on_with() {
        run(async {
            let listener = Listener::bind(&Endpoint::loopback(0), 1, &Options::default()).unwrap();
            let passed = listener.handle().descriptor().unwrap().unwrap();
            let number = fstat(&passed).unwrap().st_ino;
            assert_eq!(watches(number), 1);
            drop(listener);
            assert_eq!(watches(number), 0);
        })
        .unwrap();
    }

    #[test]
    fn a_unix_listener_has_the_mode_that_is_asked_for_whatever_the_umask() {
        let folder = tempfile::TempDir::new().unwrap();
        let bind = |endpoint| ListenSocket::bind(&endpoint, 1, &Options::default(), Some(0o662));
        let path = folder.path().join("socket");
        // The usual umask (022) would take the right of others to write.
        let bound = bind(Endpoint::Unix(path.clone())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o662);
        drop(bound);
        assert!(!path.exists());
        assert!(bind(Endpoint::Unix("@switchboard-mode".into())).is_err(), "it has no file");
    }
}
