//! Amounts for people: the one way to print bytes, a rate, a duration and a count.
//!
//! A number has at most three digits that count, and no zeros at the end of its fraction: `4 KiB`, `1.25 s`, `48.7 µs`. A
//! duration of a minute or more has two units: `1m01s`, `1h05m`, `3d00h`. Machines get numbers instead, in JSON.

use std::time::Duration;

/// A number for machines, with as many decimals as were measured: three of milliseconds, six of seconds.
pub fn rounded(number: f64, decimals: i32) -> f64 {
    let step = 10_f64.powi(decimals);
    (number * step).round() / step
}

/// Bytes in binary units: `812 B`, `1.5 KiB`, `3 GiB`.
pub fn bytes(amount: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    const STEP: f64 = 1024.0;
    /// From here on the number would read 1024.
    const FULL: f64 = STEP - 0.5;
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let (mut number, mut unit) = (amount as f64, 0);
    while number >= FULL {
        (number, unit) = (number / STEP, unit + 1);
    }
    format!("{} {}", digits(number), UNITS[unit])
}

/// Bytes a second: `1.5 MiB/s`.
pub fn rate(bytes_a_second: u64) -> String {
    format!("{}/s", bytes(bytes_a_second))
}

/// Bytes a second, of `bytes` in a `span`.
pub fn per_second(bytes: u64, span: Duration) -> u64 {
    const MICROS_PER_SECOND: u128 = 1_000_000;
    let rate = u128::from(bytes) * MICROS_PER_SECOND / span.as_micros().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// A duration: `0 s`, `48.7 µs`, `7 ms`, `1.25 s`, `1m01s`, `1h05m`, `3d00h`.
pub fn duration(duration: Duration) -> String {
    /// Nanoseconds; of the next unit there would be a whole one once three digits are shown.
    const SHORT: [(u64, f64, &str); 4] =
        [(1_000, 1.0, "ns"), (999_500, 1e3, "µs"), (999_500_000, 1e6, "ms"), (59_950_000_000, 1e9, "s")];
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    if duration.is_zero() {
        return "0 s".into();
    }
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if let Some((_, unit_ns, unit)) = SHORT.into_iter().find(|(end, ..)| ns < *end) {
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let number = ns as f64 / unit_ns;
        return format!("{} {unit}", digits(number));
    }
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_millis() >= 500));
    let nearest = |unit: u64| seconds.saturating_add(unit / 2) / unit;
    let (minutes, hours) = (nearest(MINUTE), nearest(HOUR));
    match seconds {
        0..HOUR => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ if minutes * MINUTE < DAY => format!("{}h{:02}m", minutes / 60, minutes % 60),
        _ => format!("{}d{:02}h", hours / 24, hours % 24),
    }
}

/// A whole number, its digits in groups of three: `7,654,321`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number below 1024 in at most three digits that count, or all of its digits before the point.
fn digits(number: f64) -> String {
    let decimals = match number {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    let text = format!("{number:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// Milliseconds with at most three decimals.
pub fn milliseconds(duration: Duration) -> f64 {
    const MICROS_PER_MILLI: f64 = 1_000.0;
    const NANOS_PER_MICRO: f64 = 1_000.0;
    #[expect(clippy::cast_precision_loss, reason = "exact for a hundred days")]
    let nanos = duration.as_nanos() as f64;
    (nanos / NANOS_PER_MICRO).round() / MICROS_PER_MILLI
}

/// `1 session`, `2 sessions`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The first `most` of them, and how many more there are.
pub fn listed(names: &[String], most: usize) -> String {
    let shown = names[..names.len().min(most)].join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_for_machines_has_the_decimals_that_were_measured() {
        assert_eq!(rounded(0.180_652_48, 3).to_string(), "0.181");
        assert_eq!(rounded(10_078.324_708, 3).to_string(), "10078.325");
        assert_eq!(rounded(2.0, 6).to_string(), "2");
    }

    #[test]
    fn bytes_are_in_the_largest_unit_that_leaves_a_digit_before_the_point() {
        for (amount, text) in [
            (0, "0 B"),
            (812, "812 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (1_700_000, "1.62 MiB"),
            (100_000, "97.7 KiB"),
            (1_000_000, "977 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_064, "1 MiB"),
            (1_000_000_000, "954 MiB"),
            (3 << 30, "3 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(amount), text);
        }
        assert_eq!(rate(16 << 10), "16 KiB/s");
    }

    #[test]
    fn a_duration_is_rounded_to_what_is_shown_of_it() {
        for (ns, text) in [
            (0, "0 s"),
            (999, "999 ns"),
            (1_000, "1 µs"),
            (48_660, "48.7 µs"),
            (999_499, "999 µs"),
            (999_500, "1 ms"),
            (7_000_000, "7 ms"),
            (20_100_000, "20.1 ms"),
            (999_500_000, "1 s"),
            (1_250_000_000, "1.25 s"),
            (59_949_000_000, "59.9 s"),
            (59_950_000_000, "1m00s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(ns)), text, "{ns} ns");
        }
        for (seconds, text) in [
            (61, "1m01s"),
            (3_599, "59m59s"),
            (3_600, "1h00m"),
            (3_929, "1h05m"),
            (86_369, "23h59m"),
            (86_370, "1d00h"),
            (90_000, "1d01h"),
            (100 * 31_557_600, "36525d00h"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text, "{seconds} s");
        }
        assert_eq!(duration(Duration::from_millis(3_599_500)), "1h00m");
        assert!(duration(Duration::MAX).ends_with('h'));
    }

    #[test]
    fn digits_of_a_count_are_in_groups_of_three() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (123_456, "123,456"), (7_654_321, "7,654,321")]
        {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn a_rate_is_bytes_by_time() {
        assert_eq!(per_second(500, Duration::from_millis(250)), 2000);
        assert_eq!(per_second(0, Duration::ZERO), 0);
        assert_eq!(per_second(u64::MAX, Duration::ZERO), u64::MAX);
    }

    #[test]
    fn a_list_names_a_few() {
        let addresses: Vec<String> = (1..=5).map(|port| format!("a:{port}")).collect();
        assert_eq!(listed(&addresses[..1], 3), "a:1");
        assert_eq!(listed(&addresses, 3), "a:1, a:2, a:3 and 2 more");
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "route")), ["0 routes", "1 route", "2 routes"]);
    }
}
