//! The cases that are load: what the clients do, against what, and what counts as one unit of work.

use crate::{certificate::Tls, upstream::Service};
use switchboard::tools::load::script::{Script, Step};

/// One message of the small cases.
const MESSAGE: u64 = 64;
const MIB: u64 = 1024 * 1024;
const CHURN: &str = "connect, 64 B there and back, close";
/// Bytes under way where they come back: more than the buffers on the way take, so that no side ever waits for a client.
const UNDER_WAY: u64 = 4 * MIB;

/// A case.
pub struct Case {
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// What the server relays to.
    pub service: Service,
    pub connections: usize,
    pub script: Script,
    pub unit: Unit,
    /// The clients speak TLS, which ends at the server.
    pub tls: Option<Tls>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Operations of the script, by their name.
    Operation(&'static str),
    /// MiB of all that the clients sent and received.
    Mib,
}

/// Those of a quick run.
const QUICK: [&str; 5] = ["pingpong 1", "pingpong 50", "bulk 1 up", "bulk 8 both", "churn 20"];

/// Every case, in the order it runs.
pub fn all() -> Vec<Case> {
    use Service::{Echo, Sink, Source};
    let round_trip = Unit::Operation("round trip");
    let case = |name, about, service, connections, script, unit| Case {
        name,
        about,
        service,
        connections,
        script,
        unit,
        tls: None,
    };
    let connection = Unit::Operation("connection");
    let over_tls = |case: Case, name, tls: Tls| Case { name, tls: Some(tls), ..case };
    let tls = Tls { resume: false, post_quantum: false };
    vec![
        case("pingpong 1", "64 B there and back", Echo, 1, pingpong(), round_trip),
        case("pingpong 50", "64 B there and back", Echo, 50, pingpong(), round_trip),
        case("pingpong 500", "64 B there and back", Echo, 500, pingpong(), round_trip),
        case("bulk 1 up", "to the upstream", Sink, 1, upload(), Unit::Mib),
        case("bulk 1 down", "from the upstream", Source, 1, download(), Unit::Mib),
        case("bulk 1 both", "each way at once", Echo, 1, both_ways(), Unit::Mib),
        case("bulk 8 up", "to the upstream", Sink, 8, upload(), Unit::Mib),
        case("bulk 8 down", "from the upstream", Source, 8, download(), Unit::Mib),
        case("bulk 8 both", "each way at once", Echo, 8, both_ways(), Unit::Mib),
        case("churn 20", CHURN, Echo, 20, churn(), connection),
        over_tls(case("", CHURN, Echo, 20, churn_over_tls(), connection), "tls new 20", tls),
        over_tls(
            case("", CHURN, Echo, 20, churn_over_tls(), connection),
            "tls new 20, post-quantum",
            Tls { post_quantum: true, ..tls },
        ),
        over_tls(
            case("", CHURN, Echo, 20, churn_over_tls(), connection),
            "tls resumed 20",
            Tls { resume: true, ..tls },
        ),
        over_tls(case("", "64 B there and back", Echo, 50, pingpong(), round_trip), "tls pingpong 50", tls),
        over_tls(case("", "to the upstream", Sink, 1, upload(), Unit::Mib), "tls bulk 1 up", tls),
        over_tls(case("", "from the upstream", Source, 1, download(), Unit::Mib), "tls bulk 1 down", tls),
    ]
}

impl Case {
    /// Whether a quick run has it if it is not named.
    pub fn is_quick(&self) -> bool {
        QUICK.contains(&self.name)
    }
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

pub fn pingpong() -> Script {
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

/// As [`churn`], without waiting for the server's end: nginx's stream module sends no close_notify to wait for.
fn churn_over_tls() -> Script {
    Script { before: Vec::new(), each: [greeting(), vec![Step::Close]].concat(), after: Vec::new() }
}

fn churn() -> Script {
    Script { before: Vec::new(), each: [greeting(), farewell()].concat(), after: Vec::new() }
}
