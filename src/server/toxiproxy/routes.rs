//! What the API can be asked for: its paths and their methods.

use hyper::Method;

#[derive(Debug, PartialEq, Eq)]
pub enum ApiRoute {
    Proxies,
    /// By its name.
    Proxy(String),
    Toxics(String),
    /// Of a proxy, by its name.
    Toxic(String, String),
    Populate,
    Reset,
    Version,
    Metrics,
}

impl ApiRoute {
    /// None: there is no such path. A name holds a slash as `%2F`.
    pub fn of(path: &str) -> Option<Self> {
        let segments: Vec<String> = path.strip_prefix('/')?.split('/').map(segment).collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        Some(match segments[..] {
            ["proxies"] => ApiRoute::Proxies,
            ["proxies", name] => ApiRoute::Proxy(name.to_owned()),
            ["proxies", name, "toxics"] => ApiRoute::Toxics(name.to_owned()),
            ["proxies", name, "toxics", toxic] => ApiRoute::Toxic(name.to_owned(), toxic.to_owned()),
            ["populate"] => ApiRoute::Populate,
            ["reset"] => ApiRoute::Reset,
            ["version"] => ApiRoute::Version,
            ["metrics"] => ApiRoute::Metrics,
            _ => return None,
        })
    }

    pub fn methods(&self) -> &'static [Method] {
        match self {
            ApiRoute::Proxies | ApiRoute::Toxics(_) => &[Method::GET, Method::POST],
            ApiRoute::Proxy(_) | ApiRoute::Toxic(..) => {
                &[Method::GET, Method::POST, Method::PATCH, Method::DELETE]
            }
            ApiRoute::Populate | ApiRoute::Reset => &[Method::POST],
            ApiRoute::Version | ApiRoute::Metrics => &[Method::GET],
        }
    }
}

/// A part of a path, decoded (RFC 3986 §2.1); none if it is empty, or is no UTF-8.
fn segment(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
        bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_after_the_path_is_split() {
        let proxy = |name: &str| Some(ApiRoute::Proxy(name.to_owned()));
        for (path, route) in [
            ("/proxies", Some(ApiRoute::Proxies)),
            ("/proxies/redis:6379", proxy("redis:6379")),
            ("/proxies/a%20b%40%C3%A9+.", proxy("a b@é+.")),
            ("/proxies/a%2Fb", proxy("a/b")),
            ("/proxies/a%2ftoxics", proxy("a/toxics")),
            ("/proxies/toxics", proxy("toxics")),
            ("/proxies/a/toxics", Some(ApiRoute::Toxics("a".into()))),
            ("/proxies/a/toxics/%25", Some(ApiRoute::Toxic("a".into(), "%".into()))),
            ("/populate", Some(ApiRoute::Populate)),
            ("/reset", Some(ApiRoute::Reset)),
            ("/version", Some(ApiRoute::Version)),
            ("/metrics", Some(ApiRoute::Metrics)),
        ] {
            assert_eq!(ApiRoute::of(path), route, "{path}");
        }
        for path in ["", "/", "*", "/proxies/", "//proxies", "/proxies/a/toxic", "/proxies/a/toxics/"] {
            assert_eq!(ApiRoute::of(path), None, "{path}");
        }
        for path in ["/proxies/%", "/proxies/%4", "/proxies/%+1", "/proxies/%ff", "/proxies/a/toxics/b/c"] {
            assert_eq!(ApiRoute::of(path), None, "{path}");
        }
    }
}
