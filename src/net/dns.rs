//! Questions to name servers (RFC 1035): what getaddrinfo(3) does not tell, which is SRV records and how long an answer holds.
//!
//! An answer counts only if it comes from the server that was asked, with the number and the question of the query; both
//! number and port are chosen at random. What it costs is bounded: a datagram of `UDP_BYTES`, over TCP a message of 64 KiB,
//! `RECORDS_MAX` records, `ALIASES_MAX` aliases, `STRAYS_MAX` datagrams that answer another question.

use crate::{
    error::reason,
    net::{address::Address, dial::open_at_once, options::Options, socket::Socket},
    runtime::{blocking::blocking, clock::within, random::random, readiness::Registration},
    text::units::duration,
};
use domain::{
    base::{
        Message, MessageBuilder, Name, ParseRecordData, ParsedName, Record, ToName,
        iana::{Class, Rcode, Rtype},
        message_builder::OptBuilder,
        wire::ParseError,
    },
    rdata::{A, Aaaa, Cname, Srv},
};
use std::{
    fmt, fs,
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

/// The port of name servers (RFC 1035 §4.2).
const PORT: u16 = 53;
/// The largest datagram that is asked for (RFC 6891 §6.2.5). Consul leaves out what does not fit, and does not say so.
const UDP_BYTES: u16 = 4096;
/// An answer with more is refused as a whole: no choice among more servers is needed, and each costs a state and a check.
pub const RECORDS_MAX: usize = 512;
/// Name servers follow some 11 (Bind, Unbound).
const ALIASES_MAX: usize = 16;
/// Datagrams with another number or question, after which an attempt is over.
const STRAYS_MAX: usize = 64;
/// For an answer of a server that is named; resolv.conf(5) has a time of its own.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The limits of resolv.conf(5).
const SERVERS_MAX: usize = 3;
const TIMEOUT_MAX_SECONDS: u32 = 30;
const SEARCH_MAX: usize = 16;
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Which servers to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServers {
    /// In turn.
    addresses: Vec<SocketAddr>,
    /// Domains to look for a name in.
    search: Vec<String>,
    /// A name with this many dots is looked for as it is first.
    dots: usize,
    timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    A,
    Aaaa,
    Srv,
}

pub type DomainName = Name<Vec<u8>>;

/// What is asked, without case.
#[derive(Clone, Debug)]
pub struct DnsQuestion {
    pub name: DomainName,
    pub kind: RecordKind,
}

/// The records that answer a question: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// Of A and AAAA.
    pub addresses: Vec<IpAddr>,
    pub services: Vec<Service>,
    /// How long all of them hold.
    pub ttl: Duration,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    /// The root: the service is decidedly not there.
    pub target: DomainName,
}

/// Why there are no records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupFailure {
    /// NXDOMAIN.
    NoSuchName,
    /// The name has no records of this kind.
    NoRecord(RecordKind),
    /// No server could say, in words.
    Unknown(String),
}

/// What a message is to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// It is no answer to it.
    Stray,
    /// It did not fit.
    Truncated,
    /// The server does not understand the query.
    NotUnderstood,
    NoSuchName,
    NoRecord,
    /// The server, or its message, is of no use, in words.
    Useless(String),
}

impl NameServers {
    /// One server, which is asked for names as they are.
    pub fn one(address: SocketAddr) -> Self {
        NameServers { addresses: vec![address], search: Vec::new(), dots: 0, timeout: TIMEOUT }
    }

    /// Those of the system (resolv.conf(5)); without a file the one of this machine.
    pub async fn system() -> Self {
        let text = blocking(|| fs::read(RESOLV_CONF)).await.unwrap_or_default();
        Self::from_resolv_conf(&text)
    }

    /// What is not understood in the file is left out, as the system does.
    fn from_resolv_conf(text: &[u8]) -> Self {
        let (config, _) = resolv_conf::Config::parse_with_errors(text);
        let servers = config.get_nameservers_or_local().into_iter().map(IpAddr::from);
        let search = config.get_last_search_or_domain().map(|name| name.trim_end_matches('.').to_owned());
        NameServers {
            addresses: servers.map(|ip| SocketAddr::new(ip, PORT)).take(SERVERS_MAX).collect(),
            search: search.filter(|name| !name.is_empty()).take(SEARCH_MAX).collect(),
            dots: config.ndots as usize,
            timeout: Duration::from_secs(config.timeout.clamp(1, TIMEOUT_MAX_SECONDS).into()),
        }
    }

    /// Asks for the records of a name as a user writes it.
    pub async fn look_up(&self, name: &str, kind: RecordKind) -> Result<Records, LookupFailure> {
        let mut missing = None;
        for name in self.candidates(name) {
            let Ok(name) = name.parse::<DomainName>() else { continue };
            match self.ask(&DnsQuestion { name, kind }).await {
                Ok(records) => return Ok(records),
                Err(failure @ LookupFailure::Unknown(_)) => return Err(failure),
                // A name that is there says more than one that is not.
                Err(LookupFailure::NoSuchName) if missing.is_some() => {}
                Err(failure) => missing = Some(failure),
            }
        }
        Err(missing.unwrap_or_else(|| LookupFailure::Unknown(format!("{name} is no domain name"))))
    }

    /// The names that a name may stand for, in their order.
    fn candidates(&self, name: &str) -> Vec<String> {
        let bare = name.trim_end_matches('.');
        if name.ends_with('.') {
            return vec![bare.to_owned()];
        }
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{bare}.{domain}")).collect();
        let is_first = bare.matches('.').count() >= self.dots;
        names.insert(if is_first { 0 } else { names.len() }, bare.to_owned());
        names
    }

    /// Asks each server by UDP, then each by TCP, until one says whether there are records.
    pub async fn ask(&self, question: &DnsQuestion) -> Result<Records, LookupFailure> {
        let mut why = "there is no name server to ask".to_owned();
        for over_tcp in [false, true] {
            for server in &self.addresses {
                let attempt = attempt(*server, question, over_tcp);
                match within(Some(self.timeout), attempt).await {
                    Some(Ok(records)) => return Ok(records),
                    Some(Err(ReadFault::NoSuchName)) => return Err(LookupFailure::NoSuchName),
                    Some(Err(ReadFault::NoRecord)) => return Err(LookupFailure::NoRecord(question.kind)),
                    Some(Err(ReadFault::Useless(text))) => why = format!("name server {server}: {text}"),
                    Some(Err(fault)) => why = format!("name server {server}: {fault}"),
                    None => {
                        why = format!("name server {server}: no answer within {}", duration(self.timeout))
                    }
                }
            }
        }
        Err(LookupFailure::Unknown(why))
    }
}

/// Asks one server once.
async fn attempt(server: SocketAddr, question: &DnsQuestion, over_tcp: bool) -> Result<Records, ReadFault> {
    let broken = |error: io::Error| ReadFault::Useless(reason(&error));
    let mut has_options = true;
    loop {
        let id = random() as u16;
        let query = question.query(id, has_options);
        let result = if over_tcp {
            question.read(id, &ask_over_tcp(server, &query).await.map_err(broken)?)
        } else {
            ask_over_udp(server, &query, |answer| question.read(id, answer)).await.map_err(broken)?
        };
        match result {
            Err(ReadFault::Truncated) if !over_tcp => {
                return question.read(id, &ask_over_tcp(server, &query).await.map_err(broken)?);
            }
            // An old server (RFC 6891 §7).
            Err(ReadFault::NotUnderstood) if has_options => has_options = false,
            result => return result,
        }
    }
}

/// What `read` makes of the first datagram that is no stray.
async fn ask_over_udp(
    server: SocketAddr,
    query: &[u8],
    read: impl Fn(&[u8]) -> Result<Records, ReadFault>,
) -> io::Result<Result<Records, ReadFault>> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // The kernel chooses the port at random, and takes datagrams of this server only.
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    let registration = Registration::new(&socket, true)?;
    socket.send(query)?;
    let mut room = vec![0; usize::from(UDP_BYTES)];
    for _ in 0..STRAYS_MAX {
        let count = loop {
            poll_fn(|context| registration.poll_readable(context)).await;
            match registration.read(|| Ok((socket.recv(&mut room)?, false))) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => break result?,
            }
        };
        match read(&room[..count]) {
            Err(ReadFault::Stray) => {}
            result => return Ok(result),
        }
    }
    Ok(Err(ReadFault::Stray))
}

async fn ask_over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let socket = open_at_once(&Address::Tcp(server), &Options::default()).await?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let message = [&length.to_be_bytes(), query].concat();
    let mut rest = &message[..];
    while !rest.is_empty() {
        rest = &rest[socket.write(rest).await?..];
    }
    let mut length = [0; 2];
    read_exactly(&socket, &mut length).await?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    read_exactly(&socket, &mut answer).await?;
    socket.close();
    Ok(answer)
}

async fn read_exactly(socket: &Socket, room: &mut [u8]) -> io::Result<()> {
    let mut at = 0;
    while at < room.len() {
        match poll_fn(|context| socket.poll_read(context, &mut room[at..])).await? {
            0 => return Err(io::Error::other("it ended its answer early")),
            count => at += count,
        }
    }
    Ok(())
}

impl DnsQuestion {
    /// The message that asks it: at most 300 bytes.
    fn query(&self, id: u16, has_options: bool) -> Vec<u8> {
        const FITS: &str = "a vector has room for a question";
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(id);
        builder.header_mut().set_rd(true);
        let mut builder = builder.question();
        builder.push((&self.name, self.kind.number())).expect(FITS);
        let mut builder = builder.additional();
        if has_options {
            let size = |options: &mut OptBuilder<'_, _>| {
                options.set_udp_payload_size(UDP_BYTES);
                Ok(())
            };
            builder.opt(size).expect(FITS);
        }
        builder.finish()
    }

    /// Reads an answer to the query with this number, of any bytes.
    pub fn read(&self, id: u16, answer: &[u8]) -> Result<Records, ReadFault> {
        let message = Message::from_octets(answer).map_err(|_| ReadFault::Stray)?;
        let header = message.header();
        if !header.qr() || header.id() != id {
            return Err(ReadFault::Stray);
        }
        // Only a server that cannot read the question may leave it out.
        match message.header_counts().qdcount() {
            0 if header.rcode() != Rcode::NOERROR && header.rcode() != Rcode::NXDOMAIN => {}
            1 => {
                let asked = message.sole_question().map_err(|_| ReadFault::Stray)?;
                let is_it = asked.qname().name_eq(&self.name)
                    && asked.qtype() == self.kind.number()
                    && asked.qclass() == Class::IN;
                if !is_it {
                    return Err(ReadFault::Stray);
                }
            }
            _ => return Err(ReadFault::Stray),
        }
        match header.rcode() {
            Rcode::NXDOMAIN => return Err(ReadFault::NoSuchName),
            Rcode::FORMERR | Rcode::NOTIMP => return Err(ReadFault::NotUnderstood),
            Rcode::NOERROR if header.tc() => return Err(ReadFault::Truncated),
            Rcode::NOERROR => {}
            code => return Err(ReadFault::Useless(format!("it says {code}"))),
        }
        self.records(&message)
    }

    /// The records of the name, or of the name for which it is an alias.
    fn records(&self, message: &Message<&[u8]>) -> Result<Records, ReadFault> {
        let malformed = |_| ReadFault::Useless("its answer is malformed".into());
        if usize::from(message.header_counts().ancount()) > RECORDS_MAX {
            return Err(ReadFault::Useless(format!("its answer has more than {RECORDS_MAX} records")));
        }
        let mut ttl = u32::MAX;
        let mut name = self.name.clone();
        for _ in 0..ALIASES_MAX {
            let mut aliases = message.answer().map_err(malformed)?.limit_to_in::<Cname<ParsedName<_>>>();
            let is_own = |alias: &Result<Record<ParsedName<_>, _>, _>| match alias {
                Ok(alias) => alias.owner().name_eq(&name),
                Err(_) => true,
            };
            let Some(alias) = aliases.find(is_own) else { break };
            let alias = alias.map_err(malformed)?;
            ttl = ttl.min(alias.ttl().as_secs());
            name = alias.data().cname().to_name();
        }
        let mut records = Records { addresses: Vec::new(), services: Vec::new(), ttl: Duration::ZERO };
        let found = match self.kind {
            RecordKind::A => each(message, &name, |data: &A| records.addresses.push(data.addr().into())),
            RecordKind::Aaaa => {
                each(message, &name, |data: &Aaaa| records.addresses.push(data.addr().into()))
            }
            RecordKind::Srv => each(message, &name, |data| records.services.push(Service::of(data))),
        };
        ttl = ttl.min(found.map_err(malformed)?);
        if records.addresses.is_empty() && records.services.is_empty() {
            return Err(ReadFault::NoRecord);
        }
        records.ttl = Duration::from_secs(ttl.into());
        Ok(records)
    }
}

/// Hands over the data of each record of the name, and says how long all of them hold, in seconds.
fn each<'a, Data: ParseRecordData<'a, &'a [u8]>>(
    message: &'a Message<&'a [u8]>,
    name: &DomainName,
    mut take: impl FnMut(&Data),
) -> Result<u32, ParseError> {
    let mut ttl = u32::MAX;
    for record in message.answer()?.limit_to_in::<Data>() {
        let record = record?;
        if record.owner().name_eq(name) {
            ttl = ttl.min(record.ttl().as_secs());
            take(record.data());
        }
    }
    Ok(ttl)
}

impl Service {
    fn of(data: &Srv<ParsedName<&[u8]>>) -> Self {
        Service {
            priority: data.priority(),
            weight: data.weight(),
            port: data.port(),
            target: data.target().to_name(),
        }
    }
}

impl RecordKind {
    fn number(self) -> Rtype {
        match self {
            RecordKind::A => Rtype::A,
            RecordKind::Aaaa => Rtype::AAAA,
            RecordKind::Srv => Rtype::SRV,
        }
    }
}

impl fmt::Display for LookupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LookupFailure::NoSuchName => f.write_str("the name does not exist"),
            LookupFailure::NoRecord(kind) => write!(f, "the name has no {} record", kind.number()),
            LookupFailure::Unknown(why) => f.write_str(why),
        }
    }
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReadFault::Stray => "it answers another question",
            ReadFault::Truncated => "its answer is cut off",
            ReadFault::NotUnderstood => "it does not understand the question",
            ReadFault::NoSuchName => "the name does not exist",
            ReadFault::NoRecord => "the name has no such record",
            ReadFault::Useless(why) => why,
        })
    }
}

/// A name server of a test, which answers as the test says.
#[cfg(test)]
pub mod fake {
    use super::{A, Aaaa, Cname, DomainName, Message, MessageBuilder, Srv, ToName};
    use crate::runtime::lock::Lock;
    pub use domain::base::iana::Rcode;
    use std::{
        io::{Read, Write},
        net::{SocketAddr, TcpListener, UdpSocket},
        sync::Arc,
        thread,
    };

    /// Data of a record, as a zone file has it.
    #[derive(Clone, Debug)]
    pub enum Data {
        A(&'static str),
        Aaaa(&'static str),
        Cname(&'static str),
        Srv(u16, u16, u16, &'static str),
    }

    /// A question that came.
    pub struct Asked<'a> {
        pub query: &'a [u8],
        /// Name and kind: `a.test A`.
        pub text: String,
        pub over_tcp: bool,
    }

    pub struct FakeNameServer {
        pub address: SocketAddr,
        asked: Arc<Lock<Vec<String>>>,
    }

    impl FakeNameServer {
        /// `behave` gives the messages to send back.
        pub fn start(behave: impl Fn(&Asked<'_>) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Self {
            let (tcp, udp) = sockets();
            let address = udp.local_addr().unwrap();
            let (behave, asked) = (Arc::new(behave), Arc::<Lock<Vec<String>>>::default());
            let (over_udp, over_tcp) = (Self::handler(&behave, &asked), Self::handler(&behave, &asked));
            thread::spawn(move || {
                let mut room = [0; 1000];
                while let Ok((count, from)) = udp.recv_from(&mut room) {
                    over_udp(&room[..count], false).iter().for_each(|one| drop(udp.send_to(one, from)));
                }
            });
            thread::spawn(move || {
                for mut stream in tcp.incoming().map_while(Result::ok) {
                    let mut length = [0; 2];
                    if stream.read_exact(&mut length).is_err() {
                        continue;
                    }
                    let mut query = vec![0; u16::from_be_bytes(length).into()];
                    stream.read_exact(&mut query).unwrap();
                    for answer in over_tcp(&query, true) {
                        let _ = stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes());
                        let _ = stream.write_all(&answer);
                    }
                }
            });
            FakeNameServer { address, asked }
        }

        fn handler<B: Fn(&Asked<'_>) -> Vec<Vec<u8>>>(
            behave: &Arc<B>,
            asked: &Arc<Lock<Vec<String>>>,
        ) -> impl Fn(&[u8], bool) -> Vec<Vec<u8>> + use<B> {
            let (behave, asked) = (behave.clone(), asked.clone());
            move |query, over_tcp| {
                let message = Message::from_octets(query).unwrap();
                let question = message.sole_question().unwrap();
                let text = format!("{} {}", question.qname(), question.qtype());
                asked.lock().push(format!("{text}{}", if over_tcp { " over TCP" } else { "" }));
                behave(&Asked { query, text, over_tcp })
            }
        }

        /// The questions that came since the last call.
        pub fn asked(&self) -> Vec<String> {
            std::mem::take(&mut self.asked.lock())
        }
    }

    /// Of one address.
    pub fn sockets() -> (TcpListener, UdpSocket) {
        loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                return (tcp, udp);
            }
        }
    }

    /// An answer with these records: owner, time to live, data.
    pub fn answer(query: &[u8], code: Rcode, records: &[(&str, u32, Data)]) -> Vec<u8> {
        let query = Message::from_octets(query).unwrap();
        let mut answer = MessageBuilder::new_vec().start_answer(&query, code).unwrap();
        let name = |text: &str| -> DomainName { text.parse::<DomainName>().unwrap().to_name() };
        for (owner, ttl, data) in records {
            let (owner, ttl) = (name(owner), *ttl);
            match *data {
                Data::A(ip) => answer.push((&owner, ttl, A::new(ip.parse().unwrap()))),
                Data::Aaaa(ip) => answer.push((&owner, ttl, Aaaa::new(ip.parse().unwrap()))),
                Data::Cname(to) => answer.push((&owner, ttl, Cname::new(name(to)))),
                Data::Srv(priority, weight, port, target) => {
                    answer.push((&owner, ttl, Srv::new(priority, weight, port, name(target))))
                }
            }
            .unwrap();
        }
        answer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        fake::{Asked, Data, FakeNameServer, answer, sockets},
        *,
    };
    use crate::runtime::shard::run;
    use proptest::{collection::vec, prelude::*, sample::Index};
    use std::time::Instant;

    const LIMIT: Option<Duration> = Some(Duration::from_secs(20));

    fn question(name: &str, kind: RecordKind) -> DnsQuestion {
        DnsQuestion { name: name.parse().unwrap(), kind }
    }

    fn servers(addresses: &[SocketAddr]) -> NameServers {
        let timeout = Duration::from_millis(300);
        NameServers { addresses: addresses.to_vec(), timeout, ..NameServers::one(([127, 0, 0, 1], 1).into()) }
    }

    fn ask(servers: &NameServers, name: &str, kind: RecordKind) -> Result<Records, LookupFailure> {
        run(within(LIMIT, servers.look_up(name, kind))).unwrap().expect("it has a limit of its own")
    }

    fn addresses(records: &Records) -> Vec<String> {
        records.addresses.iter().map(ToString::to_string).collect()
    }

    /// What the fake sends for an A question in `mess`, and what comes of it.
    fn after(
        mess: impl Fn(&Asked<'_>) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> (Result<Vec<String>, String>, Vec<String>) {
        let fake = FakeNameServer::start(mess);
        let result = ask(&servers(&[fake.address]), "a.test", RecordKind::A);
        let result = result.map(|records| addresses(&records)).map_err(|failure| failure.to_string());
        (result, fake.asked())
    }

    fn good(asked: &Asked<'_>) -> Vec<u8> {
        answer(asked.query, Rcode::NOERROR, &[("a.test", 60, Data::A("10.0.0.1"))])
    }

    #[test]
    fn addresses_and_services_are_found_with_the_least_time_that_they_hold() {
        let fake = FakeNameServer::start(|asked| {
            let records = match &*asked.text {
                "A.Test A" => vec![("a.test", 60, Data::A("10.0.0.1")), ("a.TEST", 30, Data::A("10.0.0.2"))],
                "A.Test AAAA" => vec![("a.test", 5, Data::Aaaa("fd00::1"))],
                _ => vec![("_db._tcp.test", 60, Data::Srv(1, 2, 5432, "x.test"))],
            };
            vec![answer(asked.query, Rcode::NOERROR, &records)]
        });
        let servers = servers(&[fake.address]);
        let found = ask(&servers, "A.Test", RecordKind::A).unwrap();
        assert_eq!(
            (addresses(&found), found.ttl.as_secs()),
            (vec!["10.0.0.1".into(), "10.0.0.2".into()], 30)
        );
        let found = ask(&servers, "A.Test", RecordKind::Aaaa).unwrap();
        assert_eq!((addresses(&found), found.ttl.as_secs()), (vec!["fd00::1".into()], 5));
        let found = ask(&servers, "_db._tcp.test", RecordKind::Srv).unwrap();
        let target = "x.test".parse().unwrap();
        assert_eq!(found.services, [Service { priority: 1, weight: 2, port: 5432, target }]);
    }

    #[test]
    fn an_alias_is_followed_in_any_order_and_a_loop_of_them_ends() {
        let (found, _) = after(|asked| {
            let records = [
                ("c.test", 60, Data::A("10.0.0.3")),
                ("b.test", 7, Data::Cname("c.test")),
                ("a.test", 60, Data::Cname("b.test")),
                ("d.test", 60, Data::A("10.0.0.4")),
            ];
            vec![answer(asked.query, Rcode::NOERROR, &records)]
        });
        assert_eq!(found.unwrap(), ["10.0.0.3"]);
        let (found, _) = after(|asked| {
            let records = [("a.test", 60, Data::Cname("b.test")), ("b.test", 60, Data::Cname("a.test"))];
            vec![answer(asked.query, Rcode::NOERROR, &records)]
        });
        assert_eq!(found.unwrap_err(), "the name has no A record");
    }

    #[test]
    fn what_does_not_fit_is_asked_over_tcp() {
        let (found, asked) = after(|asked| {
            let mut answer = good(asked);
            if !asked.over_tcp {
                // The bit TC (RFC 1035 §4.1.1).
                answer[2] |= 2;
            }
            vec![answer]
        });
        assert_eq!(found.unwrap(), ["10.0.0.1"]);
        assert_eq!(asked, ["a.test A", "a.test A over TCP"]);
    }

    #[test]
    fn a_server_that_does_not_know_options_is_asked_without() {
        let (found, asked) = after(|asked| {
            let has_options = Message::from_octets(asked.query).unwrap().opt().is_some();
            vec![if has_options { answer(asked.query, Rcode::FORMERR, &[]) } else { good(asked) }]
        });
        assert_eq!((found.unwrap(), asked.len()), (vec!["10.0.0.1".to_owned()], 2));
    }

    #[test]
    fn datagrams_with_another_number_or_question_are_passed_over() {
        let (found, asked) = after(|asked| {
            let bad = ("a.test", 60, Data::A("6.6.6.6"));
            let wrong = |change: fn(&mut Vec<u8>)| {
                let mut answer = answer(asked.query, Rcode::NOERROR, std::slice::from_ref(&bad));
                change(&mut answer);
                answer
            };
            vec![
                wrong(|bytes| bytes[0] ^= 1),
                // The bit QR.
                wrong(|bytes| bytes[2] &= 0x7f),
                // The name, its type, its class.
                wrong(|bytes| bytes[13] = b'b'),
                wrong(|bytes| bytes[12 + 8 + 1] = 28),
                wrong(|bytes| bytes[12 + 8 + 3] = 3),
                // No question, and two.
                wrong(|bytes| bytes[5] = 0),
                wrong(|bytes| bytes[5] = 2),
                wrong(|bytes| bytes.truncate(11)),
                wrong(Vec::clear),
                good(asked),
            ]
        });
        assert_eq!((found.unwrap(), asked), (vec!["10.0.0.1".to_owned()], vec!["a.test A".to_owned()]));
    }

    #[test]
    fn a_flood_of_strays_ends_the_attempt() {
        let (found, _) = after(|asked| {
            let mut stray = good(asked);
            stray[0] ^= 1;
            vec![stray; if asked.over_tcp { 1 } else { STRAYS_MAX }]
        });
        assert!(found.unwrap_err().ends_with(": it answers another question"));
    }

    #[test]
    fn records_of_other_names_are_no_answer() {
        let (found, _) =
            after(|asked| vec![answer(asked.query, Rcode::NOERROR, &[("b.test", 60, Data::A("6.6.6.6"))])]);
        assert_eq!(found.unwrap_err(), "the name has no A record");
    }

    #[test]
    fn too_many_records_are_refused_as_a_whole() {
        for (count, is_good) in [(RECORDS_MAX, true), (1000, false)] {
            let (found, _) = after(move |asked| {
                let mut answer =
                    answer(asked.query, Rcode::NOERROR, &vec![("a.test", 60, Data::A("10.0.0.1")); count]);
                if !asked.over_tcp {
                    answer.truncate(24);
                    answer[2] |= 2;
                }
                vec![answer]
            });
            match found {
                Ok(found) => assert!(is_good && found.len() == count),
                Err(why) => {
                    assert!(!is_good && why.ends_with(": its answer has more than 512 records"), "{why}")
                }
            }
        }
    }

    #[test]
    fn each_way_to_say_no_has_its_words() {
        for (code, words) in
            [(Rcode::NXDOMAIN, "the name does not exist"), (Rcode::NOERROR, "the name has no A record")]
        {
            let (found, asked) = after(move |asked| vec![answer(asked.query, code, &[])]);
            assert_eq!((found.unwrap_err().as_str(), asked.len()), (words, 1), "it is an answer");
        }
        let (found, _) = after(|asked| vec![answer(asked.query, Rcode::SERVFAIL, &[])]);
        let why = found.unwrap_err();
        assert!(why.starts_with("name server 127.0.0.1:") && why.ends_with(": it says SERVFAIL"), "{why}");
        let (found, asked) = after(|_| Vec::new());
        assert!(found.unwrap_err().ends_with(": it ended its answer early"));
        assert_eq!(asked, ["a.test A", "a.test A over TCP"]);
        // It takes datagrams of one sender only; all others learn that the port is closed.
        let reserved = UdpSocket::bind("127.0.0.1:0").unwrap();
        reserved.connect("127.0.0.1:9").unwrap();
        let closed = reserved.local_addr().unwrap();
        let why = ask(&servers(&[closed]), "a.test", RecordKind::A).unwrap_err().to_string();
        assert_eq!(why, format!("name server {closed}: connection refused"));
        let name = "a..test".to_owned() + &"x".repeat(300);
        let why = ask(&servers(&[closed]), &name, RecordKind::A).unwrap_err().to_string();
        assert_eq!(why, format!("{name} is no domain name"));
    }

    #[test]
    fn the_next_server_is_asked_if_one_is_silent_or_useless() {
        let useless = FakeNameServer::start(|asked| vec![answer(asked.query, Rcode::REFUSED, &[])]);
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let fake = FakeNameServer::start(|asked| vec![good(asked)]);
        let servers = servers(&[useless.address, silent.local_addr().unwrap(), fake.address]);
        let begin = Instant::now();
        assert_eq!(addresses(&ask(&servers, "a.test", RecordKind::A).unwrap()), ["10.0.0.1"]);
        assert!(begin.elapsed() >= servers.timeout);
        let (tcp, _udp) = sockets();
        let silent = tcp.local_addr().unwrap();
        let why =
            ask(&NameServers { addresses: vec![silent], ..servers }, "a.test", RecordKind::A).unwrap_err();
        assert_eq!(why.to_string(), format!("name server {silent}: no answer within 300 ms"));
    }

    #[test]
    fn names_are_looked_for_as_resolv_conf_says() {
        let text = b"# a comment\nnameserver 10.0.0.53\nnameserver fd00::53\nsearch ns.svc.local svc.local\n\
            options ndots:2 timeout:3\nnonsense\n";
        let servers = NameServers::from_resolv_conf(text);
        let expected: [SocketAddr; 2] = ["10.0.0.53:53".parse().unwrap(), "[fd00::53]:53".parse().unwrap()];
        assert_eq!((&servers.addresses[..], servers.timeout), (&expected[..], Duration::from_secs(3)));
        assert_eq!(servers.candidates("web"), ["web.ns.svc.local", "web.svc.local", "web"]);
        assert_eq!(servers.candidates("a.b.c"), ["a.b.c", "a.b.c.ns.svc.local", "a.b.c.svc.local"]);
        assert_eq!(servers.candidates("a.b.c."), ["a.b.c"]);
        let none = NameServers::from_resolv_conf(b"\xff\xfe");
        assert!(
            none.addresses.iter().all(|address| address.ip().is_loopback()) && !none.addresses.is_empty()
        );
    }

    #[test]
    fn the_search_list_goes_on_at_a_name_that_is_not_there_and_stops_at_a_failure() {
        let fake = FakeNameServer::start(|asked| {
            let code = if asked.text == "a.fails A" { Rcode::SERVFAIL } else { Rcode::NXDOMAIN };
            let found = [("a.c.test", 60, Data::A("10.0.0.1"))];
            let (code, records) =
                if asked.text == "a.c.test A" { (Rcode::NOERROR, &found[..]) } else { (code, &[][..]) };
            vec![answer(asked.query, code, records)]
        });
        let search = |list: &[&str]| NameServers {
            search: list.iter().map(|&one| one.to_owned()).collect(),
            dots: 5,
            ..servers(&[fake.address])
        };
        assert!(ask(&search(&["b.test", "c.test"]), "a", RecordKind::A).is_ok());
        assert_eq!(ask(&search(&["b.test"]), "a", RecordKind::A), Err(LookupFailure::NoSuchName));
        assert!(matches!(
            ask(&search(&["fails", "c.test"]), "a", RecordKind::A),
            Err(LookupFailure::Unknown(_))
        ));
    }

    #[test]
    fn numbers_and_ports_are_chosen_anew_for_each_question() {
        let seen = std::sync::Arc::new(crate::runtime::lock::Lock::new(Vec::new()));
        let collected = seen.clone();
        let fake = FakeNameServer::start(move |asked| {
            collected.lock().push(u16::from_be_bytes([asked.query[0], asked.query[1]]));
            vec![good(asked)]
        });
        for _ in 0..16 {
            ask(&servers(&[fake.address]), "a.test", RecordKind::A).unwrap();
        }
        let mut numbers = seen.lock().clone();
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() >= 14, "{numbers:?}");
        assert!(numbers.windows(2).any(|pair| pair[1] - pair[0] > 16), "they are not counted: {numbers:?}");
    }

    /// A whole answer with aliases and services, compressed by hand.
    fn sample() -> (DnsQuestion, Vec<u8>) {
        let question = question("_db._tcp.test", RecordKind::Srv);
        let query = question.query(7, false);
        let records = [
            ("_db._tcp.test", 60, Data::Cname("x.test")),
            ("x.test", 60, Data::Srv(1, 2, 80, "y.test")),
            ("x.test", 60, Data::Srv(1, 2, 81, "y.test")),
        ];
        (question, answer(&query, Rcode::NOERROR, &records))
    }

    #[test]
    fn a_name_that_points_at_itself_or_forward_is_malformed() {
        let (question, answer) = sample();
        let owner = answer.windows(2).position(|two| two == [1, b'x']).unwrap();
        assert!(question.read(7, &answer).is_ok());
        for target in [owner, owner + 2, 0x3fff] {
            let mut looped = answer.clone();
            looped[owner..owner + 2].copy_from_slice(&(0xc000 | target as u16).to_be_bytes());
            assert_eq!(question.read(7, &looped), Err(ReadFault::Useless("its answer is malformed".into())));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_give_more_than_it_may(
            changes in vec((any::<Index>(), any::<u8>()), 0..12),
            cut in any::<Index>(),
            noise in vec(any::<u8>(), 0..64),
        ) {
            let (question, mut bytes) = sample();
            for (index, byte) in &changes {
                let at = index.index(bytes.len());
                bytes[at] = *byte;
            }
            for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())], &[&bytes[..12], &noise].concat(), &noise] {
                if let Ok(records) = question.read(7, bytes) {
                    prop_assert!((1..=RECORDS_MAX).contains(&records.services.len()));
                }
            }
        }
    }
}
