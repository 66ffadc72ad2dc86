//! Switchboard: a TCP multiplexer built of actors. This page is the guided tour of its code.
//!
//! An acceptor takes connections and hands each to a session. The session's target sends the bytes back, answers them, or
//! dials an upstream and relays both ways. Once both legs are up, the end of one peer reaches the other as it would directly.
//!
//! ```text
//!                 ┌──────────┐ admit ┌────────────┐ start, cut
//!   connect ────▶ │ acceptor │─────▶ │ supervisor │──────────┐
//!                 └──────────┘       └────────────┘          ▼
//!   ┌────────┐           ┌───────────────────────┐    link up     ┌──────────────────────┐            ┌──────────┐
//!   │        │──bytes──▶ │ read_into   session   │ ─────────────▶ │ write_from  upstream │ ──bytes──▶ │          │
//!   │ client │           │            (near leg) │                │            (far leg) │            │ upstream │
//!   │        │◀──bytes── │ write_from            │ ◀───────────── │ read_into            │ ◀──bytes── │          │
//!   └────────┘           └───────────────────────┘    link down   └──────────────────────┘            └──────────┘
//!                                    └───────── events ─────▶ reporter ─────▶ stdout
//! ```
//!
//! # One connection's life
//! The code of this walk is eight files, to be read in this order: `server/acceptor.rs`, `server/supervisor.rs`,
//! `session/session.rs`, `session/upstream.rs`, `relay/pump.rs`, `relay/leg.rs`, `relay/link.rs`, `relay/direction.rs`. What else
//! is named here has a page of its own, for a second visit.
//!
//! 1. [`cli`] makes a [`Plan`](server::plan::Plan) of the command line, and of the configuration file that it names.
//!    [`server::server::run`] puts it [in force](server::in_force), starts the actors, waits for a signal or an operator, and
//!    drains. A reload puts the next plan in force: what may fail comes first, and live sessions keep what they began with.
//! 2. The [`Acceptor`](server::acceptor::Acceptor) of a listener only accepts. Each connection takes one of the
//!    [`Slots`](runtime::limit::Slots): without a free slot it waits in the kernel's backlog. Without a descriptor it queues with
//!    the others that lack one ([`Shortage`](net::limits::Shortage)); the last ones are for operators ([`net::ceiling`]). It
//!    takes along the listener as its sessions know it ([`Listening`](session::listening::Listening)).
//! 3. The [`Supervisor`](server::supervisor::Supervisor) numbers the connection, opens its [`Record`](session::record::Record),
//!    asks who may connect ([`Access`](net::network::Access)) and how often ([`session::sources`]), starts its session, which
//!    stays on that shard, and puts it into the set of the [live ones](server::live).
//! 4. The session actor ([`session::session`]) owns the near [`Leg`](relay::leg::Leg), the client's connection. Where its
//!    listener wants it, the client first says who it is, by a PROXY header, and where it wants to go, by a ClientHello, and
//!    TLS begins ([`session::opening`]). It asks the [`Target`](session::target::Target) of its listener for the other end.
//! 5. An echo is joined to its own link; an origin ([`session::origin`]) answers as an HTTP server; otherwise the upstream
//!    actor ([`session::upstream`]) takes the first [route](session::route) that fits, [tries](session::attempts) servers of
//!    its [group](session::group) until one is [dialled](net::dial::dial) and has had its [preamble](session::preamble), and
//!    owns the far leg.
//! 6. Around each leg runs a [`pump`](relay::pump::pump()): [`read_into`](relay::pump::read_into) moves the leg into a link,
//!    [`write_from`](relay::pump::write_from) a link into the leg. Small chunks are copied, bulk is spliced
//!    ([`relay::leg`]). What was read of a client early comes first ([`relay::early`]).
//! 7. Across a [`link`](relay::link) goes a [`Parcel`](relay::link::Parcel): a [`Chunk`](relay::chunk::Chunk), or the end of
//!    the stream. A link that is dropped without an end is an abort. If the writer waits for a chunk and nothing stands at
//!    the gate, the reader writes it in the writer's place ([`deliver`](relay::link::LinkSender::deliver)).
//! 8. Each [`Direction`](relay::direction::Direction) counts what it moves. At its [`Gate`](relay::gate::Gate) stand taps and
//!    dumps, which watch it, a cut by FIN, which ends it, and a [chain](session::faults::chain) of faults, which acts on it
//!    [beside](relay::beside) the link.
//! 9. Whatever ends the session is one [`Outcome`](session::outcome::Outcome): its legs, a deadline
//!    ([`session::deadline`]), a cut, the drain. The record makes one [`Cause`](session::cause::Cause) of it. If a peer is
//!    gone, the other is reset after it has what was relayed before (`session/ends.rs`, [`settle`](net::socket::settle)); a
//!    deadline, a plain cut and the end of a drain reset both at once. A cut by FIN is an [`Order`](session::order::Order); a
//!    plain cut drops the session's task.
//! 10. The session leaves the set of the live ones, its end is booked ([`server::books`]), and the reporter
//!     ([`report::reporter`]) tells it as one line.
//!
//! All of this happens on one [shard](runtime::shard): a thread that runs its own tasks and waits for its own sockets. A server
//! has a [part](server::shards) on each of its shards, and a socket of each listener there; a connection goes to another shard
//! only if that one has fewer sessions ([`server::supervisors`]). What computes for long, as a handshake of TLS does, waits for
//! its [turn](runtime::turn).
//!
//! Beside this walk stands the [`Operator`](server::operator::Operator): the verbs that look into a running server and change
//! it. The control socket ([`server::control`]) and the metrics pages ([`server::http`]) encode its answers, and the
//! [`agent`](server::agent) tells balancers how much the server can take. What it says of a
//! session is computed once: how it does ([`session::health`]), and how much it moves a second ([`server::rates`]). Operators who
//! wait for a session, or follow what sessions say, are [`session::onlookers`]; what happens beside the bytes is a
//! [`Mark`](session::mark::Mark) in a tap.
//!
//! What breaks sessions on purpose are [faults](session::faults): each listener has a [set](session::faults::set) of them, which
//! its sessions meet as they begin. The [`Breaker`](server::breaker) changes the sets, and has live sessions meet what is new.
//!
//! The states of servers come from beside the walk too: a [keeper](server::keeper) for each group [checks](server::health) its
//! servers and [discovers](server::discover) them. What a reload would change is told by [`server::diff`], and where a connection
//! would lead by [`server::explain`].
//!
//! Certificates ([`net::tls`]) are read with the plan, and read again when their files change ([`server::certificates`]); a leg
//! that speaks TLS is a [`TlsSocket`](net::tls_socket::TlsSocket).
//!
//! A server may be passed its sockets ([`net::passed`]), by a service manager that it tells how it does ([`server::notify`]), or
//! by the process that it replaces at SIGUSR2 ([`server::upgrade`]), which also leaves its faults to it ([`server::handover`]).
//!
//! # The rooms
//! Each room imports only from those above it in this table.
//!
//! | room | what it holds |
//! |---|---|
//! | [`error`] | the one error type |
//! | [`runtime`] | shards: tasks, mailboxes, clock, readiness, limits, signals; the only room that names the async runtime |
//! | [`text`] | one way each to print a thing |
//! | [`net`] | sockets, listeners, dialling, pipes, buffers, the kernel's view of a connection |
//! | [`relay`] | chunks, links, legs, pumps, directions and their gates |
//! | [`session`] | one client connection: its target, deadlines, record, events |
//! | [`report`] | events as lines, ends as sentences, sums as metrics |
//! | [`control`] | the control socket as both of its ends know it |
//! | [`tools`] | the commands that are no servers: client, load, audit, ctl, top |
//! | [`server`] | a server from its start to its end, and its operator |
//! | [`cli`] | the command line |
//!
//! # Invariants, and the tests that prove them
//! - Nothing that fails looks like a clean end: `relay/tests.rs`, `tests/it/truncation.rs`, `tests/it/death.rs`.
//! - A reset destroys nothing that was relayed before it, within limits: `tests/it/close.rs`, `tests/it/abort.rs`.
//! - A receiver that does not read stops its sender, and memory stays bounded: `tests/it/relay.rs`.
//! - TLS changes nothing of that: close_notify is an end, and an end without it is none: `tests/it/tls/ends.rs`.
//! - Nothing is relayed of a client that does not say what it has to: `tests/it/proxy_protocol.rs`, `tests/it/tls/handshake.rs`.
//! - Every wait on a peer has a limit: `tests/it/deadline.rs`; every end has one named cause: `tests/it/cause.rs`.
//! - Work that computes for long and work that does not take turns, and neither keeps the other waiting: `runtime/turn.rs`.
//! - Sessions that take every descriptor shut out no operator and no health check: `net/ceiling.rs`, `tests/it/limit.rs`.
//! - No observer holds up the traffic: `session/tap.rs`, `tests/it/stdio.rs`.
//! - A dropped task drops what it owns, and a panic stays in its task: `runtime/task.rs`; what a shard owns, another does not
//!   see, and a shard that fails is a value to its owner: `runtime/shard.rs`.
//! - A chunk that its reader writes arrives as one that crossed the link, and so does the end: `relay/tests/leg.rs`.
//! - A listener that fails ends alone: `server/acceptor.rs`, `tests/it/listener.rs`.
//! - A session counts the same alive and ended: `server/books.rs`; it leaves nothing behind: `tests/it/leaks.rs`.
//! - An idle session is small: `session/session.rs`.
//! - Nothing that a peer sends ends a line of the log or controls a terminal: `report/format.rs`.
//! - An upgrade refuses no connection, loses no queue, and takes itself back if it fails: `tests/it/upgrade.rs`. It loses no fault
//!   and no change that was confirmed: `tests/it/upgrade/faults.rs`. A service manager
//!   that does not read holds nothing up: `tests/it/notify.rs`.
//! - A refused reload changes nothing, a reload loses no connection and no session: `tests/it/reload.rs`. The state of a server
//!   goes with its address: `server/groups.rs`. A name server that fails changes nothing: `server/discover.rs`.
//! - Ends stay ends through every fault, and none comes early: `session/faults/chain.rs`, `tests/it/faults.rs`.
//! - No client is lost while one server of its group is left: `tests/it/groups.rs`.
//! - The floors of the rooms, and which of them may name which crate: `tests/it/house.rs`.
//!
//! # What is deliberately absent
//! No task that moves between threads, no TLS in the kernel, no relaying of UDP, no protocol parsing on the relay's path, no retry of a dial after the
//! client has been reset, no platform but Linux, no unsafe code.
#![forbid(unsafe_code)]

pub mod cli;
pub mod control;
pub mod error;
pub mod net;
pub mod relay;
pub mod report;
pub mod runtime;
pub mod server;
pub mod session;
pub mod text;
pub mod tools;
