//! A client's target: `http://host[:port]/path`, `tcp://host:port`, or a host with nothing before it, which means http.

use super::values;
use crate::{net::endpoint::Endpoint, tools::client::settings::Target};
use std::fmt::Write;

const HTTP_PORT: u16 = 80;
/// What the URI type of the HTTP library takes.
const PATH_BYTES_MAX: usize = 65_534;
/// What RFC 3986 §3.3 and §3.4 do not allow as it is, of the printable ASCII characters that users type all the same.
const ENCODED: &[char] = &[' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}'];

/// Reads a target.
///
/// # Errors
/// The reason, as a sentence for the user.
pub fn parse(text: &str) -> Result<Target, String> {
    if text.chars().any(char::is_control) {
        return Err("it holds a control character; leave it out".into());
    }
    match split_scheme(text) {
        None if text.starts_with("unix:") => {
            Err("a UNIX socket is no target; connect to it with --via, as in --via unix:/path".into())
        }
        None => http(text),
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "http" => http(rest),
            "tcp" => tcp(rest),
            "https" => Err("TLS is not spoken here; write http:// for plain HTTP".into()),
            _ => Err(format!("{scheme:?} is not spoken here; write http://host/path or tcp://host:port")),
        },
    }
}

/// Reads the target of a load: a client's, or a UNIX socket.
///
/// # Errors
/// The reason, as a sentence for the user.
pub fn parse_load(text: &str) -> Result<Target, String> {
    if text.starts_with("unix:") && !text.chars().any(char::is_control) {
        return values::peer(text).map(Target::Tcp);
    }
    parse(text)
}

/// Splits `scheme://rest` (RFC 3986 §3.1); a `://` further on belongs to a path or a query.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.split_once("://").filter(|(scheme, _)| scheme.bytes().all(legal))
}

fn tcp(rest: &str) -> Result<Target, String> {
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("a tcp:// target has no path; write tcp://host:port".into());
    }
    if authority.is_empty() {
        return Err("it names no host; write tcp://host:port".into());
    }
    values::peer(authority).map(Target::Tcp)
}

fn http(rest: &str) -> Result<Target, String> {
    // RFC 9110 §7.1: a fragment is not sent.
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.is_empty() || authority.starts_with(':') {
        return Err("it names no host; write http://host/path".into());
    }
    if authority.contains('@') {
        return Err("a user name is not sent; write http://host/path".into());
    }
    let endpoint = values::connectable(Endpoint::parse(authority, Some(HTTP_PORT))?)?;
    let host = match &endpoint {
        Endpoint::Unix(_) => return Err("a UNIX socket has no place in http://; use --via unix:/path".into()),
        Endpoint::Tcp { port: HTTP_PORT, .. } => {
            let shown = endpoint.to_string();
            shown.strip_suffix(":80").unwrap_or(&shown).to_owned()
        }
        Endpoint::Tcp { .. } => endpoint.to_string(),
    };
    let path = encode(path);
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("its path is longer than {PATH_BYTES_MAX} bytes"));
    }
    Ok(Target::Http { endpoint, host, path })
}

/// The path and query as they are sent: what RFC 3986 §2.1 wants encoded is, and what is encoded already stays so.
fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        encoded.push('/');
    }
    for char in path.chars() {
        if char.is_ascii() && !ENCODED.contains(&char) {
            encoded.push(char);
        } else {
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                write!(encoded, "%{byte:02X}").expect("a String takes all that is written to it");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_http(text: &str, at: &str, host: &str, path: &str) {
        let endpoint = Endpoint::parse(at, None).unwrap();
        let expected = Target::Http { endpoint, host: host.into(), path: path.into() };
        assert_eq!(parse(text).unwrap(), expected, "{text}");
    }

    #[test]
    fn an_http_target_is_split_into_its_parts() {
        assert_http("http://www.google.com/", "www.google.com:80", "www.google.com", "/");
        assert_http("HTTP://a:8080/b?c=d#e", "a:8080", "a:8080", "/b?c=d");
        assert_http("http://a:80?q", "a:80", "a", "/?q");
        assert_http("http://[::1]:81/x", "[::1]:81", "[::1]:81", "/x");
        assert_http("http://[::1]/", "[::1]:80", "[::1]", "/");
        assert_http("http://a/s p/ä%20", "a:80", "a", "/s%20p/%C3%A4%20");
    }

    #[test]
    fn a_bare_host_means_http() {
        assert_http("example.com", "example.com:80", "example.com", "/");
        assert_http("localhost:8003/bytes/9", "localhost:8003", "localhost:8003", "/bytes/9");
        assert_http("a/?u=https://b/", "a:80", "a", "/?u=https://b/");
        assert_http("8003", "127.0.0.1:8003", "127.0.0.1:8003", "/");
    }

    #[test]
    fn a_tcp_target_is_an_address() {
        for text in ["tcp://127.0.0.1:8001", "tcp://127.0.0.1:8001/", "tcp://8001"] {
            assert_eq!(parse(text).unwrap(), Target::Tcp(Endpoint::loopback(8001)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "names no host"),
            ("http://", "names no host"),
            ("http:///path", "names no host"),
            ("http://:80/", "names no host"),
            ("https://a/", "TLS is not spoken"),
            ("HTTPS://a/", "TLS is not spoken"),
            ("ftp://a/", "\"ftp\" is not spoken"),
            ("://a", "\"\" is not spoken"),
            ("http://me@a/", "user name"),
            ("http://a:0/", "port 0"),
            ("http://a:x/", "not a port"),
            ("http://a\r\nX: y/", "control character"),
            ("http://unix:a/", "--via"),
            ("unix:/tmp/a", "--via"),
            ("tcp://", "names no host"),
            ("tcp://a", "names no port"),
            ("tcp://a:1/b", "no path"),
            ("tcp://a:0", "port 0"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
