//! toxiproxy's HTTP API: proxies and their toxics, which are listeners and their faults here, as its clients in all languages
//! speak it. It encodes the operator's verbs.
//!
//! No request waits for traffic: sessions are told, and do the rest.

mod planned;
mod proxies;
mod request;
mod routes;
mod traffic;

pub use planned::{listen_endpoint, with_api};
pub use proxies::Proxies;
pub use request::{NewProxy, ProxyRequest};

use crate::{
    control::toxic::ToxicError,
    net::{
        http::{self, Page, page, text},
        limits,
        listener::Listener,
        socket::{Socket, settle},
        stream::Stream,
    },
    report::{metrics::Metrics, reporter::Reporter},
    runtime::{clock::within, random::random},
    server::side_door::{DoorLimits, SideDoor, Silence},
};
use futures::{FutureExt, select_biased};
use http_body_util::{BodyExt, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, HeaderName, HeaderValue, ORIGIN, USER_AGENT},
};
use proxies::ApiError;
use routes::ApiRoute;
use serde_json::{Map, Value, json};
use std::{io, pin::pin, rc::Rc, time::Duration};

/// Connections at once, and one that waits until another gives way: tests run side by side, and their clients keep
/// connections alive. A descriptor and some 10 KiB each.
const CONNECTIONS_MAX: usize = 1_000;
/// They get at most this part of the descriptors, and are this many however few those are.
const DESCRIPTORS_SHARE: usize = 8;
const CONNECTIONS_MIN: usize = 64;
/// Those that have given way, and whose clients have not ended yet, are this part of them.
const LEAVING_SHARE: usize = 4;
/// A client of a pool asks again soon: only one that has not for this long gives way.
const SILENT_AFTER: Duration = Duration::from_secs(1);
/// The longest body, many thousand proxies.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a body may take, as there.
const BODY_WAIT: Duration = Duration::from_secs(15);
/// How long a connection may be idle between two requests, as there; or take for an answer.
const IDLE_MAX: Duration = Duration::from_secs(60);
const LIMITS: http::Limits = http::Limits {
    buffer_bytes: 64 * 1024,
    keep_alive: true,
    linger: Duration::from_secs(5),
    linger_silence: Duration::from_secs(1),
};

/// The version of toxiproxy whose API this is: its clients choose by it what they send.
const COMPATIBLE: &str = "2.12.0";
const JSON: &str = "application/json";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-toxiproxy-request-id");

/// Starts answering on `listener`. The proxies are in force.
pub fn start(listener: Listener, proxies: Rc<Proxies>, reporter: Reporter) -> SideDoor {
    let api = Rc::new(Api { proxies });
    let serve = move |socket, silence| api.clone().serve(socket, silence);
    let descriptors = limits::raise_descriptor_limit();
    let at_once = (descriptors / DESCRIPTORS_SHARE).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
    let limits = DoorLimits { at_once, leaving: at_once / LEAVING_SHARE, silent_after: SILENT_AFTER };
    SideDoor::start_within(limits, listener, "API", reporter, serve)
}

struct Api {
    proxies: Rc<Proxies>,
}

impl Api {
    /// Serves a connection until its client ends it, it is idle too long, or another needs its place.
    async fn serve(self: Rc<Self>, socket: Socket, silence: Rc<Silence>) {
        let end = select_biased! {
            end = pin!(self.converse(&socket, &silence).fuse()) => end,
            () = pin!(silence.asked_to_leave().fuse()) => leave(&socket).await,
            () = pin!(silence.lasts(IDLE_MAX).fuse()) => leave(&socket).await,
        };
        if end.is_ok() {
            socket.close();
        }
    }

    async fn converse(&self, socket: &Socket, silence: &Silence) -> io::Result<()> {
        let answer = |request| {
            silence.end();
            async move {
                let page = self.answer(request, silence).await;
                silence.begin();
                page
            }
        };
        // Only a whole request ends the silence.
        silence.begin();
        http::answer_all(&mut Stream(socket), &LIMITS, answer).await?;
        settle(socket).await;
        silence.during(http::linger(Stream(socket), &LIMITS)).await.map(drop)
    }

    async fn answer(&self, request: Request<Incoming>, silence: &Silence) -> Page {
        let Some(route) = ApiRoute::of(request.uri().path()) else {
            return text(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        if !route.methods().contains(request.method()) {
            return refuse_method(&route);
        }
        let mut answer = match refuse_browser(request.headers()) {
            Some(refusal) => refusal,
            None => self.follow(&route, request, silence).await.unwrap_or_else(|error| told(&error)),
        };
        let id = HeaderValue::from_str(&format!("{:016x}", random()));
        answer.headers_mut().insert(REQUEST_ID, id.expect("digits are a field's value"));
        answer
    }

    async fn follow(
        &self,
        route: &ApiRoute,
        request: Request<Incoming>,
        silence: &Silence,
    ) -> Result<Page, ApiError> {
        let method = request.method().clone();
        let stats = request.uri().query().is_some_and(has_stats);
        let body = match method {
            Method::GET | Method::DELETE => Bytes::new(),
            _ => read_body(request.into_body(), silence).await?,
        };
        let proxies = &self.proxies;
        let is_get = method == Method::GET;
        match route {
            ApiRoute::Proxies if is_get => Ok(shown(StatusCode::OK, &proxies.list())),
            ApiRoute::Proxies => {
                let proxy = proxies.create(ProxyRequest::read(&object(&body)?)?).await?;
                Ok(shown(StatusCode::CREATED, &proxy))
            }
            ApiRoute::Proxy(name) => match method {
                Method::GET => proxies.show(name).map(|proxy| shown(StatusCode::OK, &proxy)),
                Method::DELETE => proxies.delete(name).await.map(|()| no_content()),
                _ => {
                    proxies.show(name)?;
                    let proxy = proxies.update(name, &ProxyRequest::read(&object(&body)?)?).await?;
                    Ok(shown(StatusCode::OK, &proxy))
                }
            },
            ApiRoute::Toxics(name) if is_get => {
                proxies.toxics(name, stats).map(|toxics| shown(StatusCode::OK, &toxics))
            }
            ApiRoute::Toxics(name) => {
                proxies.show(name)?;
                let toxic = proxies.add_toxic(name, &object(&body)?).await?;
                Ok(shown(StatusCode::OK, &toxic))
            }
            ApiRoute::Toxic(name, toxic) => match method {
                Method::GET => proxies.toxic(name, toxic, stats).map(|toxic| shown(StatusCode::OK, &toxic)),
                Method::DELETE => proxies.remove_toxic(name, toxic).await.map(|()| no_content()),
                _ => {
                    proxies.toxic(name, toxic, false)?;
                    let toxic = proxies.update_toxic(name, toxic, &object(&body)?).await?;
                    Ok(shown(StatusCode::OK, &toxic))
                }
            },
            ApiRoute::Populate => Ok(self.populate(&body).await),
            ApiRoute::Reset => proxies.reset().await.map(|()| no_content()),
            ApiRoute::Version => Ok(version()),
            ApiRoute::Metrics => match proxies.metrics().await {
                Some(metrics) => Ok(page(StatusCode::OK, Metrics::PLAIN, metrics)),
                None => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "every session has ended")),
            },
        }
    }

    async fn populate(&self, body: &[u8]) -> Page {
        let (in_place, end) = match proxies_of(body) {
            Ok(requests) => self.proxies.populate(requests).await,
            Err(error) => (Vec::new(), Err(error)),
        };
        match end {
            Ok(()) => shown(StatusCode::CREATED, &json!({ "proxies": in_place })),
            Err(ApiError { status, text }) => {
                shown(status, &json!({"error": text, "status": status.as_u16(), "proxies": in_place}))
            }
        }
    }
}

/// Pages in a browser, which may be of anybody, ask nothing here.
fn refuse_browser(headers: &HeaderMap) -> Option<Page> {
    let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    if agent.starts_with(b"Mozilla/") {
        return Some(text(StatusCode::FORBIDDEN, "User agent not allowed\n"));
    }
    let is_of_page = headers.contains_key(ORIGIN);
    is_of_page
        .then(|| text(StatusCode::FORBIDDEN, "a request of a web page, by its Origin, is not allowed\n"))
}

fn refuse_method(route: &ApiRoute) -> Page {
    let mut refusal = Page::default();
    *refusal.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let names: Vec<&str> = route.methods().iter().map(Method::as_str).collect();
    let names = HeaderValue::from_str(&names.join(", ")).expect("names of methods are a field's value");
    refusal.headers_mut().insert(ALLOW, names);
    refusal
}

/// Whether a query asks for what toxics have done.
fn has_stats(query: &str) -> bool {
    query.split('&').any(|pair| pair.split('=').next() == Some("stats"))
}

/// Ends a connection on which nothing is under way: its client reads the end, also if it asks at the same time.
async fn leave(socket: &Socket) -> io::Result<()> {
    socket.finish()?;
    http::linger(Stream(socket), &LIMITS).await.map(drop)
}

/// The connection is silent while it waits for a part of the body.
async fn read_body(body: Incoming, silence: &Silence) -> Result<Bytes, ApiError> {
    let wrong = |status, why: &str| ApiError::new(status, format!("bad request body: {why}"));
    silence.begin();
    let body = body.map_frame(|frame| {
        silence.begin();
        frame
    });
    let collected = within(Some(BODY_WAIT), Limited::new(body, BODY_BYTES_MAX).collect()).await;
    silence.end();
    match collected {
        Some(Ok(collected)) => Ok(collected.to_bytes()),
        Some(Err(error)) if error.is::<hyper::Error>() => {
            Err(wrong(StatusCode::BAD_REQUEST, "it was cut short, or its chunks are wrong"))
        }
        Some(Err(_)) => Err(wrong(StatusCode::PAYLOAD_TOO_LARGE, "it has more than 1 MiB")),
        None => Err(wrong(StatusCode::REQUEST_TIMEOUT, "it took more than 15 s")),
    }
}

/// The first JSON value of a body; what comes after it is ignored.
fn first_value(body: &[u8]) -> Result<Value, ApiError> {
    let first = serde_json::Deserializer::from_slice(body).into_iter::<Value>().next();
    let why = match first {
        Some(Ok(value)) => return Ok(value),
        Some(Err(error)) => error.to_string(),
        None => "it is empty".to_owned(),
    };
    Err(ToxicError::Body(why).into())
}

/// The object of a body; null is one that says nothing.
fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match first_value(body)? {
        Value::Object(object) => Ok(object),
        Value::Null => Ok(Map::new()),
        _ => Err(ToxicError::Body("it is no object".to_owned()).into()),
    }
}

/// The proxies of a populate.
fn proxies_of(body: &[u8]) -> Result<Vec<ProxyRequest>, ApiError> {
    let nothing = Map::new();
    let all = match first_value(body)? {
        Value::Array(all) => all,
        Value::Null => Vec::new(),
        _ => return Err(ToxicError::Body("it is no array".to_owned()).into()),
    };
    let read = |value: &Value| match value {
        Value::Object(object) => ProxyRequest::read(object),
        Value::Null => ProxyRequest::read(&nothing),
        _ => Err(ToxicError::Body("a proxy is an object".to_owned())),
    };
    Ok(all.iter().map(read).collect::<Result<_, _>>()?)
}

fn shown(status: StatusCode, value: &Value) -> Page {
    page(status, JSON, value.to_string())
}

fn told(ApiError { status, text }: &ApiError) -> Page {
    page(*status, JSON, format!("{}\n", json!({"error": text, "status": status.as_u16()})))
}

fn no_content() -> Page {
    let mut answer = Page::default();
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

fn version() -> Page {
    let own = env!("CARGO_PKG_VERSION");
    page(StatusCode::OK, JSON, format!("{{\"version\": \"{COMPATIBLE}\", \"switchboard\": \"{own}\"}}\n"))
}
