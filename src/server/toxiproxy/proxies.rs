//! The proxies of the API: what it may do with them, and how each is shown. One change comes after the other; looking waits
//! for none.

use crate::{
    control::toxic::{self, ToxicDraft, ToxicError},
    error::{Error, reason},
    net::{address::EscapedAddress, endpoint::Endpoint},
    runtime::blocking::blocking,
    server::{
        breaker::FaultOrder,
        operator::{Operator, REPLACED},
        plan::{PlannedApi, PlannedListener},
        toxiproxy::{
            planned::{self, ProxyLine, ProxyPlace, check_kind, is_same, listen_endpoint},
            request::{NewProxy, NewProxyError, ProxyRequest},
            traffic::{self, ProxyLabels},
        },
    },
    session::faults::{
        fault::{Fault, FaultPlan, FaultStream},
        set::{FaultRefusal, FaultSet},
    },
};
use futures::lock::{Mutex, MutexGuard, OwnedMutexGuard};
use hyper::StatusCode;
use serde_json::{Map, Value, json};
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashSet},
    io::ErrorKind,
    slice,
    sync::Arc,
};

pub struct Proxies {
    operator: Operator,
    /// What a listener is beside its name, its address and its upstream.
    template: PlannedListener,
    all: RefCell<BTreeMap<String, Proxy>>,
    /// Held by the one change that is under way.
    turn: Arc<Mutex<()>>,
}

/// What is known of a proxy beside its listener.
#[derive(Clone)]
struct Proxy {
    /// As it was given while it has never run; where it was bound after that.
    listen: String,
    upstream: String,
    /// Whether it is to be listened on, as the plan in force says.
    enabled: bool,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub text: String,
}

impl ApiError {
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        ApiError { status, text: text.into() }
    }

    fn no_proxy() -> Self {
        ApiError::new(StatusCode::NOT_FOUND, "proxy not found")
    }

    /// A proxy cannot listen at an address.
    fn listen(endpoint: &Endpoint, error: &Error) -> Self {
        let source = &error.source;
        let why = match source.kind() {
            ErrorKind::AddrInUse => "bind: address already in use".to_owned(),
            ErrorKind::PermissionDenied => "bind: permission denied".to_owned(),
            ErrorKind::AddrNotAvailable => "bind: cannot assign requested address".to_owned(),
            _ => reason(source),
        };
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("listen tcp {endpoint}: {why}"))
    }

    /// A text is no address to listen at.
    fn address(why: &str, operation: &str) -> Self {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{operation}{why}"))
    }
}

impl From<ToxicError> for ApiError {
    fn from(error: ToxicError) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<NewProxyError> for ApiError {
    fn from(error: NewProxyError) -> Self {
        let is_conflict = matches!(error, NewProxyError::SameName(_));
        let status = if is_conflict { StatusCode::CONFLICT } else { StatusCode::BAD_REQUEST };
        ApiError::new(status, error.to_string())
    }
}

impl From<FaultRefusal> for ApiError {
    fn from(refusal: FaultRefusal) -> Self {
        let status = match refusal {
            FaultRefusal::Exists => StatusCode::CONFLICT,
            FaultRefusal::NotFound => StatusCode::NOT_FOUND,
            FaultRefusal::TooMany | FaultRefusal::Wrong(_) => StatusCode::BAD_REQUEST,
            FaultRefusal::Ending(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        ApiError::new(status, refusal.to_string())
    }
}

/// What Go puts before a text that is no address, but for an update.
const LISTEN: &str = "listen tcp: ";

impl Proxies {
    /// Those of the plan are in force already.
    pub fn new(operator: Operator, api: &PlannedApi) -> Self {
        let all = api.proxies.iter().map(|planned| {
            let NewProxy { name, listen, upstream, enabled, .. } = planned.clone();
            let listen = operator.bound(&name).map_or(listen, |bound| EscapedAddress(&bound).to_string());
            (name, Proxy { listen, upstream, enabled })
        });
        let all = RefCell::new(all.collect());
        Proxies { operator, template: api.template.clone(), all, turn: Arc::default() }
    }

    /// Waits until no change is under way.
    /// Errors: another process makes the changes from now on.
    async fn turn(&self) -> Result<MutexGuard<'_, ()>, ApiError> {
        let turn = self.turn.lock().await;
        match self.operator.is_replaced() {
            true => Err(FaultRefusal::Ending(REPLACED).into()),
            false => Ok(turn),
        }
    }

    /// None is changed while the guard is there.
    pub async fn hold(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// A proxy, without its toxics.
    pub fn line(&self, name: &str) -> Option<Value> {
        let Proxy { listen, upstream, enabled } = self.get(name).ok()?;
        let listen = self.bound(name).unwrap_or(listen);
        Some(json!({"name": name, "listen": listen, "upstream": upstream, "enabled": enabled}))
    }

    pub fn list(&self) -> Value {
        let names: Vec<String> = self.all.borrow().keys().cloned().collect();
        let shown = names.into_iter().filter_map(|name| Some((name.clone(), self.show(&name).ok()?)));
        Value::Object(shown.collect())
    }

    pub fn show(&self, name: &str) -> Result<Value, ApiError> {
        let mut proxy = self.line(name).ok_or_else(ApiError::no_proxy)?;
        let toxics = self.faults(name).map(|faults| faults.all()).unwrap_or_default();
        proxy["toxics"] = in_order(toxics).iter().map(|fault| toxic::encode(fault)).collect();
        Ok(proxy)
    }

    pub async fn create(&self, request: ProxyRequest) -> Result<Value, ApiError> {
        let new = request.into_new()?;
        let _turn = self.turn().await?;
        if self.all.borrow().contains_key(&new.name) {
            return Err(ApiError::new(StatusCode::CONFLICT, "proxy already exists"));
        }
        self.add(slice::from_ref(&new)).await?;
        self.show(&new.name)
    }

    /// What is not said stays as it is. `listen` and `upstream` are changed together; either ends all sessions.
    pub async fn update(&self, name: &str, request: &ProxyRequest) -> Result<Value, ApiError> {
        let _turn = self.turn().await?;
        let former = self.get(name)?;
        let is_enabled = request.enabled.unwrap_or(former.enabled);
        let listen = self.moved(name, &former, request).await?;
        let upstream = request.upstream.as_ref().filter(|upstream| **upstream != former.upstream);
        if listen.is_some() || (upstream.is_some() && !is_enabled) {
            self.stop(name).await?;
        }
        let now = self.get(name)?;
        let runs = now.enabled;
        let next = Proxy {
            listen: listen.unwrap_or(now.listen),
            upstream: upstream.unwrap_or(&now.upstream).clone(),
            enabled: runs,
        };
        self.set(name, next);
        match (is_enabled, runs) {
            // It goes on listening; its sessions led elsewhere.
            (true, true) if upstream.is_some() => {
                let line = self.planned(name, ProxyPlace::Same)?;
                self.plan(vec![line]).await.map_err(|error| internal(&error))?;
                self.operator.end_sessions(name).await;
            }
            (true, false) => self.start(name).await?,
            (false, true) => self.stop(name).await?,
            // A scenario may enable it.
            (false, false) => self.plan_off(name).await?,
            (true, true) => {}
        }
        self.show(name)
    }

    /// The place that a proxy is to move to; none if it stays.
    /// Errors: it is none, or its toxics cannot be there.
    async fn moved(
        &self,
        name: &str,
        former: &Proxy,
        request: &ProxyRequest,
    ) -> Result<Option<String>, ApiError> {
        let Some(listen) = &request.listen else { return Ok(None) };
        let wanted = resolved(listen).await.map_err(|why| ApiError::address(&why, ""))?;
        if self.is_at(former, &wanted).await {
            return Ok(None);
        }
        for fault in self.faults(name).map(|faults| faults.all()).unwrap_or_default() {
            check_kind(fault.plan().kind, listen).map_err(FaultRefusal::Wrong)?;
        }
        Ok(Some(listen.clone()))
    }

    pub async fn delete(&self, name: &str) -> Result<(), ApiError> {
        let _turn = self.turn().await?;
        self.get(name)?;
        self.forget(vec![name.to_owned()]).await?;
        self.all.borrow_mut().remove(name);
        self.operator.end_sessions(name).await;
        Ok(())
    }

    /// Has proxies be as they are said to be; others stay. The first that fails ends it, and those before it stay. The answer
    /// has those that are in place, in the order of the request.
    pub async fn populate(&self, requests: Vec<ProxyRequest>) -> (Vec<Value>, Result<(), ApiError>) {
        let new = match news(requests) {
            Ok(new) => new,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let (mut in_place, mut rest) = (Vec::new(), &new[..]);
        let _turn = match self.turn().await {
            Ok(turn) => turn,
            Err(error) => return (in_place, Err(error)),
        };
        while !rest.is_empty() {
            let run;
            (run, rest) = rest.split_at(self.run_of_new(rest).max(1));
            if run.len() > 1 && self.add(run).await.is_ok() {
                in_place.extend(run.iter().filter_map(|proxy| self.show(&proxy.name).ok()));
                continue;
            }
            // One by one: those before the first that fails stay.
            for proxy in run {
                if let Err(error) = self.put(proxy).await {
                    return (in_place, Err(error));
                }
                in_place.extend(self.show(&proxy.name));
            }
        }
        (in_place, Ok(()))
    }

    /// How many of these are new, each with another name, up to the first that is not.
    fn run_of_new(&self, proxies: &[NewProxy]) -> usize {
        let (all, mut names) = (self.all.borrow(), HashSet::new());
        proxies.iter().take_while(|new| !all.contains_key(&new.name) && names.insert(&new.name)).count()
    }

    /// Starts every proxy, and removes all toxics. The first that cannot start ends it.
    pub async fn reset(&self) -> Result<(), ApiError> {
        let _turn = self.turn().await?;
        let names: Vec<String> = self.all.borrow().keys().cloned().collect();
        for name in names {
            if !self.get(&name)?.enabled {
                self.start(&name).await?;
            }
            self.operator.order_fault(&name, FaultOrder::Clear).await?;
        }
        Ok(())
    }

    /// With `stats`, what each has done.
    pub fn toxics(&self, proxy: &str, stats: bool) -> Result<Value, ApiError> {
        let toxics = in_order(self.set_of(proxy)?.all());
        Ok(toxics.iter().map(|fault| shown(fault, stats)).collect())
    }

    pub fn toxic(&self, proxy: &str, toxic: &str, stats: bool) -> Result<Value, ApiError> {
        self.find(proxy, toxic).map(|fault| shown(&fault, stats))
    }

    pub async fn add_toxic(&self, proxy: &str, object: &Map<String, Value>) -> Result<Value, ApiError> {
        let set = self.set_of(proxy)?;
        let draft = ToxicDraft::read(object)?;
        // Told before its attributes are looked at.
        if set.find(&draft.name).is_some() {
            return Err(FaultRefusal::Exists.into());
        }
        let plan = draft.plan()?;
        // A listener that is about to move is not yet where it is to be.
        let _turn = if plan.kind.is_of_listener() { Some(self.turn().await?) } else { None };
        // Nor is that of a proxy that never ran.
        check_kind(plan.kind, &self.get(proxy)?.listen).map_err(FaultRefusal::Wrong)?;
        let order = FaultOrder::Add(Box::new(plan));
        self.order(proxy, order).await
    }

    pub async fn update_toxic(
        &self,
        proxy: &str,
        toxic: &str,
        object: &Map<String, Value>,
    ) -> Result<Value, ApiError> {
        let fault = self.find(proxy, toxic)?;
        let change = toxic::decode_change(fault.plan().kind, object)?;
        self.order(proxy, FaultOrder::Update(toxic.to_owned(), change)).await
    }

    pub async fn remove_toxic(&self, proxy: &str, toxic: &str) -> Result<(), ApiError> {
        self.find(proxy, toxic)?;
        self.order(proxy, FaultOrder::Remove(toxic.to_owned())).await.map(drop)
    }

    /// The metrics of the server and of the proxies; none if the server has ended.
    pub async fn metrics(&self) -> Option<String> {
        let metrics = self.operator.metrics().await?;
        let labels = |(name, proxy): (&String, &Proxy)| ProxyLabels {
            name: name.clone(),
            listen: self.bound(name).unwrap_or_else(|| proxy.listen.clone()),
            upstream: proxy.upstream.clone(),
        };
        let proxies: Vec<_> = self.all.borrow().iter().map(labels).collect();
        let own = traffic::series(&proxies, &metrics.tally);
        Some(metrics.plain() + &own)
    }

    fn get(&self, name: &str) -> Result<Proxy, ApiError> {
        let mut proxy = self.all.borrow().get(name).cloned().ok_or_else(ApiError::no_proxy)?;
        // A fault or a scenario may have closed it, or opened it.
        proxy.enabled = self.operator.is_enabled(name).unwrap_or(false);
        Ok(proxy)
    }

    fn set(&self, name: &str, proxy: Proxy) {
        self.all.borrow_mut().insert(name.to_owned(), proxy);
    }

    fn bound(&self, name: &str) -> Option<String> {
        self.operator.bound(name).map(|address| EscapedAddress(&address).to_string())
    }

    fn faults(&self, name: &str) -> Option<Arc<FaultSet>> {
        self.operator.fault_set(name)
    }

    fn set_of(&self, proxy: &str) -> Result<Arc<FaultSet>, ApiError> {
        self.get(proxy)?;
        self.faults(proxy).ok_or_else(ApiError::no_proxy)
    }

    fn find(&self, proxy: &str, toxic: &str) -> Result<Arc<Fault>, ApiError> {
        self.set_of(proxy)?.find(toxic).ok_or_else(|| FaultRefusal::NotFound.into())
    }

    async fn order(&self, proxy: &str, order: FaultOrder) -> Result<Value, ApiError> {
        let faults = self.operator.order_fault(proxy, order).await?;
        Ok(faults.first().map(|fault| toxic::encode(fault)).unwrap_or_default())
    }

    /// Whether a proxy is at this place.
    async fn is_at(&self, proxy: &Proxy, wanted: &Endpoint) -> bool {
        resolved(&proxy.listen).await.is_ok_and(|own| is_same(&own, wanted))
    }

    /// A proxy of a populate: left alone if it is there at the same addresses, else in place of the one of its name.
    async fn put(&self, new: &NewProxy) -> Result<(), ApiError> {
        let Ok(former) = self.get(&new.name) else { return self.add(slice::from_ref(new)).await };
        let wanted = resolved(&new.listen).await.map_err(|why| ApiError::address(&why, LISTEN))?;
        if former.upstream == new.upstream && self.is_at(&former, &wanted).await {
            return Ok(());
        }
        self.stop(&new.name).await?;
        self.operator.order_fault(&new.name, FaultOrder::Clear).await?;
        let Proxy { listen, upstream, .. } = self.get(&new.name)?;
        let next = Proxy { listen: new.listen.clone(), upstream: new.upstream.clone(), enabled: false };
        self.set(&new.name, next);
        // Its toxics are those of the new place.
        self.plan_off(&new.name).await?;
        self.arm(&new.name, &new.toxics).await?;
        if !new.enabled {
            return Ok(());
        }
        let started = self.start(&new.name).await;
        if started.is_err() {
            self.set(&new.name, Proxy { listen, upstream, enabled: false });
            self.operator.order_fault(&new.name, FaultOrder::Clear).await?;
            self.plan_off(&new.name).await?;
        }
        started
    }

    /// Adds proxies, all in one change. None is seen before it is made.
    /// Errors: of one that cannot be; there is none of them then.
    async fn add(&self, new: &[NewProxy]) -> Result<(), ApiError> {
        let made = self.make(new).await;
        if made.is_err() {
            let _ = self.forget(new.iter().map(|one| one.name.clone()).collect()).await;
            return made;
        }
        for NewProxy { name, listen, upstream, enabled, .. } in new {
            let listen = self.bound(name).unwrap_or_else(|| listen.clone());
            self.set(name, Proxy { listen, upstream: upstream.clone(), enabled: *enabled });
        }
        Ok(())
    }

    /// Has the plan have new proxies. Their toxics are there before their first session.
    async fn make(&self, new: &[NewProxy]) -> Result<(), ApiError> {
        let line = |new: &NewProxy, listen| {
            let (name, upstream) = (new.name.clone(), new.upstream.clone());
            ProxyLine { name, upstream, listen }
        };
        let mut listening = Vec::new();
        for one in new.iter().filter(|one| one.enabled) {
            let endpoint = resolved(&one.listen).await.map_err(|why| ApiError::address(&why, LISTEN))?;
            listening.push((one, endpoint));
        }
        let mut first = Vec::new();
        for one in new.iter().filter(|one| !one.enabled || !one.toxics.is_empty()) {
            first.push(line(one, ProxyPlace::Off(resolved(&one.listen).await.ok())));
        }
        if !first.is_empty() {
            self.plan(first).await.map_err(|error| internal(&error))?;
        }
        for one in new {
            self.arm(&one.name, &one.toxics).await?;
        }
        let Some((_, endpoint)) = listening.first().cloned() else { return Ok(()) };
        let listening = listening.into_iter().map(|(one, endpoint)| line(one, ProxyPlace::At(endpoint)));
        self.plan(listening.collect()).await.map_err(|error| ApiError::listen(&endpoint, &error))
    }

    async fn arm(&self, name: &str, toxics: &[FaultPlan]) -> Result<(), ApiError> {
        for toxic in toxics {
            self.operator.order_fault(name, FaultOrder::Add(Box::new(toxic.clone()))).await?;
        }
        Ok(())
    }

    /// Listens for a proxy, to lead to its upstream. If that fails, it is not enabled.
    async fn start(&self, name: &str) -> Result<(), ApiError> {
        let proxy = self.get(name)?;
        let endpoint = resolved(&proxy.listen).await.map_err(|why| ApiError::address(&why, LISTEN))?;
        let line = self.planned(name, ProxyPlace::At(endpoint.clone()))?;
        if let Err(error) = self.plan(vec![line]).await {
            self.plan_off(name).await?;
            return Err(ApiError::listen(&endpoint, &error));
        }
        let listen = self.bound(name).unwrap_or(proxy.listen);
        self.set(name, Proxy { listen, upstream: proxy.upstream, enabled: true });
        Ok(())
    }

    /// Has the plan have a proxy that is not enabled where it is to be once it is.
    async fn plan_off(&self, name: &str) -> Result<(), ApiError> {
        let place = resolved(&self.get(name)?.listen).await.ok();
        let line = self.planned(name, ProxyPlace::Off(place))?;
        self.plan(vec![line]).await.map_err(|error| internal(&error))
    }

    /// Closes the listener of a proxy, and ends its sessions.
    async fn stop(&self, name: &str) -> Result<(), ApiError> {
        let proxy = self.get(name)?;
        if proxy.enabled {
            self.set(name, Proxy { enabled: false, ..proxy });
            self.operator.set_enabled(name, false).await.map_err(|error| internal(&error))?;
        }
        Ok(())
    }

    fn planned(&self, name: &str, listen: ProxyPlace) -> Result<ProxyLine, ApiError> {
        let upstream = self.get(name)?.upstream;
        Ok(ProxyLine { name: name.to_owned(), upstream, listen })
    }

    /// Has the plan have proxies.
    async fn plan(&self, proxies: Vec<ProxyLine>) -> Result<(), Error> {
        let template = self.template.clone();
        let edit = move |plan: &mut _, _: &_| {
            planned::put(plan, &template, proxies);
            Ok(())
        };
        self.operator.change(edit).await
    }

    async fn forget(&self, names: Vec<String>) -> Result<(), ApiError> {
        let edit = move |plan: &mut _, _: &_| {
            planned::remove(plan, &names);
            Ok(())
        };
        self.operator.change(edit).await.map_err(|error| internal(&error))
    }
}

fn internal(error: &Error) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// The place of a listen text. A name may take its time.
async fn resolved(listen: &str) -> Result<Endpoint, String> {
    let listen = listen.to_owned();
    blocking(move || listen_endpoint(&listen)).await
}

/// What a populate asks for. It is checked as a whole before anything is done; places count from 1.
fn news(requests: Vec<ProxyRequest>) -> Result<Vec<NewProxy>, ApiError> {
    let at = |index: usize, error: NewProxyError| {
        let ApiError { status, text } = error.into();
        ApiError { status, text: format!("{text} at proxy {}", index + 1) }
    };
    for (index, request) in requests.iter().enumerate() {
        request.check().map_err(|error| at(index, error))?;
    }
    let new = requests.into_iter().enumerate();
    new.map(|(index, request)| request.into_new().map_err(|error| at(index, error))).collect()
}

fn shown(fault: &Fault, stats: bool) -> Value {
    if stats { toxic::encode_with_stats(fault) } else { toxic::encode(fault) }
}

/// Those of the stream to the upstream first.
fn in_order(faults: Vec<Arc<Fault>>) -> Vec<Arc<Fault>> {
    let (mut first, then): (Vec<_>, Vec<_>) =
        faults.into_iter().partition(|fault| fault.plan().stream == FaultStream::Upstream);
    first.extend(then);
    first
}
