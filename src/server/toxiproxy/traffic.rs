//! The metrics of toxiproxy: what its proxies have received and sent, as it stands.

use crate::report::tally::Tally;
use std::fmt::Write;

/// A proxy, for its series.
pub struct ProxyLabels {
    pub name: String,
    pub listen: String,
    pub upstream: String,
}

/// In the Prometheus text format 0.0.4.
pub fn series(proxies: &[ProxyLabels], tally: &Tally) -> String {
    let mut text = String::new();
    for (name, help, of_sent) in [
        ("toxiproxy_proxy_received_bytes_total", "Bytes that a proxy received", false),
        ("toxiproxy_proxy_sent_bytes_total", "Bytes that a proxy sent", true),
    ] {
        // A string takes every write.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
        for proxy in proxies {
            let listener = tally.listeners.iter().find(|listener| listener.name == proxy.name);
            let moved = listener.map(|listener| listener.moved).unwrap_or_default();
            for (direction, bytes) in [("upstream", moved.from_client), ("downstream", moved.from_upstream)] {
                let count = if of_sent { bytes.sent } else { bytes.received };
                let [proxy, listener, upstream] =
                    [&proxy.name, &proxy.listen, &proxy.upstream].map(|text| escaped(text));
                let _ = writeln!(
                    text,
                    "{name}{{direction=\"{direction}\",listener=\"{listener}\",proxy=\"{proxy}\",\
                     upstream=\"{upstream}\"}} {count}"
                );
            }
        }
    }
    text
}

/// A label's value, as the format has it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
