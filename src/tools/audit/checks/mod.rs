//! The checks, by subject: each is a scenario for the two ends of a conversation, held directly and through the proxy.
//!
//! A scenario orders what the ends do by what they have seen, not by the clock: the origin resets when the client has
//! read the part, not when some time has passed. So a difference is one of the protocol, on a busy machine too.

mod alone;
mod bulk;
mod close;
mod crowd;
mod reset;
mod small;
mod stall;

use crate::tools::audit::{
    ground::{Ground, Talk, Way},
    observation::{Beside, Record},
    settings::IDLE,
};
use futures::{FutureExt, future::LocalBoxFuture};
use std::time::Duration;

/// A request: fits any buffer.
const REQUEST_BYTES: u64 = 4 * 1024;
/// A part of a reply, that any two buffers on the way hold.
const PART_BYTES: u64 = 64 * 1024;
/// A reply that is larger than a proxy's buffer.
const REPLY_BYTES: u64 = 256 * 1024;
/// An upload that is larger than that too.
const UPLOAD_BYTES: u64 = 1024 * 1024;

/// How long a check may take beyond its own pauses.
const LIMIT: Duration = Duration::from_secs(15);
/// The same for one whose pause is most of it.
const LIMIT_BEYOND_PAUSE: Duration = Duration::from_secs(8);
/// The same for one that runs by itself: a proxy that hangs takes these one after the other.
const LIMIT_ALONE: Duration = Duration::from_secs(7);

/// The longest pause before a late reply.
const LONG_PAUSE: Duration = Duration::from_secs(5);
const SHORT_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// By itself, before the others.
    First,
    /// Beside all others of this kind.
    Together,
    /// By itself, after those: a crowd leaves no room for another check.
    Apart,
    /// By itself, at the end.
    Last,
}

type Scenario = for<'a> fn(&'a Ground, Way, &'a Record) -> LocalBoxFuture<'a, ()>;

/// A scenario for the two ends of a conversation.
pub struct Check {
    /// Its name on the command line and in reports.
    pub name: &'static str,
    pub what: &'static str,
    pub turn: Turn,
    /// How long the ends pause.
    pause: Duration,
    pub scenario: Scenario,
}

impl Check {
    /// How long one run of it may take.
    pub fn limit(&self, ground: &Ground) -> Duration {
        let pause = if self.name == "idle" { ground.idle.unwrap_or(IDLE) } else { self.pause };
        match self.turn {
            Turn::First | Turn::Last => LIMIT_ALONE,
            Turn::Together | Turn::Apart if pause.is_zero() => LIMIT,
            Turn::Together | Turn::Apart => pause + LIMIT_BEYOND_PAUSE,
        }
    }
}

/// A check without a pause.
macro_rules! check {
    ($name:literal, $turn:ident, $scenario:path, $what:literal) => {
        check!(
            $name,
            $turn,
            Duration::ZERO,
            |ground, way, record| $scenario(ground, way, record).boxed_local(),
            $what
        )
    };
    ($name:literal, $turn:ident, $pause:expr, $scenario:expr, $what:literal) => {
        Check { name: $name, what: $what, turn: Turn::$turn, pause: $pause, scenario: $scenario }
    };
}

/// All checks, in the order of a report.
pub static ALL: [Check; 23] = [
    check!(
        "half-close-0s",
        Together,
        Duration::ZERO,
        |ground, way, record| {
            close::reply_after_half_close(ground, way, record, Duration::ZERO).boxed_local()
        },
        "the client ends its stream, and the reply comes at once"
    ),
    check!(
        "half-close-1s",
        Together,
        SHORT_PAUSE,
        |ground, way, record| {
            close::reply_after_half_close(ground, way, record, SHORT_PAUSE).boxed_local()
        },
        "the client ends its stream, and the reply comes 1 s later"
    ),
    check!(
        "half-close-5s",
        Together,
        LONG_PAUSE,
        |ground, way, record| {
            close::reply_after_half_close(ground, way, record, LONG_PAUSE).boxed_local()
        },
        "the client ends its stream, and the reply comes 5 s later"
    ),
    check!(
        "upload-after-reply",
        Together,
        close::upload_after_half_close,
        "the origin ends its stream, and the client's upload comes after that"
    ),
    check!("early-reply", Together, close::early_reply, "the reply comes in the middle of an upload"),
    check!(
        "early-data",
        First,
        alone::early_data,
        "the client speaks before the proxy has reached the origin"
    ),
    check!("speaks-first", First, alone::speaks_first, "the origin speaks first"),
    check!("connect-and-go", First, alone::connect_and_go, "the client connects and closes"),
    check!("refused", Last, alone::refused, "nothing listens at the origin"),
    check!(
        "reset-at-once",
        First,
        alone::reset_at_once,
        "the origin resets as soon as the connection is there"
    ),
    check!("reset-before-reply", Together, reset::before_reply, "the origin resets instead of a reply"),
    check!(
        "reset-during-reply",
        Together,
        reset::during_reply,
        "the origin resets in the middle of its reply"
    ),
    check!("reset-after-reply", Together, reset::after_reply, "the origin resets behind its whole reply"),
    check!("client-reset", Together, reset::of_client, "the client resets in the middle of its upload"),
    check!("bulk-upload", Together, bulk::upload_and_close, "8 MiB up, and the client closes at once"),
    check!("bulk-reply", Together, bulk::reply_and_close, "8 MiB down, and the origin closes at once"),
    check!("stalled-client", Together, stall::of_client, "the client stops reading for 2 s and goes on"),
    check!("stalled-origin", Together, stall::of_origin, "the origin stops reading for 2 s and goes on"),
    check!(
        "one-byte-writes",
        Together,
        small::one_byte_writes,
        "single bytes each way, one soon after the other"
    ),
    check!("urgent", Together, small::urgent, "an urgent byte in the middle of each stream"),
    check!("many", Apart, crowd::many, "100 connections at once"),
    check!(
        "idle",
        Together,
        Duration::ZERO,
        |ground, way, record| { close::idle(ground, way, record, ground.idle.unwrap_or(IDLE)).boxed_local() },
        "a word each way, silence (--idle), and another word"
    ),
    check!("proxy-header", Together, header, "what the proxy sends before the client's bytes (not judged)"),
];

/// The checks that `word` names: the one of that name, or all whose names go on with a dash after it.
pub fn named(word: &str) -> impl Iterator<Item = &'static Check> {
    let is_named = move |check: &&Check| {
        check.name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    ALL.iter().filter(is_named)
}

/// Looks for the PROXY protocol's header, which the origin takes off each connection.
fn header<'a>(ground: &'a Ground, way: Way, record: &'a Record) -> LocalBoxFuture<'a, ()> {
    async move {
        let Some(Talk { client, origin, header }) = ground.open(way, record).await else { return };
        *record.beside.borrow_mut() = Some(Beside::Header(header));
        client.finish();
        origin.finish();
        futures::join!(client.read_to_end(), origin.read_to_end());
        client.close();
        origin.close();
    }
    .boxed_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_names_one_check_or_those_that_go_on_after_it() {
        let names = |word| named(word).map(|check| check.name).collect::<Vec<_>>();
        assert_eq!(names("idle"), ["idle"]);
        assert_eq!(names("half-close"), ["half-close-0s", "half-close-1s", "half-close-5s"]);
        assert_eq!(names("half"), names("half-close"));
        assert!(names("hal").is_empty() && names("").is_empty() && names("half-").is_empty());
        for check in &ALL {
            assert!(names(check.name).contains(&check.name));
            assert_eq!(ALL.iter().filter(|other| other.name == check.name).count(), 1, "{}", check.name);
        }
    }
}
