//! Numbers for people.

use std::time::Duration;

/// A whole number, its digits in groups of three.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for (at, digit) in digits[first..].chars().enumerate() {
        if at % 3 == 0 && !text.is_empty() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A latency in three digits with its unit.
pub fn latency(latency: Duration) -> String {
    let ns = latency.as_nanos() as f64;
    match ns {
        ns if ns < 999.5 => format!("{ns:.0} ns"),
        ns if ns < 999_500.0 => format!("{} µs", three(ns / 1e3)),
        ns if ns < 999_500_000.0 => format!("{} ms", three(ns / 1e6)),
        ns => format!("{} s", three(ns / 1e9)),
    }
}

/// Bytes in three digits with their unit.
pub fn bytes(amount: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut amount, mut unit) = (amount, 0);
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    if unit == 0 { format!("{amount:.0} B") } else { format!("{} {}", three(amount), UNITS[unit]) }
}

/// The same a second.
pub fn bytes_a_second(amount: f64) -> String {
    format!("{}/s", bytes(amount))
}

fn three(value: f64) -> String {
    match value {
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (123_456, "123,456"), (7_654_321, "7,654,321")]
        {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn three_digits_tell_a_size() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1000, "1.00 µs"),
            (48_660, "48.7 µs"),
            (999_400, "999 µs"),
            (999_600, "1.00 ms"),
            (20_100_000, "20.1 ms"),
            (61_000_000_000, "61.0 s"),
        ] {
            assert_eq!(latency(Duration::from_nanos(ns)), text);
        }
        for (amount, text) in
            [(0.0, "0 B"), (999.0, "999 B"), (1024.0, "1.00 KiB"), (1e6, "977 KiB"), (1e9, "954 MiB")]
        {
            assert_eq!(bytes(amount), text);
        }
    }
}
