//! Which server a request is for. A page in a browser can make a name of its own lead to this machine (DNS rebinding) and read
//! what it then asks for. Such a request names that host, so only names that no other can own are answered.

use hyper::{Request, Version, header::HOST, http::uri::Authority};
use std::net::{IpAddr, Ipv6Addr};

/// What a request's host is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// This server.
    Us,
    /// Another server.
    Other,
    /// It names none, or not one (RFC 9112 §3.2).
    Unclear,
}

/// Judges a request's `Host` and the host of its target if that names one. `own` is our name, as configured.
pub fn addressee<B>(request: &Request<B>, own: Option<&str>) -> Addressee {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => match Authority::try_from(host.as_bytes()) {
            Ok(host) => Some(host),
            Err(_) => return Addressee::Unclear,
        },
        // HTTP/1.0 knows no Host, and no browser speaks it.
        (None, _) if request.version() < Version::HTTP_11 => None,
        _ => return Addressee::Unclear,
    };
    let named = host.iter().chain(request.uri().authority());
    let foreign = named.into_iter().any(|authority| !is_ours(authority, own));
    if foreign { Addressee::Other } else { Addressee::Us }
}

fn is_ours(authority: &Authority, own: Option<&str>) -> bool {
    let host = authority.host();
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let literal = match v6 {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<IpAddr>().is_ok(),
    };
    let name = |name: &str| host.eq_ignore_ascii_case(name);
    !authority.as_str().contains('@') && (literal || name("localhost") || own.is_some_and(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(target: &str, hosts: &[&str]) -> Addressee {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        addressee(&request.body(()).unwrap(), Some("box.example"))
    }

    #[test]
    fn addresses_localhost_and_the_configured_name_are_ours() {
        for host in
            ["127.0.0.1:9", "10.0.0.1", "[::1]:9", "[::1]", "localhost:9", "LocalHost", "BOX.example:1"]
        {
            assert_eq!(judged("/", &[host]), Addressee::Us, "{host}");
            assert_eq!(judged(&format!("http://{host}/"), &[host]), Addressee::Us, "{host}");
        }
    }

    #[test]
    fn any_other_name_is_not() {
        for host in [
            "evil.example",
            "localhost.evil.example:9",
            "127.0.0.1.evil.example",
            "localhost.",
            "a@127.0.0.1",
            "1",
        ] {
            assert_eq!(judged("/", &[host]), Addressee::Other, "{host}");
        }
        assert_eq!(judged("http://evil.example/", &["localhost"]), Addressee::Other);
        assert_eq!(judged("http://localhost/", &["evil.example"]), Addressee::Other);
    }

    #[test]
    fn no_host_two_and_none_that_can_be_read_are_unclear() {
        for hosts in [&[][..], &["localhost", "localhost"], &[""], &["a b"], &["[::1"]] {
            assert_eq!(judged("/", hosts), Addressee::Unclear, "{hosts:?}");
        }
        let old = Request::builder().version(Version::HTTP_10).body(()).unwrap();
        assert_eq!(addressee(&old, None), Addressee::Us);
    }
}
