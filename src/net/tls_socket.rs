//! TLS over a socket (RFC 8446, RFC 5246): records in and out, the handshake, and the end of each stream.
//!
//! What is encrypted counts as written once the kernel has all of it. A stream ends by close_notify; a FIN without one is an
//! abort (RFC 8446 §6.1). An idle connection holds no buffer.

use crate::{
    net::{
        buffer::{BUFFER_BYTES, Buffer},
        socket::Socket,
        tls::{client::ClientTls, explain::explain},
    },
    runtime::{
        shard::own,
        turn::{LongTurn, long_turn},
    },
};
use rustls::{
    AlertDescription, ClientConfig, CommonState, HandshakeKind, PeerMisbehaved, ServerConfig,
    client::UnbufferedClientConnection,
    pki_types::ServerName,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic},
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    error::Error as StdError,
    fmt,
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Room for a few records (RFC 8446 §5.2: at most 16,645 bytes each), so that few reads end in one, whose begin is then moved.
const ROOM_BYTES: usize = 64 * 1024;
/// The begin of a record that is shorter waits in memory of its own size. One that is longer keeps its room of 64 KiB: the rest
/// of it is under way. A client that makes its handshake is not trusted with that.
const BEGIN_BYTES: usize = 2 * 1024;
/// What a peer's handshake has in memory at most: rustls takes messages of 64 KiB, in records of any size.
const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// What a peer sends after its handshake that gives nothing of the stream: two of the longest tickets (RFC 8446 §4.6.1), or some
/// hundred usual ones. Each costs a key, and a server may send them without end.
const BARREN_BYTES_MAX: usize = 160 * 1024;
/// For how much of that a byte of the stream makes up.
const MAKES_UP_FOR: usize = 64;
/// Records that are decrypted before the first of them is passed on: what is known to follow goes out in large segments.
const AT_ONCE: usize = 4;
/// What is looked at that gives nothing of the stream, before other tasks have their turn: some 0.4 ms of tickets. A record is
/// looked at as a whole.
const PIECE_BYTES: usize = 16 * 1024;
/// Free rooms that a shard keeps: 256 KiB.
const SPARE_ROOMS: usize = 4;
/// What a record has besides its bytes, and a KeyUpdate before it, at most.
const RECORD_OVERHEAD: usize = 512;
/// Type, version, length (RFC 8446 §5.1).
const RECORD_HEADER_BYTES: usize = 5;
/// A record of an alert that ends the connection, up to what it says: type, version, length, level (RFC 8446 §5.1, §6).
const FATAL_ALERT: &[u8] = &[21, 3, 3, 0, 2, 2];

/// A socket that speaks TLS. One task at a time may wait for it, to read, to write, or for an abort.
pub struct TlsSocket {
    socket: Socket,
    session: RefCell<TlsSession>,
    /// Bytes at the head of the chunk that is to be written: they are encrypted, and not all with the kernel.
    encrypted: Cell<usize>,
}

enum Machine {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

struct TlsSession {
    machine: Machine,
    /// Records that came and are not decrypted.
    incoming: Room,
    /// How much of that was shown to the machine: the records up to the first, and all up to the second.
    records_shown: usize,
    shown: usize,
    /// How much was shown that gave nothing of the stream, and that what it gave does not make up for.
    barren: usize,
    /// What is barren for long waits for its turn.
    turn: LongTurn,
    /// Decrypted, and not read yet.
    plain: VecDeque<Buffer>,
    /// Records that are to be sent.
    outgoing: Room,
    peer_closed: bool,
    closed: bool,
    failure: Option<rustls::Error>,
}

/// Bytes in a row; without any it takes no memory.
#[derive(Default)]
struct Room {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// The free rooms of a shard.
#[derive(Default)]
struct SpareRooms(RefCell<Vec<Vec<u8>>>);

/// A connection that broke the rules of TLS, or whose handshake failed.
#[derive(Debug)]
struct TlsFailure(rustls::Error);

/// What the machine is asked for.
enum Goal<'a> {
    /// To go as far as it can with what came.
    Advance,
    Encrypt(&'a [u8]),
    /// To end our stream.
    Close,
}

/// How far it went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Again,
    /// It needs more bytes of the peer for its goal.
    Blocked,
    /// What was asked for is encrypted.
    Reached,
    PeerClosed,
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&explain(&self.0))
    }
}

impl StdError for TlsFailure {}

impl From<TlsFailure> for io::Error {
    fn from(failure: TlsFailure) -> Self {
        invalid(failure)
    }
}

impl TlsSocket {
    /// The server's side of `socket`, of which `early` was read already. The handshake is still to be made.
    /// Errors: the configuration.
    pub fn server(socket: Socket, config: Arc<ServerConfig>, early: &[u8]) -> io::Result<Self> {
        let machine = UnbufferedServerConnection::new(config).map_err(TlsFailure)?;
        Ok(Self::new(socket, Machine::Server(machine), early))
    }

    /// The client's side, to a server that is to be `name`. The handshake is still to be made.
    /// Errors: the configuration.
    pub fn client(socket: Socket, config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        let machine = UnbufferedClientConnection::new(config, name).map_err(TlsFailure)?;
        Ok(Self::new(socket, Machine::Client(machine), &[]))
    }

    /// The client's side of `socket`, once the handshake with the server of `host`, a name or an IP address, is through.
    /// Errors: as [`TlsSocket::handshake`]; a name that no certificate can have is `InvalidData`.
    pub async fn connect(socket: Socket, tls: &ClientTls, host: &str) -> io::Result<Self> {
        let name = tls.server_name(host).map_err(invalid)?;
        let session = Self::client(socket, tls.config(), name)?;
        if let Err(error) = session.handshake().await {
            // The server reads the alert before the end.
            if session.socket.finish().is_ok() {
                session.socket.close_when_dropped();
            }
            return Err(error);
        }
        Ok(session)
    }

    fn new(socket: Socket, machine: Machine, early: &[u8]) -> Self {
        TlsSocket { socket, session: RefCell::new(TlsSession::new(machine, early)), encrypted: Cell::new(0) }
    }

    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Shows what was negotiated.
    pub fn look<T>(&self, look: impl FnOnce(&CommonState) -> T) -> T {
        look(self.session.borrow().machine.state())
    }

    /// Whether the handshake went on with a session of before.
    pub fn resumed(&self) -> bool {
        self.look(|state| state.handshake_kind() == Some(HandshakeKind::Resumed))
    }

    /// Makes the handshake. If it fails, the peer is sent the alert that says why.
    /// Errors: `InvalidData` for the peer's fault or ours, `UnexpectedEof`, or that of the connection.
    pub async fn handshake(&self) -> io::Result<()> {
        let mut goes_on = false;
        loop {
            if self.session.borrow_mut().may_compute() {
                // Keys are exchanged and signed for: some 0.2 ms, in which no other task of the shard goes on.
                long_turn(goes_on).await;
                goes_on = true;
            }
            let advanced = self.session.borrow_mut().advance();
            // Also after a failure: the alert.
            if let Err(error) = poll_fn(|context| self.poll_flush(context)).await {
                return Err(advanced.err().unwrap_or(error));
            }
            let is_all = advanced?;
            if !self.look(CommonState::is_handshaking) {
                return Ok(());
            }
            if is_all && poll_fn(|context| self.poll_receive(context)).await? == 0 {
                let text = "the stream ended in the handshake";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
    }

    fn poll_flush(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.session.borrow_mut().poll_flush(&self.socket, context)
    }

    fn poll_receive(&self, context: &Context<'_>) -> Poll<io::Result<usize>> {
        let mut session = self.session.borrow_mut();
        if session.peer_closed {
            Poll::Ready(Ok(0))
        } else {
            session.poll_receive(&self.socket, context, None)
        }
    }

    /// The next bytes that the peer sent; none at the end of its stream.
    /// Errors: `UnexpectedEof` for an end without close_notify, `InvalidData`, or that of the connection.
    pub fn poll_read(&self, context: &Context<'_>) -> Poll<io::Result<Option<Buffer>>> {
        self.poll_read_of(context, None)
    }

    /// As [`TlsSocket::poll_read`], of the next `left` bytes that the socket has, which are counted down.
    pub fn poll_read_rest(&self, context: &Context<'_>, left: &mut u32) -> Poll<io::Result<Option<Buffer>>> {
        self.poll_read_of(context, Some(left))
    }

    fn poll_read_of(
        &self,
        context: &Context<'_>,
        mut left: Option<&mut u32>,
    ) -> Poll<io::Result<Option<Buffer>>> {
        let mut session = self.session.borrow_mut();
        loop {
            if let Some(buffer) = session.take_plain() {
                return Poll::Ready(Ok(Some(buffer)));
            }
            if session.peer_closed {
                return Poll::Ready(Ok(None));
            }
            if session.barren > PIECE_BYTES && left.is_none() && session.next_record().is_some() {
                ready!(session.turn.poll(context));
            }
            let advanced = session.advance();
            if advanced.is_err() {
                let _ = session.poll_flush(&self.socket, context);
            }
            let is_all = advanced?;
            if !session.plain.is_empty() || session.peer_closed {
                continue;
            }
            // An answer of TLS itself, which no write of ours takes along. How the connection is the writing finds.
            if session.outgoing.len() > 0 && self.encrypted.get() == 0 {
                let _ = session.poll_flush(&self.socket, context);
            }
            if is_all && ready!(session.poll_receive(&self.socket, context, left.as_deref_mut()))? == 0 {
                let text = "the stream ended without close_notify";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
            }
        }
    }

    /// As [`TlsSocket::poll_read`], into `room`; 0 is the end of the stream.
    pub fn poll_fill(&self, context: &Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(mut buffer) = ready!(self.poll_read(context))? else { return Poll::Ready(Ok(0)) };
        let count = buffer.bytes().len().min(room.len());
        room[..count].copy_from_slice(&buffer.bytes()[..count]);
        buffer.written(count);
        if !buffer.bytes().is_empty() {
            self.session.borrow_mut().plain.push_front(buffer);
        }
        Poll::Ready(Ok(count))
    }

    /// Whether the end of the peer's stream was read.
    pub fn peer_has_closed(&self) -> bool {
        self.session.borrow().peer_closed
    }

    /// Writes what the socket takes at once of `bytes`, and says how many of them the kernel has whole.
    /// Errors: `WouldBlock`, after which the same bytes must come again; `InvalidData`, or that of the connection.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        if self.encrypted.get() == 0 {
            session.flush(&self.socket)?;
            let bytes = &bytes[..bytes.len().min(BUFFER_BYTES)];
            session.drive(&Goal::Encrypt(bytes))?;
            self.encrypted.set(bytes.len());
        }
        session.flush(&self.socket)?;
        Ok(self.encrypted.take())
    }

    /// Whether a write has begun that must go on with the same bytes.
    pub fn has_begun(&self) -> bool {
        self.encrypted.get() > 0
    }

    /// Ends our stream: close_notify, then FIN.
    pub fn poll_finish(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut session = self.session.borrow_mut();
        if !session.closed {
            ready!(session.poll_flush(&self.socket, context))?;
            session.drive(&Goal::Close)?;
            session.closed = true;
        }
        ready!(session.poll_flush(&self.socket, context))?;
        match self.socket.finish() {
            // A peer that had closed before answers close_notify with RST, though it lacks nothing.
            Err(_) if session.peer_closed => Poll::Ready(Ok(())),
            finished => Poll::Ready(finished),
        }
    }
}

fn invalid(why: impl Into<Box<dyn StdError + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Whether a handshake failed because no authority vouches for who the peer says to be.
pub fn is_distrust(error: &io::Error) -> bool {
    let failure = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsFailure>());
    failure.is_some_and(|failure| matches!(failure.0, rustls::Error::InvalidCertificate(_)))
}

impl TlsSession {
    fn new(machine: Machine, early: &[u8]) -> Self {
        let mut incoming = Room::default();
        incoming.append(early);
        TlsSession {
            machine,
            incoming,
            records_shown: 0,
            shown: 0,
            barren: 0,
            turn: LongTurn::default(),
            plain: VecDeque::new(),
            outgoing: Room::default(),
            peer_closed: false,
            closed: false,
            failure: None,
        }
    }

    /// Decrypts the next records of what came, and answers what is to be answered; says whether that was all that came, or
    /// gave bytes of the stream. Else it is for the next turn. What came before a failure is to be read first.
    fn advance(&mut self) -> io::Result<bool> {
        let mut piece = 0;
        loop {
            let mut record = 0;
            if self.shown < self.incoming.len() {
                if piece >= PIECE_BYTES {
                    return Ok(false);
                }
                record = self.show_record();
            }
            let (before, is_handshaking) = (self.plain.len(), self.machine.state().is_handshaking());
            let driven = self.drive(&Goal::Advance);
            let came: usize = self.plain.iter().skip(before).map(|buffer| buffer.bytes().len()).sum();
            for barren in [&mut piece, &mut self.barren] {
                // A record of the stream may be padded (RFC 8446 §5.4).
                *barren =
                    if came > 0 { barren.saturating_sub(MAKES_UP_FOR * came) } else { *barren + record };
            }
            if is_handshaking {
                self.barren = 0;
            }
            if self.plain.is_empty() {
                driven?;
                self.bound_barren()?;
            } else if driven.is_err() || self.plain.len() >= AT_ONCE {
                return Ok(true);
            }
            if self.peer_closed || self.shown == self.incoming.len() {
                return Ok(true);
            }
        }
    }

    /// Errors: too much came that is not of the stream. What a client may send of that, rustls bounds itself.
    fn bound_barren(&self) -> io::Result<()> {
        match self.barren > BARREN_BYTES_MAX {
            true => Err(invalid("the peer sends tickets without end")),
            false => Ok(()),
        }
    }

    /// Whether a handshake has something to compute now. Many may wait for their turn to do so at once: what came takes no
    /// more memory than it needs.
    fn may_compute(&mut self) -> bool {
        let begins = matches!(self.machine, Machine::Client(_)) && self.incoming.len() == 0;
        let computes = begins || self.next_record().is_some();
        if computes {
            self.incoming.shrink(ROOM_BYTES);
        }
        computes
    }

    /// How much the next record has that was not shown yet, if it came as a whole.
    fn next_record(&mut self) -> Option<usize> {
        let rest = &self.incoming.filled_mut()[self.records_shown..];
        let payload = rest.get(3..RECORD_HEADER_BYTES)?.try_into().ok()?;
        let record = RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes(payload));
        (record <= rest.len()).then_some(record)
    }

    /// Shows the machine the next record, or what there is of it: its head may be wrong. Says how much that is.
    fn show_record(&mut self) -> usize {
        match self.next_record() {
            Some(record) => {
                self.records_shown += record;
                self.shown = self.shown.max(self.records_shown);
                record
            }
            None => {
                self.shown = self.incoming.len();
                0
            }
        }
    }

    /// The first of what is decrypted.
    fn take_plain(&mut self) -> Option<Buffer> {
        let mut first = self.plain.pop_front()?;
        first.set_more(!self.plain.is_empty());
        Some(first)
    }

    /// Goes on until the goal is reached, or bytes came or are needed. After a failure, which leaves the alert about it in
    /// `outgoing`, it fails alike.
    fn drive(&mut self, goal: &Goal<'_>) -> io::Result<()> {
        if let Some(failure) = &self.failure {
            return Err(TlsFailure(failure.clone()).into());
        }
        loop {
            match self.step(goal).map_err(|error| self.fail(error))? {
                Step::Again => {}
                Step::PeerClosed => self.peer_closed = true,
                Step::Blocked if matches!(goal, Goal::Advance) => return Ok(()),
                // It happens only to one whose stream has ended.
                Step::Blocked => return Err(io::ErrorKind::BrokenPipe.into()),
                Step::Reached => return Ok(()),
            }
        }
    }

    fn step(&mut self, goal: &Goal<'_>) -> Result<Step, rustls::Error> {
        let (incoming, outgoing) = (&mut self.incoming.filled_mut()[..self.shown], &mut self.outgoing);
        let (discard, step) = match &mut self.machine {
            Machine::Client(machine) => {
                step(machine.process_tls_records(incoming), goal, &mut self.plain, outgoing)
            }
            Machine::Server(machine) => {
                step(machine.process_tls_records(incoming), goal, &mut self.plain, outgoing)
            }
        };
        self.incoming.discard(discard);
        self.records_shown = self.records_shown.saturating_sub(discard);
        self.shown = self.shown.saturating_sub(discard);
        step
    }

    /// Encodes the alert about it, if there is one. Nothing that came is looked at again: rustls would judge it a second time.
    fn fail(&mut self, error: rustls::Error) -> TlsFailure {
        let before = self.outgoing.len();
        while self.machine.state().wants_write() && self.step(&Goal::Advance).is_ok() {}
        if self.outgoing.len() == before {
            self.alert(&error);
        }
        self.failure = Some(error.clone());
        TlsFailure(error)
    }

    /// Says what rustls leaves unsaid of a message that is too long, or interrupted by another: by decode_error, as of every
    /// message whose length is wrong, and unexpected_message (RFC 8446 §6.2, §5.1). Later, only rustls could encrypt it.
    fn alert(&mut self, error: &rustls::Error) {
        let description = match error {
            rustls::Error::InvalidMessage(_) => AlertDescription::DecodeError,
            rustls::Error::PeerMisbehaved(PeerMisbehaved::MessageInterleavedWithHandshakeMessage) => {
                AlertDescription::UnexpectedMessage
            }
            _ => return,
        };
        if self.machine.state().protocol_version().is_none() {
            self.outgoing.append(&[FATAL_ALERT, &[description.into()]].concat());
        }
    }

    /// Reads what is there, at most what is `left`; 0 is the end of the stream.
    fn poll_receive(
        &mut self,
        socket: &Socket,
        context: &Context<'_>,
        left: Option<&mut u32>,
    ) -> Poll<io::Result<usize>> {
        if left.as_deref() == Some(&0) || socket.poll_readable(context).is_pending() {
            self.shrink();
            return Poll::Pending;
        }
        if self.incoming.len() >= MESSAGE_BYTES_MAX {
            return Poll::Ready(Err(invalid("a message is too long")));
        }
        let room = self.incoming.free(ROOM_BYTES / 2);
        let most = left.as_deref().map_or(ROOM_BYTES, |&left| left as usize);
        let size = room.len().min(most).min(ROOM_BYTES);
        let received = socket.poll_read(context, &mut room[..size]);
        match &received {
            Poll::Ready(Ok(count)) => {
                self.incoming.end += count;
                if let Some(left) = left {
                    *left = left.saturating_sub(u32::try_from(*count).unwrap_or(u32::MAX));
                }
            }
            _ => self.shrink(),
        }
        received
    }

    /// Takes no more memory for what came than it needs while no more comes.
    fn shrink(&mut self) {
        let is_trusted = !self.machine.state().is_handshaking() && self.incoming.bytes.len() <= ROOM_BYTES;
        self.incoming.shrink(if is_trusted { BEGIN_BYTES } else { ROOM_BYTES });
    }

    fn poll_flush(&mut self, socket: &Socket, context: &Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.flush(socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(socket.poll_writable(context));
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// Sends what waits.
    /// Errors: `WouldBlock` if some of it still does.
    fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        while self.outgoing.len() > 0 {
            let count = socket.try_write(self.outgoing.filled_mut(), false)?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.outgoing.discard(count);
        }
        Ok(())
    }
}

impl Machine {
    fn state(&self) -> &CommonState {
        match self {
            Machine::Client(machine) => machine,
            Machine::Server(machine) => machine,
        }
    }
}

/// One step of the machine; how many bytes of what came it has used.
fn step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    goal: &Goal<'_>,
    plain: &mut VecDeque<Buffer>,
    outgoing: &mut Room,
) -> (usize, Result<Step, rustls::Error>) {
    let mut discard = status.discard;
    let step = match status.state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            while let Some(Ok(record)) = traffic.next_record() {
                discard += record.discard;
                // A record holds 16 KiB at most.
                let pieces = record.payload.chunks(BUFFER_BYTES);
                plain.extend(pieces.map(Buffer::holding));
            }
            Ok(Step::Again)
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let mut size = RECORD_OVERHEAD;
            loop {
                match data.encode(outgoing.free(size)) {
                    Err(EncodeError::InsufficientSize(needed)) => size = needed.required_size,
                    encoded => {
                        outgoing.end += encoded.unwrap_or(0);
                        break Ok(Step::Again);
                    }
                }
            }
        }
        Ok(ConnectionState::TransmitTlsData(sent)) => {
            // It is in `outgoing`, in its order.
            sent.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::WriteTraffic(traffic)) => write(traffic, goal, outgoing),
        Ok(ConnectionState::PeerClosed) => Ok(Step::PeerClosed),
        Ok(_) => Ok(Step::Blocked),
    };
    (discard, step)
}

fn write<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    goal: &Goal<'_>,
    outgoing: &mut Room,
) -> Result<Step, rustls::Error> {
    let mut size = RECORD_OVERHEAD;
    loop {
        let written = match goal {
            Goal::Advance => return Ok(Step::Blocked),
            Goal::Encrypt(bytes) => traffic.encrypt(bytes, outgoing.free(bytes.len() + size)),
            Goal::Close => traffic.queue_close_notify(outgoing.free(size)),
        };
        match written {
            Ok(count) => {
                outgoing.end += count;
                return Ok(Step::Reached);
            }
            Err(EncryptError::InsufficientSize(needed)) => size = needed.required_size,
            Err(EncryptError::EncryptExhausted) => {
                return Err(rustls::Error::EncryptError);
            }
        }
    }
}

impl Room {
    fn len(&self) -> usize {
        self.end - self.start
    }

    fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// What is free behind the bytes: at least `size`.
    fn free(&mut self, size: usize) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = own::<SpareRooms>().take();
        }
        if self.bytes.len() - self.end < size {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
        if self.bytes.len() - self.end < size {
            self.bytes.resize((self.end + size).next_multiple_of(ROOM_BYTES), 0);
        }
        &mut self.bytes[self.end..]
    }

    fn append(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.free(bytes.len())[..bytes.len()].copy_from_slice(bytes);
            self.end += bytes.len();
        }
    }

    /// Takes the first `count` bytes out.
    fn discard(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.len() == 0 {
            self.give_back();
        }
    }

    /// Holds what is there, if it is less than `few`, in no more memory than it needs, for as long as no more comes.
    fn shrink(&mut self, few: usize) {
        if self.len() == 0 {
            self.give_back();
        } else if self.len() < few {
            let rest = self.filled_mut().to_vec();
            self.give_back();
            (self.end, self.bytes) = (rest.len(), rest);
        }
    }

    fn give_back(&mut self) {
        own::<SpareRooms>().give(std::mem::take(&mut self.bytes));
        (self.start, self.end) = (0, 0);
    }
}

impl SpareRooms {
    fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| vec![0; ROOM_BYTES])
    }

    fn give(&self, room: Vec<u8>) {
        let mut spare = self.0.borrow_mut();
        if room.len() == ROOM_BYTES && spare.len() < SPARE_ROOMS {
            spare.push(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::tls::{client::ClientTlsFiles, server::ServerTls},
        runtime::shard::run,
    };
    use rustls::ClientConnection;
    use std::io::Write;

    /// A client, and a server's session with it after the handshake.
    fn connected() -> (ClientConnection, TlsSession) {
        let tls = ServerTls::self_signed(&["localhost".to_owned()], &[]).unwrap();
        let machine = UnbufferedServerConnection::new(tls.config()).unwrap();
        let mut server = TlsSession::new(Machine::Server(machine), &[]);
        let files = ClientTlsFiles { verify: false, ..ClientTlsFiles::default() };
        let mut client = ClientTls::load(files).unwrap().connection("localhost").unwrap();
        while client.is_handshaking() || server.machine.state().is_handshaking() {
            server.incoming.append(&sent(&mut client));
            server.advance().unwrap();
            client.read_tls(&mut &*server.outgoing.filled_mut()).unwrap();
            server.outgoing.discard(server.outgoing.len());
            client.process_new_packets().unwrap();
        }
        (client, server)
    }

    fn sent(client: &mut ClientConnection) -> Vec<u8> {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// The records that can be read now, and of each whether it says that more follows.
    fn read(server: &mut TlsSession) -> Vec<(String, bool)> {
        let text = |buffer: Buffer| (String::from_utf8(buffer.bytes().to_vec()).unwrap(), buffer.has_more());
        std::iter::from_fn(|| server.take_plain()).map(text).collect()
    }

    #[test]
    fn of_records_that_came_together_each_says_whether_more_follows() {
        run(async {
            let (mut client, mut server) = connected();
            for text in ["1", "2", "3", "4", "5", "6"] {
                client.writer().write_all(text.as_bytes()).unwrap();
            }
            let shown = |parts: &[(&str, bool)]| -> Vec<_> {
                parts.iter().map(|(text, more)| ((*text).to_owned(), *more)).collect()
            };
            server.incoming.append(&sent(&mut client));
            server.advance().unwrap();
            let first = shown(&[("1", true), ("2", true), ("3", true), ("4", false)]);
            assert_eq!(read(&mut server), first);
            server.advance().unwrap();
            assert_eq!(read(&mut server), shown(&[("5", true), ("6", false)]));
        })
        .unwrap();
    }

    #[test]
    fn what_came_before_a_broken_record_is_read_first() {
        run(async {
            let (mut client, mut server) = connected();
            client.writer().write_all(b"whole").unwrap();
            client.writer().write_all(b"broken").unwrap();
            let mut bytes = sent(&mut client);
            *bytes.last_mut().unwrap() ^= 1;
            server.incoming.append(&bytes);
            server.advance().unwrap();
            assert_eq!(read(&mut server), [("whole".to_owned(), false)]);
            let error = server.advance().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(server.outgoing.len() > 0, "no alert");
        })
        .unwrap();
    }
}
