//! The checks, by subject: each is a scenario for the two ends of a conversation, held directly and through the proxy.
//!
//! A scenario orders what the ends do by what they have seen, not by the clock: the origin resets when the client has
//! read the part, not when some time has passed. So a difference is one of the protocol, on a busy machine too.

mod alone;
mod together;

use crate::tools::audit::{
    ground::{Ground, Trial},
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

/// A scenario for the two ends of a conversation.
pub struct Check {
    /// On the command line and in reports.
    pub name: &'static str,
    pub what: &'static str,
    pub turn: Turn,
    pause: Duration,
    pub scenario: for<'a> fn(Trial<'a>) -> LocalBoxFuture<'a, ()>,
}

impl Check {
    /// How long the ends pause.
    pub fn pause(&self, ground: &Ground) -> Duration {
        if self.name == "idle" { ground.idle.unwrap_or(IDLE) } else { self.pause }
    }

    /// Whether it can be made of a proxy that ends TLS, or of one that does not.
    pub fn suits(&self, tls: bool) -> bool {
        match self.name {
            // An urgent byte is none of TLS: it is lost out of a record.
            "urgent" => !tls,
            "truncated-upload" | "truncated-record" => tls,
            _ => true,
        }
    }

    pub fn limit(&self, ground: &Ground) -> Duration {
        let pause = self.pause(ground);
        match self.turn {
            Turn::First | Turn::Last => LIMIT_ALONE,
            Turn::Together | Turn::Apart if pause.is_zero() => LIMIT,
            Turn::Together | Turn::Apart => pause + LIMIT_BEYOND_PAUSE,
        }
    }
}

/// Checks by name, with their turn, the seconds that their ends pause, their scenario, and what happens in it.
macro_rules! checks {
    ($($name:literal $turn:ident $pause_s:literal $scenario:path, $what:literal;)*) => {
        &[$(Check {
            name: $name,
            what: $what,
            turn: Turn::$turn,
            pause: Duration::from_secs($pause_s),
            scenario: |trial| $scenario(trial).boxed_local(),
        }),*]
    };
}

pub static ALL: &[Check] = checks! {
    "half-close-0s" Together 0 together::reply_after_half_close,
        "the client ends its stream, and the reply comes at once";
    "half-close-1s" Together 1 together::reply_after_half_close,
        "the client ends its stream, and the reply comes 1 s later";
    "half-close-5s" Together 5 together::reply_after_half_close,
        "the client ends its stream, and the reply comes 5 s later";
    "upload-after-reply" Together 0 together::upload_after_half_close,
        "the origin ends its stream, and the client's upload comes after that";
    "early-reply" Together 0 together::early_reply, "the reply comes in the middle of an upload";
    "early-data" First 0 alone::early_data, "the client speaks before the proxy has reached the origin";
    "speaks-first" First 0 alone::speaks_first, "the origin speaks first";
    "connect-and-go" First 0 alone::connect_and_go, "the client connects and closes";
    "refused" Last 0 alone::refused, "nothing listens at the origin";
    "reset-at-once" First 0 alone::reset_at_once, "the origin resets as soon as the connection is there";
    "reset-before-reply" Together 0 together::reset_before_reply, "the origin resets instead of a reply";
    "reset-during-reply" Together 0 together::reset_during_reply, "the origin resets in the middle of its reply";
    "reset-after-reply" Together 0 together::reset_after_reply, "the origin resets behind its whole reply";
    "client-reset" Together 0 together::client_reset, "the client resets in the middle of its upload";
    "truncated-upload" Together 0 together::truncated_upload,
        "the client's TLS ends in the middle of its upload, without close_notify";
    "truncated-record" Together 0 together::truncated_record,
        "the same in the middle of a record";
    "bulk-upload" Together 0 together::bulk_upload, "8 MiB up, and the client closes at once";
    "bulk-reply" Together 0 together::bulk_reply, "8 MiB down, and the origin closes at once";
    "stalled-client" Together 0 together::stalled_client, "the client stops reading for 2 s and goes on";
    "stalled-origin" Together 0 together::stalled_origin, "the origin stops reading for 2 s and goes on";
    "one-byte-writes" Together 0 together::one_byte_writes, "single bytes each way, one soon after the other";
    "urgent" Together 0 together::urgent, "an urgent byte in the middle of each stream";
    "many" Apart 0 together::many, "100 connections at once";
    "idle" Together 0 together::idle, "a word each way, silence (--idle), and another word";
    "proxy-header" Together 0 together::proxy_header, "what the proxy sends before the client's bytes (not judged)";
};

/// The checks that `word` names: the one of that name, or all whose names go on with a dash after it.
pub fn named(word: &str) -> impl Iterator<Item = &'static Check> {
    let is_named = move |check: &&Check| {
        check.name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    ALL.iter().filter(is_named)
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
        for check in ALL {
            assert!(names(check.name).contains(&check.name));
            assert_eq!(ALL.iter().filter(|other| other.name == check.name).count(), 1, "{}", check.name);
        }
    }
}
