//! Networks as users write them: an address and a prefix length (CIDR, RFC 4632).

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    /// One of its addresses.
    pub ip: IpAddr,
    /// The leading bits that all of them share.
    pub bits: u8,
}

const V4_BITS: u8 = 32;
pub const V6_BITS: u8 = 128;
/// The bits of an IPv4-mapped address before those of the IPv4 address.
const MAPPED_BITS: u8 = 96;

impl Network {
    /// The network in which `ip` has its place: an IPv4 address alone; of an IPv6 address the first `bits`. All addresses
    /// of one network give the same value.
    pub fn around(ip: IpAddr, bits: u8) -> Self {
        match ip.to_canonical() {
            ip @ IpAddr::V4(_) => Network { ip, bits: V4_BITS },
            IpAddr::V6(v6) => {
                let bits = bits.min(V6_BITS);
                let mask = u128::MAX.checked_shl(u32::from(V6_BITS - bits)).unwrap_or(0);
                Network { ip: Ipv6Addr::from_bits(v6.to_bits() & mask).into(), bits }
            }
        }
    }

    /// Whether `ip` is one of its addresses. An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) is the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let mapped = |ip| match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let bits = if self.ip.is_ipv4() { MAPPED_BITS + self.bits.min(V4_BITS) } else { self.bits };
        let differs = mapped(self.ip) ^ mapped(ip);
        let shared = differs.checked_shr(u128::BITS - u32::from(bits.min(V6_BITS))).unwrap_or(0) == 0;
        // A wider network of IPv6 addresses has no IPv4 address.
        shared && (bits >= MAPPED_BITS || ip.to_canonical().is_ipv6())
    }

    /// Whether every address of `other` is one of its addresses.
    pub fn covers(&self, other: &Network) -> bool {
        let wide =
            |network: &Network| if network.ip.is_ipv4() { MAPPED_BITS + network.bits } else { network.bits };
        wide(self) <= wide(other) && self.contains(other.ip)
    }
}

/// Who may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Empty: everybody who is not denied.
    pub allow: Vec<Network>,
    /// Judged first.
    pub deny: Vec<Network>,
}

/// Why a source may not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("deny has {0}")]
    Deny(Network),
    #[error("allow does not have it")]
    NotAllowed,
}

impl Access {
    /// Judges a source. One without an IP address, of a UNIX socket, has its permissions from the file.
    pub fn judge(&self, source: Option<IpAddr>) -> Result<(), Denied> {
        let Some(ip) = source else { return Ok(()) };
        if let Some(network) = self.deny.iter().find(|network| network.contains(ip)) {
            return Err(Denied::Deny(*network));
        }
        let allowed = self.allow.is_empty() || self.allow.iter().any(|network| network.contains(ip));
        if allowed { Ok(()) } else { Err(Denied::NotAllowed) }
    }
}

fn bits_of(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { V4_BITS } else { V6_BITS }
}

impl FromStr for Network {
    type Err = String;

    /// `10.0.0.0/8`, or one address; an IPv6 address may stand in brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let inner = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let ip: IpAddr = inner
            .parse()
            .map_err(|_| format!("{address:?} is not an IP address; write one like 127.0.0.1 or [::1]"))?;
        let most = bits_of(ip);
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most));
        let bits = bits.ok_or_else(|| format!("the bits after the slash are a number from 0 to {most}"))?;
        Ok(Network { ip, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ip)?;
        if self.bits == bits_of(self.ip) { Ok(()) } else { write!(f, "/{}", self.bits) }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_the_addresses_that_begin_with_its_bits() {
        for (network, bits, ip, inside) in [
            ("10.0.0.0", 8, "10.200.3.4", true),
            ("10.0.0.0", 8, "11.0.0.0", false),
            ("10.0.0.1", 32, "10.0.0.1", true),
            ("10.0.0.1", 32, "10.0.0.2", false),
            ("0.0.0.0", 0, "200.0.0.1", true),
            ("0.0.0.0", 0, "::1", false),
            ("fe80::", 10, "fe80::1", true),
            ("::", 0, "fe80::1", true),
            ("::1", 128, "::2", false),
            ("10.0.0.0", 8, "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0", 104, "10.1.2.3", true),
            ("::ffff:10.0.0.0", 104, "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0", 104, "11.1.2.3", false),
            ("::ffff:0.0.0.0", 96, "11.1.2.3", true),
            ("::", 0, "10.1.2.3", false),
        ] {
            let network = Network { ip: network.parse().unwrap(), bits };
            assert_eq!(network.contains(ip.parse().unwrap()), inside, "{network:?} {ip}");
        }
    }

    #[test]
    fn the_addresses_of_one_network_give_the_same_value() {
        for (ip, bits, network) in [
            ("2001:db8::1", 64, "2001:db8::/64"),
            ("2001:db8::ffff:1", 64, "2001:db8::/64"),
            ("2001:db8:0:1::1", 64, "2001:db8:0:1::/64"),
            ("2001:db8::1", 128, "2001:db8::1"),
            ("2001:db8:ffff::1", 33, "2001:db8:8000::/33"),
            ("fe80::1", 1, "8000::/1"),
            ("fe80::1", 0, "::/0"),
            ("10.1.2.3", 8, "10.1.2.3"),
            ("::ffff:10.1.2.3", 64, "10.1.2.3"),
        ] {
            let found = Network::around(ip.parse().unwrap(), bits);
            assert_eq!(found.to_string(), network, "{ip}");
            assert_eq!(network.parse(), Ok(found));
        }
    }
}
