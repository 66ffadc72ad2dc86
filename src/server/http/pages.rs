//! What the admin server answers: one request a connection, one answer, and its end, all within a limit.

use super::host::{Addressee, addressee};
use crate::{
    net::{
        buffer,
        http::{self, Page, page, text},
        listener::AcceptErrors,
        pipe,
        socket::Socket,
        stream::Stream,
    },
    report::{metrics::Metrics, reporter::Reporter},
    runtime::{
        clock::{sleep_until, within},
        limit::Slots,
    },
    server::supervisor::Supervisor,
};
use hyper::{HeaderMap, Request, StatusCode, header::ACCEPT};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// After metrics were made, none are for 9 times as long as that took: they get at most a tenth of the executor, whatever the
/// number of sessions and of requests.
const REST: u32 = 9;
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(1);

/// One connection, from its begin to its end. Half of a scraper's usual patience (10 s), so that one behind slow ones gets
/// its turn.
const CONNECTION_MAX: Duration = Duration::from_secs(5);
const LIMITS: http::Limits = http::Limits {
    // More than any scraper's head.
    buffer_bytes: 16 * 1024,
    // An idle connection would hold one of few places.
    keep_alive: false,
    linger: CONNECTION_MAX,
    linger_silence: CONNECTION_MAX,
};

/// Whether the server takes new connections, as `/readyz` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It does.
    Accepting,
    /// It does not any more; live sessions may finish.
    Draining,
}

/// What the metrics are read from.
pub struct Sources {
    /// When the server started.
    pub started: SystemTime,
    /// Knows the sessions.
    pub supervisor: Supervisor,
    /// Knows the lines that it dropped.
    pub reporter: Reporter,
    /// The places of sessions; none is given out while the server is paused.
    pub slots: Slots,
    /// Of every listener of the server.
    pub accept_errors: Vec<Arc<AcceptErrors>>,
}

/// The pages of one admin server.
pub struct Pages {
    host: Option<String>,
    sources: Sources,
    condition: Mutex<Condition>,
    /// Metrics are made one at a time, not before this instant.
    turn: Slots,
    rest_until: Mutex<Instant>,
}

impl Pages {
    /// Pages of a server that takes connections; `host` is a name that requests may be for.
    pub fn new(host: Option<String>, sources: Sources) -> Self {
        let condition = Mutex::new(Condition::Accepting);
        Pages { host, sources, condition, turn: Slots::new(1), rest_until: Mutex::new(Instant::now()) }
    }

    /// What `/readyz` says from now on.
    pub fn tell(&self, condition: Condition) {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = condition;
    }

    /// Serves a connection; resets it if it takes too long.
    pub async fn serve(self: Arc<Self>, socket: Socket) {
        let pages = &self;
        let answer = |request| async move { pages.answer(&request).await };
        let served = http::serve(Stream(&socket), &LIMITS, answer);
        if let Some(Ok(_)) = within(Some(CONNECTION_MAX), served).await {
            socket.close();
        }
    }

    async fn answer<B>(&self, request: &Request<B>) -> Page {
        match addressee(request, self.host.as_deref()) {
            Addressee::Us => {}
            Addressee::Other => {
                let reason =
                    "this name is not mine; ask by address, as localhost, or by the name in --metrics\n";
                return text(StatusCode::MISDIRECTED_REQUEST, reason);
            }
            Addressee::Unclear => {
                return text(StatusCode::BAD_REQUEST, "say whom you ask, in one Host field\n");
            }
        }
        let path = request.uri().path();
        if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
            return text(StatusCode::NOT_FOUND, "not found; there is /metrics, /healthz and /readyz\n");
        }
        if let Some(refusal) = http::refuse_method(request) {
            return refusal;
        }
        match path {
            "/metrics" => self.metrics(takes_openmetrics(request.headers())).await,
            "/readyz" => self.ready(),
            _ => text(StatusCode::OK, "alive\n"),
        }
    }

    fn ready(&self) -> Page {
        match *self.condition.lock().unwrap_or_else(PoisonError::into_inner) {
            Condition::Accepting if self.sources.slots.paused() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "paused\n")
            }
            Condition::Accepting => text(StatusCode::OK, "accepting\n"),
            Condition::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        }
    }

    async fn metrics(&self, openmetrics: bool) -> Page {
        let _turn = self.turn.take().await;
        let rest_until = *self.rest_until.lock().unwrap_or_else(PoisonError::into_inner);
        sleep_until(rest_until).await;
        let begin = Instant::now();
        let Some(metrics) = self.read().await else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "every session has ended\n");
        };
        let answer = if openmetrics {
            page(StatusCode::OK, Metrics::OPENMETRICS, metrics.openmetrics())
        } else {
            page(StatusCode::OK, Metrics::PLAIN, metrics.plain())
        };
        let end = Instant::now();
        let rest = (end.duration_since(begin) * REST).min(REST_MAX);
        *self.rest_until.lock().unwrap_or_else(PoisonError::into_inner) = end + rest;
        answer
    }

    /// The metrics as they are now; none if the supervisor has ended.
    async fn read(&self) -> Option<Metrics> {
        let Sources { started, supervisor, reporter, accept_errors, .. } = &self.sources;
        let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
        for (kind, count) in accept_errors.iter().flat_map(|errors| errors.counts()) {
            *errors.entry(kind.name()).or_default() += count;
        }
        Some(Metrics {
            started: *started,
            tally: supervisor.tally().await?,
            accept_errors: errors.into_iter().collect(),
            dropped_lines: reporter.events().dropped(),
            spliced_bytes: pipe::spliced(),
            pipes: pipe::count(),
            spare_pipes: pipe::spare(),
            spare_buffers: buffer::spare(),
        })
    }
}

/// Whether a scraper names OpenMetrics among what it takes (RFC 9110 §12.5.1); a weight of zero means that it does not.
fn takes_openmetrics(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let refused = parts.any(|parameter| {
            let weight = parameter.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("q"));
            weight.is_some_and(|(_, weight)| weight.parse() == Ok(0.0))
        });
        kind.eq_ignore_ascii_case("application/openmetrics-text") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn openmetrics_is_for_those_who_name_it() {
        let takes = |accept: &'static str| {
            takes_openmetrics(&[(ACCEPT, HeaderValue::from_static(accept))].into_iter().collect())
        };
        assert!(takes("application/openmetrics-text; version=1.0.0"));
        assert!(takes("text/plain;q=0.9, Application/OpenMetrics-Text;version=1.0.0;q=0.5,*/*;q=0.1"));
        for accept in ["", "*/*", "text/plain", "application/openmetrics-text;q=0.0", "application/*"] {
            assert!(!takes(accept), "{accept}");
        }
        assert!(!takes_openmetrics(&HeaderMap::new()));
    }
}
