//! OpenMetrics as the Prometheus text format 0.0.4 says the same.
//!
//! There a counter and an info are named by their sample, an info is a gauge, and neither units nor an end are known.

use std::fmt::Write;

/// What [`super::Metrics::openmetrics`] writes, in the older format.
pub fn from_openmetrics(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut help = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // It comes before the type, on which its name depends.
            help = rest;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            let help = help.strip_prefix(name).unwrap_or_default();
            write!(plain, "# HELP {name}{suffix}{help}\n# TYPE {name}{suffix} {kind}\n")
                .expect("a String takes all that is written to it");
        } else if !line.starts_with('#') {
            plain.push_str(line);
            plain.push('\n');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_samples_and_what_is_unknown_is_left_out() {
        let openmetrics = "# HELP a A.\n# TYPE a counter\n# UNIT a s\na_total{b=\"c # d\"} 1\n\
                           # HELP e E.\n# TYPE e info\ne_info{f=\"g\"} 1\n\
                           # HELP h H.\n# TYPE h gauge\nh 2\n# EOF\n";
        let plain = "# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"c # d\"} 1\n\
                     # HELP e_info E.\n# TYPE e_info gauge\ne_info{f=\"g\"} 1\n\
                     # HELP h H.\n# TYPE h gauge\nh 2\n";
        assert_eq!(from_openmetrics(openmetrics), plain);
    }
}
