//! Which server a request is for. A page in a browser can make a name of its own lead to this machine (DNS rebinding) and read
//! what it then asks for. Such a request names that host, so only names that no other can own are answered.

use crate::net::http::{Page, text};
use hyper::{Request, StatusCode, Version, header::HOST, http::uri::Authority};
use std::net::{IpAddr, Ipv6Addr};

/// Refuses a request that is not for us, by its `Host` and by the host of its target if that names one. `own` is our name, as
/// configured.
pub fn refuse<B>(request: &Request<B>, own: Option<&str>) -> Option<Page> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        _ => None,
    };
    // A request names one host (RFC 9112 §3.2). HTTP/1.0 knows no Host, and no browser speaks it.
    let names_none = !request.headers().contains_key(HOST);
    if host.is_none() && !(names_none && request.version() < Version::HTTP_11) {
        return Some(text(StatusCode::BAD_REQUEST, "name the server that you ask, in one Host field\n"));
    }
    let is_foreign = host.iter().chain(request.uri().authority()).any(|authority| !is_ours(authority, own));
    let reason = "this name is not mine; ask by address, as localhost, or by the name in --metrics\n";
    is_foreign.then(|| text(StatusCode::MISDIRECTED_REQUEST, reason))
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

    /// That of the refusal; 200 if there is none.
    fn status(request: &Request<()>, own: Option<&str>) -> u16 {
        refuse(request, own).map_or(200, |page| page.status().as_u16())
    }

    fn judged(target: &str, hosts: &[&str]) -> u16 {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        status(&request.body(()).unwrap(), Some("box.example"))
    }

    #[test]
    fn addresses_localhost_and_the_configured_name_are_ours() {
        for host in
            ["127.0.0.1:9", "10.0.0.1", "[::1]:9", "[::1]", "localhost:9", "LocalHost", "BOX.example:1"]
        {
            assert_eq!(judged("/", &[host]), 200, "{host}");
            assert_eq!(judged(&format!("http://{host}/"), &[host]), 200, "{host}");
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
            assert_eq!(judged("/", &[host]), 421, "{host}");
        }
        assert_eq!(judged("http://evil.example/", &["localhost"]), 421);
        assert_eq!(judged("http://localhost/", &["evil.example"]), 421);
    }

    #[test]
    fn no_host_two_and_none_that_can_be_read_are_unclear() {
        for hosts in [&[][..], &["localhost", "localhost"], &[""], &["a b"], &["[::1"]] {
            assert_eq!(judged("/", hosts), 400, "{hosts:?}");
        }
        let old = Request::builder().version(Version::HTTP_10).body(()).unwrap();
        assert_eq!(status(&old, None), 200);
    }
}
