//! The cases that are load: what the clients do, against what, and what counts as one unit of work.

use crate::upstream::Service;
use switchboard::tools::load::script::{Script, Step};

/// One message of the small cases.
const MESSAGE: u64 = 64;
const MIB: u64 = 1024 * 1024;
/// Bytes under way where they come back: more than the buffers on the way take, so that no side ever waits for a client.
const UNDER_WAY: u64 = 4 * MIB;

/// A case.
pub struct Case {
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    pub place: Place,
    pub connections: usize,
    pub script: Script,
    pub unit: Unit,
}

/// Where the load goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Through a proxy to this service of the upstream.
    Through(Service),
    /// To an echo server.
    Echo,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Operations of the script, by their name.
    Operation(&'static str),
    /// MiB, of all that the clients sent and received divided by this.
    Mib(u64),
}

/// Every case, in the order it runs.
pub fn all() -> Vec<Case> {
    use Service::{Echo, Sink, Source};
    let round_trip = Unit::Operation("round trip");
    let case = |name, about, place, connections, script, unit| Case {
        name,
        about,
        place,
        connections,
        script,
        unit,
    };
    let through = Place::Through;
    vec![
        case("pingpong 1", "64 B there and back", through(Echo), 1, pingpong(), round_trip),
        case("pingpong 50", "64 B there and back", through(Echo), 50, pingpong(), round_trip),
        case("pingpong 500", "64 B there and back", through(Echo), 500, pingpong(), round_trip),
        case("bulk 1 up", "to the upstream", through(Sink), 1, upload(), Unit::Mib(1)),
        case("bulk 1 down", "from the upstream", through(Source), 1, download(), Unit::Mib(1)),
        case("bulk 1 both", "each way at once", through(Echo), 1, both_ways(), Unit::Mib(1)),
        case("bulk 8 up", "to the upstream", through(Sink), 8, upload(), Unit::Mib(1)),
        case("bulk 8 down", "from the upstream", through(Source), 8, download(), Unit::Mib(1)),
        case("bulk 8 both", "each way at once", through(Echo), 8, both_ways(), Unit::Mib(1)),
        case(
            "churn 20",
            "connect, 64 B there and back, close",
            through(Echo),
            20,
            churn(),
            Unit::Operation("connection"),
        ),
        case("echo pingpong 1", "64 B there and back", Place::Echo, 1, pingpong(), round_trip),
        case("echo pingpong 50", "64 B there and back", Place::Echo, 50, pingpong(), round_trip),
        // A MiB that is echoed is sent and received.
        case("echo bulk 1", "sent and received at once", Place::Echo, 1, both_ways(), Unit::Mib(2)),
        case("echo bulk 8", "sent and received at once", Place::Echo, 8, both_ways(), Unit::Mib(2)),
    ]
}

/// Connects and sends a message there and back once: a session that is in use.
pub fn greeting() -> Vec<Step> {
    vec![Step::Connect, Step::Send(MESSAGE), Step::Expect(MESSAGE)]
}

/// One message there and back.
pub fn round_trip() -> Vec<Step> {
    vec![Step::Send(MESSAGE), Step::Expect(MESSAGE)]
}

/// Ends both streams.
pub fn farewell() -> Vec<Step> {
    vec![Step::HalfClose, Step::ExpectEnd, Step::Close]
}

fn pingpong() -> Script {
    Script { before: greeting(), each: round_trip(), after: farewell() }
}

fn upload() -> Script {
    Script {
        before: vec![Step::Connect, Step::TellSeed],
        each: vec![Step::Send(MIB)],
        after: vec![Step::HalfClose, Step::ExpectTotal, Step::ExpectEnd, Step::Close],
    }
}

fn download() -> Script {
    Script {
        before: vec![Step::Connect, Step::TellSeed],
        each: vec![Step::Expect(MIB)],
        after: vec![Step::Close],
    }
}

fn both_ways() -> Script {
    Script {
        before: vec![Step::Connect, Step::Send(UNDER_WAY)],
        each: vec![Step::Send(MIB), Step::Expect(MIB)],
        after: [&[Step::HalfClose, Step::Expect(UNDER_WAY)], &farewell()[1..]].concat(),
    }
}

fn churn() -> Script {
    Script { before: Vec::new(), each: [greeting(), farewell()].concat(), after: Vec::new() }
}
