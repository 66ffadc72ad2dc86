//! The one error type: what failed, and why.

use std::io;

/// An operation that failed. Its text is one lower-case sentence without a full stop.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {}", reason(.source))]
pub struct Error {
    /// What was being done, with the value that it was done to: `cannot listen on 127.0.0.1:80`.
    pub operation: String,
    pub source: io::Error,
}

impl Error {
    pub fn new(operation: impl Into<String>, source: io::Error) -> Self {
        Error { operation: operation.into(), source }
    }
}

/// What the standard library puts before the text of getaddrinfo(3).
const LOOKUP_PREFIX: &str = "failed to lookup address information: ";

/// An error in words. The words of the system begin in lower case, and without what the standard library adds.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.strip_prefix(LOOKUP_PREFIX)) {
        (Some(_), _) => text.split(" (os error").next().unwrap_or(&text).to_lowercase(),
        (None, Some(rest)) => rest.to_lowercase(),
        (None, None) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn the_words_of_the_system_lose_what_the_standard_library_adds() {
        assert_eq!(reason(&Errno::CONNREFUSED.into()), "connection refused");
        let lookup = io::Error::other(format!("{LOOKUP_PREFIX}Name or service not known"));
        assert_eq!(reason(&lookup), "name or service not known");
        let own = io::Error::other("it has cubic and BBR");
        assert_eq!(Error::new("cannot use it", own).to_string(), "cannot use it: it has cubic and BBR");
    }
}
