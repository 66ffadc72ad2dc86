//! The admin server: answers scrapers and health checks over HTTP on the listener of `--metrics`. It encodes the operator's
//! verbs; each connection gets one request, one answer and its end, all within a limit.
//!
//! However many scrapers come and however slow they are, traffic does not feel them: a few are served at once, and the
//! metrics are made at a limited share of the executor. If the listener fails, traffic goes on without it.

mod host;

use crate::{
    net::{
        http::{self, Page, page, text},
        listener::Listener,
        socket::{Socket, settle},
        stream::Stream,
    },
    report::{metrics::Metrics, reporter::Reporter},
    runtime::clock::{sleep_until, within},
    server::{
        operator::{Operator, Readiness},
        side_door::{SideDoor, Silence},
    },
};
use futures::lock::Mutex;
use hyper::{HeaderMap, Request, StatusCode, header::ACCEPT};
use std::{
    io,
    rc::Rc,
    time::{Duration, Instant},
};

/// Connections at once, and one that waits until another gives way: a descriptor and some 40 KiB each.
pub const CONNECTIONS_MAX: usize = 16;
/// Of the listening socket: a client that comes to a longer queue tries again.
pub const BACKLOG: i32 = 64;

/// After metrics were made, none are for 9 times as long as that took: they get at most a tenth of the executor, whatever the
/// number of sessions and of requests.
const REST: u32 = 9;
const REST_MAX: Duration = Duration::from_secs(1);

/// One connection, from its begin to its end. Half of a scraper's usual patience (10 s), so that one behind slow ones gets
/// its turn.
const CONNECTION_MAX: Duration = Duration::from_secs(5);
const LIMITS: http::Limits = http::Limits {
    // More than any scraper's head.
    buffer_bytes: 16 * 1024,
    // An idle connection would hold one of few slots.
    keep_alive: false,
    linger: CONNECTION_MAX,
    linger_silence: CONNECTION_MAX,
};

/// Starts answering on `listener`. Besides IP addresses and `localhost`, `host` is what a request may be for.
pub fn start(listener: Listener, host: Option<String>, operator: Operator, reporter: Reporter) -> SideDoor {
    let pages = Rc::new(Pages { host, operator, rest_until: Mutex::new(Instant::now()) });
    let serve = move |socket, silence| pages.clone().serve(socket, silence);
    SideDoor::start(listener, CONNECTIONS_MAX, "metrics", reporter, serve)
}

struct Pages {
    host: Option<String>,
    operator: Operator,
    /// Metrics are made by one connection at a time, and not before this instant.
    rest_until: Mutex<Instant>,
}

impl Pages {
    /// Serves a connection; resets it if it takes too long.
    async fn serve(self: Rc<Self>, socket: Socket, silence: Rc<Silence>) {
        if let Some(Ok(())) = within(Some(CONNECTION_MAX), self.converse(&socket, &silence)).await {
            socket.close();
        }
    }

    async fn converse(&self, socket: &Socket, silence: &Silence) -> io::Result<()> {
        let answer = |request| {
            silence.end();
            async move { self.answer(&request).await }
        };
        // Only a whole request ends the silence.
        silence.begin();
        http::answer_all(&mut Stream(socket), &LIMITS, answer).await?;
        // To give way is to be reset, which must not destroy the answer.
        settle(socket).await;
        silence.during(http::linger(Stream(socket), &LIMITS)).await.map(drop)
    }

    async fn answer<B>(&self, request: &Request<B>) -> Page {
        if let Some(refusal) = host::refuse(request, self.host.as_deref()) {
            return refusal;
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
            "/readyz" => self.ready().await,
            _ => text(StatusCode::OK, "alive\n"),
        }
    }

    async fn ready(&self) -> Page {
        match self.operator.ready().await {
            // A question that came just before another process took over is of the address.
            Readiness::Accepting | Readiness::Replaced => text(StatusCode::OK, "accepting\n"),
            Readiness::Paused => text(StatusCode::SERVICE_UNAVAILABLE, "paused\n"),
            Readiness::Draining => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        }
    }

    async fn metrics(&self, openmetrics: bool) -> Page {
        let mut rest_until = self.rest_until.lock().await;
        sleep_until(*rest_until).await;
        let begin = Instant::now();
        let Some(metrics) = self.operator.metrics().await else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "every session has ended\n");
        };
        let answer = if openmetrics {
            page(StatusCode::OK, Metrics::OPENMETRICS, metrics.openmetrics())
        } else {
            page(StatusCode::OK, Metrics::PLAIN, metrics.plain())
        };
        let end = Instant::now();
        *rest_until = end + (end.duration_since(begin) * REST).min(REST_MAX);
        answer
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
