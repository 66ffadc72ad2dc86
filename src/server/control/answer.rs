//! A session as an operator sees it, made from its record at the moment of asking.

use crate::{
    control::protocol::{Detail, Session, Stats},
    net::{
        address::{Address, EscapedAddress},
        kernel::TcpInfo,
    },
    report::json::milliseconds,
    runtime::{clock::coarse_ms, limit::Slots},
    server::{control::rates::Rates, supervisor::question::Overview},
    session::record::Record,
};
use std::time::{Duration, Instant};

/// The line of one session in `list`.
#[must_use]
pub fn session(record: &Record, rates: &Rates, draining: bool) -> Session {
    let (client_rate, upstream_rate) = rates.of(record);
    let upstream = record.dial().and_then(|dial| dial.upstream.as_ref());
    Session {
        session: record.id,
        mode: record.mode(),
        listener: shown(&record.listening.address),
        client: shown(&record.client),
        upstream: upstream.map(shown),
        phase: phase(record, draining),
        age_ms: whole_milliseconds(record.age()),
        idle_ms: coarse_ms().saturating_sub(moved_ms(record)),
        client_bytes: record.client_bytes(),
        upstream_bytes: record.upstream_bytes(),
        client_rate,
        upstream_rate,
        client_waiting: record.from_client.waiting(),
        upstream_waiting: record.from_upstream.waiting(),
    }
}

/// Everything about one session.
#[must_use]
pub fn detail(record: &Record, rates: &Rates, draining: bool) -> Detail {
    let dial = record.dial();
    let (near, far) =
        (dial.and_then(|dial| dial.local.as_ref()), dial.and_then(|dial| dial.upstream.as_ref()));
    Detail {
        session: session(record, rates, draining),
        local: shown(&record.local),
        upstream_local: near.map(shown),
        resolve_ms: dial.and_then(|dial| dial.resolve).map(milliseconds),
        connect_ms: dial.and_then(|dial| dial.connect).map(milliseconds),
        first_byte_ms: record.first_byte().map(milliseconds),
        first_closer: record.first_closer(),
        taps: record.taps.count(),
        client_tcp: TcpInfo::query(&record.local, &record.client).ok(),
        upstream_tcp: near.zip(far).and_then(|(near, far)| TcpInfo::query(near, far).ok()),
    }
}

/// The sums of a server that began at `began` and gives out `slots`.
#[must_use]
pub fn stats(overview: &Overview, began: Instant, slots: &Slots) -> Stats {
    let tally = &overview.tally;
    Stats {
        uptime_ms: whole_milliseconds(began.elapsed()),
        live: tally.active,
        max_sessions: slots.count().1,
        paused: slots.paused(),
        draining: overview.draining,
        opened: tally.opened,
        ended: tally.closed().map(|(_, count)| count).sum(),
        causes: tally
            .closed()
            .filter(|(_, count)| *count > 0)
            .map(|(cause, count)| (cause.name(), count))
            .collect(),
        client_bytes: tally.client_bytes,
        upstream_bytes: tally.upstream_bytes,
    }
}

/// Where a session is in its life. One of which both streams have ended delivers what is left, as every session of a
/// server that drains does.
pub(super) fn phase(record: &Record, draining: bool) -> &'static str {
    match (record.from_client.ended(), record.from_upstream.ended()) {
        (true, true) => "draining",
        (true, false) => "client-closed",
        (false, true) => "upstream-closed",
        (false, false) if record.dialling() => "dialling",
        (false, false) if draining => "draining",
        (false, false) => "open",
    }
}

/// When the last byte or end moved, by the coarse clock.
pub(super) fn moved_ms(record: &Record) -> u64 {
    record.from_client.moved_ms().max(record.from_upstream.moved_ms())
}

fn shown(address: &Address) -> String {
    EscapedAddress(address).to_string()
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
