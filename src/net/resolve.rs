//! Names to addresses, off the executor, with a bound of its own.
//!
//! getaddrinfo(3) cannot be cancelled: if a name server is silent, a lookup holds its thread until the system's resolver
//! gives up. So sessions that ask for the same name within a second share one lookup, and the number of lookups is bounded.

use crate::{
    error::reason,
    net::{
        dial::Override,
        listener::{AcceptError, classify},
        socket::stream_socket,
    },
    runtime::{
        blocking::blocking,
        clock::coarse_ms,
        limit::{Slots, descriptors},
        lock::Lock,
        shard::shared,
        task::contain,
    },
};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use rustix::{io::Errno, net::AddressFamily};
use std::{
    collections::{HashSet, VecDeque},
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    os::fd::OwnedFd,
    sync::Arc,
};

/// Lookups at once; each holds a thread while it lasts.
const LOOKUPS_MAX: usize = 32;
/// A lookup that began this long ago is not joined: the answer may be stale, or the question lost.
const JOIN_MS: u64 = 1000;

/// The program's lookups.
struct Lookups {
    slots: Slots,
    under_way: Lock<Vec<Lookup>>,
}

type Answer = Result<Arc<[IpAddr]>, Arc<io::Error>>;

struct Lookup {
    name: String,
    began_ms: u64,
    answer: Shared<BoxFuture<'static, Answer>>,
}

/// The addresses of `host`, in the system's order of preference (RFC 6724), families interleaved (RFC 8305 §4).
/// Fails if the name has no address; with `EMFILE` if the resolver may not have had the descriptors that it needs. There is no
/// time limit here.
pub async fn resolve(host: &str, port: u16, overrides: &[Override]) -> io::Result<Vec<SocketAddr>> {
    let fixed = overrides.iter().find(|entry| entry.port == port && entry.host.eq_ignore_ascii_case(host));
    if let Some(entry) = fixed {
        return Ok(entry.addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect());
    }
    match shared_lookup(host).await {
        Ok(addresses) => Ok(interleave(&addresses, port)),
        Err(error) => Err(error
            .raw_os_error()
            .map_or_else(|| io::Error::new(error.kind(), reason(&error)), io::Error::from_raw_os_error)),
    }
}

impl Default for Lookups {
    fn default() -> Self {
        Lookups { slots: Slots::new(LOOKUPS_MAX), under_way: Lock::default() }
    }
}

fn shared_lookup(host: &str) -> Shared<BoxFuture<'static, Answer>> {
    let lookups = shared::<Lookups>();
    let mut under_way = lookups.under_way.lock();
    // Read under the lock: a time from before it may lie before the begin of a lookup that another shard has just added.
    let now = coarse_ms();
    let is_young = |lookup: &Lookup| now.saturating_sub(lookup.began_ms) < JOIN_MS;
    under_way.retain(|lookup| lookup.answer.peek().is_none() && is_young(lookup));
    if let Some(lookup) = under_way.iter().find(|lookup| lookup.name == host) {
        return lookup.answer.clone();
    }
    let answer = lookup(lookups.slots.clone(), host.to_owned(), ask).boxed().shared();
    under_way.push(Lookup { name: host.to_owned(), began_ms: now, answer: answer.clone() });
    answer
}

/// Asks the system's resolver, and blocks the thread until it answers.
fn ask(host: &str) -> io::Result<Vec<IpAddr>> {
    Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// Whether the process, or the system, has fewer than `count` descriptors to give.
pub(super) fn lacks_descriptors(count: usize) -> bool {
    let open = (0..count).map(|_| stream_socket(AddressFamily::UNIX));
    open.collect::<io::Result<Vec<OwnedFd>>>().is_err_and(|error| classify(&error) == AcceptError::Resources)
}

async fn lookup(slots: Slots, host: String, ask: fn(&str) -> io::Result<Vec<IpAddr>>) -> Answer {
    // The slot goes with the thread: a lookup that no session awaits any more still holds its thread.
    let slot = slots.take().await;
    let queue = descriptors();
    let work = move || {
        let _slot = slot;
        let shortages = queue.shortages();
        // The resolver does not say that it had no descriptor.
        ask(&host).map_err(|error| match queue.shortages() != shortages || lacks_descriptors(1) {
            true => Errno::MFILE.into(),
            false => error,
        })
    };
    let found = contain(blocking(work)).await;
    let found = found.map_err(|panicked| io::Error::other(panicked.to_string())).flatten()?;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
    }
    Ok(found.into())
}

/// Alternates between the families, beginning with that of the first address; drops what comes twice.
fn interleave(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let (mut one, mut other): (VecDeque<IpAddr>, VecDeque<IpAddr>) =
        addresses.iter().filter(|ip| seen.insert(**ip)).partition(|ip| ip.is_ipv4() == first_is_v4);
    let mut mixed = Vec::new();
    while !one.is_empty() || !other.is_empty() {
        mixed.extend(one.pop_front().into_iter().chain(other.pop_front()));
    }
    mixed.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{clock::within, limit::WaitQueue, shard::run};
    use std::{
        sync::{
            OnceLock, RwLock,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        thread,
        time::{Duration, Instant},
    };

    /// Longer than anything healthy takes on a busy machine.
    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_lookup_that_no_session_awaits_holds_its_slot_as_long_as_its_thread() {
        static NAME_SERVER: RwLock<()> = RwLock::new(());
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let ask = |_: &str| {
            ASKED.fetch_add(1, SeqCst);
            drop(NAME_SERVER.read());
            Ok(Vec::new())
        };
        let silent = NAME_SERVER.write().unwrap();
        let slots = Slots::new(LOOKUPS_MAX);
        let mut lookups: Vec<_> =
            (0..LOOKUPS_MAX).map(|_| Box::pin(lookup(slots.clone(), "silent.test".into(), ask))).collect();
        let begin = Instant::now();
        while ASKED.load(SeqCst) < LOOKUPS_MAX {
            assert!(lookups.iter_mut().all(|lookup| lookup.now_or_never().is_none()));
            assert!(begin.elapsed() < LIMIT, "{ASKED:?} threads ask");
            thread::sleep(Duration::from_millis(1));
        }
        drop(lookups);
        let mut next = Box::pin(lookup(slots.clone(), "next.test".into(), ask));
        assert!((&mut next).now_or_never().is_none());
        assert_eq!((slots.count().0, ASKED.load(SeqCst)), (LOOKUPS_MAX, LOOKUPS_MAX));
        drop(silent);
        let answer = run(within(Some(LIMIT), next)).unwrap().expect("the next one has its turn");
        assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_lookup_that_fails_while_others_find_no_descriptor_has_had_none() {
        fn unknown(_: &str) -> io::Result<Vec<IpAddr>> {
            Err(io::ErrorKind::NotFound.into())
        }
        static QUEUE: OnceLock<Arc<WaitQueue>> = OnceLock::new();
        let in_a_shortage = |name: &str| {
            QUEUE.get().unwrap().note_shortage();
            unknown(name)
        };
        run(async {
            let fails = async |ask| lookup(Slots::new(1), "unknown.test".into(), ask).await.unwrap_err();
            let _ = QUEUE.set(descriptors());
            assert_eq!(classify(&*fails(in_a_shortage).await), AcceptError::Resources);
            assert_eq!(fails(unknown).await.kind(), io::ErrorKind::NotFound);
        })
        .unwrap();
    }

    #[test]
    fn a_lookup_that_another_thread_began_a_moment_later_is_joined() {
        const NAME: &str = "later.test";
        run(async {
            let (answer, lookups) = (futures::future::pending().boxed().shared(), shared::<Lookups>());
            let under_way = || lookups.under_way.lock();
            under_way().push(Lookup { name: NAME.into(), began_ms: coarse_ms() + 1000, answer });
            drop(shared_lookup(NAME));
            assert_eq!(under_way().len(), 1);
        })
        .unwrap();
    }

    #[test]
    fn neither_an_old_lookup_nor_one_that_has_its_answer_is_joined() {
        let silent = futures::future::pending().boxed().shared();
        let answered = futures::future::ready(Ok([].into())).boxed().shared();
        assert!(answered.clone().now_or_never().is_some());
        run(async {
            for (name, began_ms, answer) in
                [("old.test", coarse_ms() - JOIN_MS, silent), ("answered.test", coarse_ms(), answered)]
            {
                let lookup = Lookup { name: name.into(), began_ms, answer: answer.clone() };
                shared::<Lookups>().under_way.lock().push(lookup);
                assert!(!shared_lookup(name).ptr_eq(&answer), "{name}");
            }
        })
        .unwrap();
    }

    #[test]
    fn families_take_turns_and_nothing_comes_twice() {
        let addresses: Vec<IpAddr> = ["::1", "::2", "::1", "10.0.0.1", "10.0.0.2", "10.0.0.3"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let mixed: Vec<String> =
            interleave(&addresses, 7).iter().map(|address| address.ip().to_string()).collect();
        assert_eq!(mixed, ["::1", "10.0.0.1", "::2", "10.0.0.2", "10.0.0.3"]);
    }
}
