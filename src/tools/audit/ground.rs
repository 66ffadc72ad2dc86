//! The two ways to hold a conversation with the origin: directly, or through the proxy under test.

use crate::{
    net::{address::Address, dial::open, options::Options, proxy_header::ProxyVersion, socket::Socket},
    relay::leg::Leg,
    runtime::clock::within,
    tools::{
        audit::{
            label::Label,
            observation::{End, Record},
            origin::Origin,
            settings::{Audit, IDLE},
            side::{PATIENCE, Side, end_of},
        },
        load::room::Room,
        own_header::own_header,
        tls::TargetTls,
    },
};
use futures::{
    AsyncWriteExt,
    future::{Either, select},
    join,
};
use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    pin::pin,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A connection request that a full queue drops comes again after 1, 3 and 7 s (RFC 6298 §5).
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The same for a connection that the proxy's own queue drops.
pub const ARRIVAL_LIMIT: Duration = Duration::from_secs(10);

/// All checks together, whatever the proxy does: with the first connection (5 s at most) less than a minute.
const AUDIT_LIMIT: Duration = Duration::from_secs(54);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Without the proxy: the reference.
    Direct,
    Through,
}

/// Both ends' addresses, and the state that all conversations share.
pub struct Ground {
    pub origin: Origin,
    /// How long the idle check is idle; none leaves it out.
    pub idle: Option<Duration>,
    direct: SocketAddr,
    via: SocketAddr,
    send_proxy: Option<ProxyVersion>,
    tls: Option<TargetTls>,
    room: Room,
    last_label: Cell<u64>,
    begin: Instant,
}

impl Ground {
    /// A ground for conversations with `origin`, whose own address is `direct`, and that of the proxy `via`.
    pub fn new(origin: Origin, direct: SocketAddr, via: SocketAddr, config: &Audit) -> Self {
        // The time makes these labels differ from those of another audit.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let last_label = Cell::new((now.as_micros() as u64) << 12);
        let Audit { idle, send_proxy, .. } = *config;
        let (tls, room, begin) = (config.tls.clone(), Room::default(), Instant::now());
        Ground { origin, idle, direct, via, send_proxy, tls, room, last_label, begin }
    }

    /// How long the audit may still take. An idle check that is longer than the default adds to it.
    pub fn time_left(&self) -> Duration {
        let beyond = self.idle.unwrap_or_default().saturating_sub(IDLE);
        AUDIT_LIMIT.saturating_add(beyond).saturating_sub(self.begin.elapsed())
    }

    pub fn address(&self, way: Way) -> SocketAddr {
        match way {
            Way::Direct => self.direct,
            Way::Through => self.via,
        }
    }

    /// Whether the proxy is spoken TLS to.
    pub fn ends_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// A name for a new connection.
    pub fn label(&self) -> Label {
        self.last_label.update(|last| last + 1);
        Label(self.last_label.get())
    }
}

/// One run of a check.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    pub ground: &'a Ground,
    pub way: Way,
    pub record: &'a Record,
    /// How long the ends pause.
    pub pause: Duration,
}

impl<'a> Trial<'a> {
    /// Connects; a failure is noted as the client's end.
    pub async fn connect(&self) -> Option<Leg> {
        let address = Address::Tcp(self.ground.address(self.way));
        let connect = async { self.secure(open(address, &Options::default()).await?).await };
        match within(Some(CONNECT_LIMIT), connect).await {
            Some(Ok(leg)) => Some(leg),
            end => {
                self.note_client(end_of(end));
                None
            }
        }
    }

    /// Makes the handshake with a proxy that ends TLS, which its header precedes.
    pub async fn secure(&self, socket: Socket) -> io::Result<Leg> {
        match &self.ground.tls {
            Some(tls) if self.way == Way::Through => {
                let header = own_header(self.ground.send_proxy, &socket)?;
                Ok(tls.open(socket, &header).await?.0)
            }
            _ => Ok(Leg::Plain(socket)),
        }
    }

    /// As [`Trial::connect`], of a client that does not speak at once: the proxy gets its header nevertheless.
    pub async fn connect_silently(&self) -> Option<Leg> {
        let leg = self.connect().await?;
        let header = self.first_bytes(&leg, b"");
        match within(Some(PATIENCE), (&leg).write_all(&header)).await {
            Some(Ok(())) => Some(leg),
            end => {
                self.note_client(end_of(end));
                None
            }
        }
    }

    /// What a client sends that says `words` first: a header for the proxy is before them, unless it was before a handshake.
    pub fn first_bytes(&self, leg: &Leg, words: &[u8]) -> Vec<u8> {
        let is_plain = matches!(leg, Leg::Plain(_));
        let version = self.ground.send_proxy.filter(|_| self.way == Way::Through && is_plain);
        // A connection that is gone has no addresses: how it ended, what is done with it next tells.
        [&own_header(version, leg.socket()).unwrap_or_default(), words].concat()
    }

    pub fn note_client(&self, end: End) {
        self.record.client.update(|seen| seen.ended(end));
    }

    pub fn note_origin(&self, end: End) {
        self.record.origin.update(|seen| seen.ended(end));
    }

    pub fn client(&self, leg: Leg, label: Label) -> Side<'a> {
        let Record { client, origin, .. } = self.record;
        let [to_origin, to_client] = label.seeds();
        Side::new(leg, [client, origin], &self.ground.room, [to_origin, to_client])
    }

    pub fn origin(&self, leg: impl Into<Leg>, label: Label) -> Side<'a> {
        let Record { client, origin, .. } = self.record;
        let [to_origin, to_client] = label.seeds();
        Side::new(leg.into(), [origin, client], &self.ground.room, [to_client, to_origin])
    }

    /// A connection whose client has said its label, and that has arrived. If it did not arrive, how it ended is noted.
    pub async fn open(&self) -> Option<Talk<'a>> {
        let leg = self.connect().await?;
        self.introduce(leg).await
    }

    /// As [`Trial::open`], with a connection that was made already.
    pub async fn introduce(&self, leg: Leg) -> Option<Talk<'a>> {
        let label = self.ground.label();
        let arrival = self.ground.origin.expect(label);
        let first = self.first_bytes(&leg, &label.bytes());
        let client = self.client(leg, label);
        if !client.say(&first).await {
            self.note_origin(End::NeverReached);
            return None;
        }
        client.expect_pause(ARRIVAL_LIMIT.saturating_sub(PATIENCE));
        // The end of the stream shows that the proxy has sent the client away. A proxy that talks for ever shows nothing.
        let arrival = match within(Some(ARRIVAL_LIMIT), select(arrival, pin!(client.read_to_end()))).await {
            Some(Either::Left((Ok(arrival), _))) => arrival,
            end => {
                if end.is_none() {
                    self.note_client(End::Stuck);
                }
                self.note_origin(End::NeverReached);
                return None;
            }
        };
        client.expect_pause(Duration::ZERO);
        let origin = self.origin(arrival.socket, label);
        Some(Talk { client, origin, header: arrival.header })
    }
}

/// The two ends of a conversation.
pub struct Talk<'a> {
    pub client: Side<'a>,
    pub origin: Side<'a>,
    pub header: Option<String>,
}

impl Talk<'_> {
    /// Each end ends its stream, and reads the other's to the end.
    pub async fn part(&self) {
        join!(self.client.finish(), self.origin.finish());
        join!(self.client.read_to_end(), self.origin.read_to_end());
    }

    pub async fn close(self) {
        join!(self.client.close(), self.origin.close());
    }
}
