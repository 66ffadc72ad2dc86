//! How many sessions each source has at once, and the limit (`--max-per-source`, `--source-prefix`).

use crate::{
    net::{address::Address, network::Network},
    runtime::lock::Lock,
};
use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{Arc, MutexGuard},
};

/// The network that one customer gets (RFC 6177): of the addresses in it, that customer's machines take what they like.
pub const SOURCE_PREFIX: u8 = 64;

/// How many sessions one source may have at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceLimit {
    pub sessions: usize,
    /// The number of leading bits of an IPv6 address that make a source. An IPv4 address is one.
    pub prefix: u8,
}

/// The sources of a server are spread over as many maps, so that shards seldom wait for each other.
const STRIPES: usize = 16;

/// The sessions of each source, on all shards, and their limit. Clients of a UNIX socket have no source.
pub struct SourceCounts {
    limit: SourceLimit,
    counts: Arc<Counts>,
}

/// A session that counts for its source, for as long as this is there.
pub struct Counted {
    counts: Arc<Counts>,
    source: Network,
}

#[derive(Default)]
struct Counts {
    stripes: [Lock<HashMap<Network, usize>>; STRIPES],
    hasher: RandomState,
}

impl SourceCounts {
    /// No sessions yet.
    pub fn new(limit: SourceLimit) -> Self {
        SourceCounts { limit, counts: Arc::default() }
    }

    /// The same counts under another limit. Sources of another size are counted anew.
    pub fn with_limit(former: Option<&Arc<Self>>, limit: SourceLimit) -> Arc<Self> {
        let former = former.filter(|former| former.limit.prefix == limit.prefix);
        let counts = former.map_or_else(Arc::default, |former| former.counts.clone());
        Arc::new(SourceCounts { limit, counts })
    }

    /// Counts a session of `client`.
    /// Errors: why its source may have no more, in words.
    /// None: it has no source.
    pub fn enter(&self, client: &Address) -> Result<Option<Counted>, Box<str>> {
        let Some(source) = client.ip().map(|ip| Network::around(ip, self.limit.prefix)) else {
            return Ok(None);
        };
        let mut counts = self.counts.of(&source);
        let (count, limit) = (counts.entry(source).or_default(), self.limit.sessions);
        if *count >= limit {
            let sessions = if limit == 1 { "session" } else { "sessions" };
            return Err(format!("{source} has {limit} {sessions} already").into());
        }
        *count += 1;
        Ok(Some(Counted { counts: self.counts.clone(), source }))
    }
}

impl Counts {
    /// The map of a source.
    fn of(&self, source: &Network) -> MutexGuard<'_, HashMap<Network, usize>> {
        let stripe = self.hasher.hash_one(source) as usize % STRIPES;
        // Every change under the lock is one step.
        self.stripes[stripe].lock()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.counts.of(&self.source).entry(self.source) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn client(text: &str) -> Address {
        Address::Tcp(text.parse::<SocketAddr>().unwrap())
    }

    #[test]
    fn the_addresses_of_one_prefix_count_together() {
        let counts = SourceCounts::new(SourceLimit { sessions: 3, prefix: SOURCE_PREFIX });
        let three: Vec<_> =
            (1..=3).map(|host| counts.enter(&client(&format!("[2001:db8::{host}]:1"))).unwrap()).collect();
        let refusal = counts.enter(&client("[2001:db8::ffff:4]:1")).err().unwrap();
        assert_eq!(&*refusal, "2001:db8::/64 has 3 sessions already");
        let _other = counts.enter(&client("[2001:db8:0:1::4]:1")).unwrap();
        drop(three);
        let _again = counts.enter(&client("[2001:db8::4]:1")).unwrap();
    }

    #[test]
    fn an_ipv4_address_is_a_source_also_if_it_is_mapped() {
        let counts = SourceCounts::new(SourceLimit { sessions: 1, prefix: 1 });
        let one = counts.enter(&client("[::ffff:10.0.0.1]:1")).unwrap();
        let _two = counts.enter(&client("10.0.0.2:1")).unwrap();
        let refusal = counts.enter(&client("10.0.0.1:2")).err().unwrap();
        assert_eq!(&*refusal, "10.0.0.1 has 1 session already");
        drop(one);
        counts.enter(&client("[::ffff:10.0.0.1]:2")).unwrap();
    }

    #[test]
    fn what_has_no_source_is_not_counted() {
        let counts = SourceCounts::new(SourceLimit { sessions: 1, prefix: 64 });
        (0..2).for_each(|_| assert!(counts.enter(&Address::unnamed()).unwrap().is_none()));
        assert!(counts.counts.stripes.iter().all(|stripe| stripe.lock().is_empty()));
    }
}
