//! The documentation that is in the binary: `switchboard help TOPIC`, and the manual pages.

/// One page of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: &'static str,
    /// In Markdown; its first line is its title.
    pub text: &'static str,
}

impl Topic {
    pub fn title(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }
}

/// The topics of these names, from the files of the same names.
macro_rules! topics {
    ($($name:literal)*) => {
        [$(Topic { name: $name, text: include_str!(concat!("topics/", $name, ".md")) }),*]
    };
}

/// All topics, in the order in which they are listed.
pub const TOPICS: [Topic; 23] = topics! {
    "modes" "flags" "configuration" "upstreams" "tls" "proxy-protocol" "recipes" "closing" "events" "control" "top" "metrics" "audit" "load" "faults" "faults-api" "service" "fleet" "exit-codes" "print" "words"
    "lab" "changelog"
};

pub fn find(name: &str) -> Option<Topic> {
    TOPICS.into_iter().find(|topic| topic.name == name)
}
