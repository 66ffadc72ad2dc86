//! What Linux tells about a process and its sockets (proc(5)).

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::{
    collections::HashSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// TCP states as `/proc/net/tcp` numbers them (include/net/tcp_states.h).
pub const ESTABLISHED: u8 = 1;
pub const SYN_SENT: u8 = 2;
pub const FIN_WAIT_1: u8 = 4;
pub const CLOSE_WAIT: u8 = 8;

/// The name of the keepalive timer in the column `tr` (net/ipv4/tcp_ipv4.c).
const KEEPALIVE_TIMER: &str = "02";
/// The unit of the times in `/proc`: USER_HZ, 100 on every architecture of Linux in use.
const TICKS_PER_SECOND: u64 = 100;

/// One IPv4 TCP socket of this machine.
pub struct Socket {
    pub local: SocketAddr,
    remote: SocketAddr,
    inode: u64,
    pub state: u8,
    /// Bytes written that the other end has not acknowledged.
    pub unsent: u64,
    /// Bytes received that the program has not read.
    pub unread: u64,
    /// Until the keepalive timer ends, where it runs.
    pub keepalive_in: Option<Duration>,
}

impl Socket {
    pub fn leads_to(&self, remote: SocketAddr) -> bool {
        self.remote == remote
    }

    /// Whether bytes can go either way.
    pub fn is_open(&self) -> bool {
        self.state == ESTABLISHED
    }

    pub fn joins(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.local == local && self.remote == remote
    }
}

/// Every IPv4 TCP socket of this machine.
pub fn sockets() -> Vec<Socket> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (unsent, unread) = fields.get(4)?.split_once(':')?;
    let (timer, ticks) = fields.get(5)?.split_once(':')?;
    let ticks = u64::from_str_radix(ticks, 16).ok()?;
    Some(Socket {
        local: parse_address(fields.get(1)?)?,
        remote: parse_address(fields.get(2)?)?,
        inode: fields.get(9)?.parse().ok()?,
        state: u8::from_str_radix(fields.get(3)?, 16).ok()?,
        unsent: u64::from_str_radix(unsent, 16).ok()?,
        unread: u64::from_str_radix(unread, 16).ok()?,
        keepalive_in: (timer == KEEPALIVE_TIMER)
            .then(|| Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)),
    })
}

/// `0100007F:1F90`: the address as the machine's own 32-bit word, the port as a number.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = u32::from_str_radix(address, 16).ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((Ipv4Addr::from(word.to_ne_bytes()), port).into())
}

/// A running process.
#[derive(Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// What each open descriptor is, as `/proc/PID/fd` links it.
    pub fn descriptors(self) -> Vec<String> {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap();
        let links = folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.map(|link| link.to_string_lossy().into_owned()).collect()
    }

    /// What a descriptor is; none where it is closed.
    pub fn descriptor(self, number: u32) -> Option<String> {
        let link = fs::read_link(format!("/proc/{}/fd/{number}", self.0)).ok()?;
        Some(link.to_string_lossy().into_owned())
    }

    /// From now on it can open only `count` descriptors more.
    pub fn leave_descriptors(self, count: usize) {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap();
        let used: HashSet<u64> =
            folder.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
        // The kernel gives out the lowest free number below the limit.
        self.limit_descriptors((0..).filter(|number| !used.contains(number)).nth(count).unwrap());
    }

    /// From now on every descriptor that it opens has a number below `limit`.
    pub fn limit_descriptors(self, limit: u64) {
        let pid = i32::try_from(self.0).ok().and_then(Pid::from_raw);
        let maximum = getrlimit(Resource::Nofile).maximum;
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(limit), maximum }).unwrap();
    }

    /// How many of its TCP sockets are in a state.
    pub fn sockets_in(self, state: u8) -> usize {
        let own: HashSet<String> = self.descriptors().into_iter().collect();
        let in_state = sockets().into_iter().filter(|socket| socket.state == state);
        // The kernel tells of a socket twice if the table changes while it is read.
        let inodes: HashSet<u64> = in_state.map(|socket| socket.inode).collect();
        inodes.iter().filter(|inode| own.contains(&format!("socket:[{inode}]"))).count()
    }

    pub fn threads(self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.0)).unwrap().count()
    }

    /// How nice the thread of this name is to others; none where there is no such thread.
    pub fn niceness(self, thread: &str) -> Option<i32> {
        fs::read_dir(format!("/proc/{}/task", self.0)).unwrap().find_map(|entry| {
            let stat = fs::read_to_string(entry.ok()?.path().join("stat")).ok()?;
            let (name, rest) = stat.rsplit_once(") ")?;
            // It is the field 19, and the rest begins with the field 3.
            let niceness = rest.split_whitespace().nth(16)?.parse().ok()?;
            name.ends_with(&format!("({thread}")).then_some(niceness)
        })
    }

    /// Resident memory in KiB.
    pub fn resident_kib(self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0)).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Processor time used so far, in user and kernel mode together.
    pub fn processor_time(self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        // The command's name, in parentheses, may hold spaces; utime and stime are the fields 14 and 15.
        let (_, rest) = stat.rsplit_once(')').unwrap();
        let ticks: u64 =
            rest.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }
}

#[test]
fn a_line_of_the_socket_table_is_read() {
    let line = "  0: 0100007F:1F90 0200007F:0050 08 00000010:00000020 02:00000190 00000000 0 0 4711 1";
    let socket = parse(line).unwrap();
    assert!(socket.joins("127.0.0.1:8080".parse().unwrap(), "127.0.0.2:80".parse().unwrap()));
    assert_eq!(socket.keepalive_in, Some(Duration::from_secs(4)));
    assert_eq!((socket.state, socket.unsent, socket.unread, socket.inode), (CLOSE_WAIT, 16, 32, 4711));
}
