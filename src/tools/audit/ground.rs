//! The two ways to hold a conversation with the origin: directly, or through the proxy under test.

use crate::{
    net::{address::Address, dial::open, options::Options, socket::Socket},
    runtime::clock::within,
    tools::audit::{
        label::Label,
        observation::{End, Record},
        origin::Origin,
        settings::IDLE,
        side::{PATIENCE, Room, Side, room},
    },
};
use futures::future::{Either, select};
use std::{
    cell::Cell,
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
    /// Through it.
    Through,
}

/// Both ends' addresses, and the state that all conversations share.
pub struct Ground {
    pub origin: Origin,
    /// How long the idle check is idle; none leaves it out.
    pub idle: Option<Duration>,
    direct: SocketAddr,
    via: SocketAddr,
    room: Room,
    last_label: Cell<u64>,
    begin: Instant,
}

/// The two ends of a conversation, and the proxy's header.
pub struct Talk<'a> {
    pub client: Side<'a>,
    pub origin: Side<'a>,
    /// The proxy's header, in words.
    pub header: Option<String>,
}

impl Ground {
    /// A ground for conversations with `origin`, whose own address is `direct`, and that of the proxy `via`.
    pub fn new(origin: Origin, direct: SocketAddr, via: SocketAddr, idle: Option<Duration>) -> Self {
        // The time makes these labels differ from those of another audit.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let first = (now.as_micros() as u64) << 12;
        Ground {
            origin,
            idle,
            direct,
            via,
            room: room(),
            last_label: Cell::new(first),
            begin: Instant::now(),
        }
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

    /// A name for a new connection.
    pub fn label(&self) -> Label {
        self.last_label.set(self.last_label.get() + 1);
        Label(self.last_label.get())
    }

    /// Connects; a failure is noted as the client's end.
    pub async fn connect(&self, way: Way, record: &Record) -> Option<Socket> {
        match within(Some(CONNECT_LIMIT), open(Address::Tcp(self.address(way)), &Options::default())).await {
            Some(Ok(socket)) => Some(socket),
            Some(Err(error)) => {
                record.client.note(End::of(&error));
                None
            }
            None => {
                record.client.note(End::Stuck);
                None
            }
        }
    }

    pub fn client<'a>(&'a self, socket: Socket, label: Label, record: &'a Record) -> Side<'a> {
        let [to_origin, to_client] = seeds(label);
        Side::new(socket, &record.client, &self.room, [to_origin, to_client])
    }

    pub fn origin<'a>(&'a self, socket: Socket, label: Label, record: &'a Record) -> Side<'a> {
        let [to_origin, to_client] = seeds(label);
        Side::new(socket, &record.origin, &self.room, [to_client, to_origin])
    }

    /// A connection whose client has said its label, and that has arrived. If it did not arrive, how it ended is noted.
    pub async fn open<'a>(&'a self, way: Way, record: &'a Record) -> Option<Talk<'a>> {
        let socket = self.connect(way, record).await?;
        self.introduce(socket, record).await
    }

    /// As [`Ground::open`], with a connection that was made already.
    pub async fn introduce<'a>(&'a self, socket: Socket, record: &'a Record) -> Option<Talk<'a>> {
        let label = self.label();
        let arrival = self.origin.expect(label);
        let client = self.client(socket, label, record);
        if !client.say(&label.bytes()).await {
            record.origin.note(End::NeverReached);
            return None;
        }
        client.expect_pause(ARRIVAL_LIMIT.saturating_sub(PATIENCE));
        // The end of the stream shows that the proxy has sent the client away. A proxy that talks for ever shows nothing.
        let arrival = match within(Some(ARRIVAL_LIMIT), select(arrival, pin!(client.read_to_end()))).await {
            Some(Either::Left((Ok(arrival), _))) => arrival,
            end => {
                if end.is_none() {
                    record.client.note(End::Stuck);
                }
                record.origin.note(End::NeverReached);
                return None;
            }
        };
        client.expect_pause(Duration::ZERO);
        let origin = self.origin(arrival.socket, label, record);
        Some(Talk { client, origin, header: arrival.header })
    }
}

/// The patterns of one connection: to the origin, and to the client.
fn seeds(label: Label) -> [u64; 2] {
    [label.0 * 2, label.0 * 2 + 1]
}
