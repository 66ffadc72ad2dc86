//! Faults in words: amounts of attributes as people write and read them, and what a plan says beside them.

use crate::{
    session::faults::{
        fault::{ATTRIBUTES_MAX, FaultPlan, Schedule, Scope, Toxicity, Values},
        kind::{Attribute, AttributeUnit, FaultKind},
    },
    text::units::rounded,
};

/// A word for an amount, and how many of the smallest unit of its table it is.
type UnitWord = (&'static str, u64);

/// The first that is written of those that are equal.
const TIMES: [UnitWord; 8] = [
    ("µs", 1),
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];
const BYTES: [UnitWord; 8] = [
    ("B", 1),
    ("KB", 1_000),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];
/// In bytes; of rates alone.
const BITS: [UnitWord; 3] = [("kbit", 125), ("Mbit", 125_000), ("Gbit", 125_000_000)];
/// What stands behind an amount of bytes or bits that is a rate.
const A_SECOND: &str = "/s";
/// The words that an amount may have.
struct Words {
    tables: [&'static [UnitWord]; 2],
    behind: &'static str,
    /// How many of the smallest the unit itself is.
    own: u64,
}

impl Words {
    fn all(&self) -> impl DoubleEndedIterator<Item = &'static UnitWord> {
        self.tables.into_iter().flatten()
    }

    /// How many of the smallest a word is.
    fn scale(&self, word: &str) -> Option<u64> {
        let word = word.strip_suffix(self.behind)?;
        self.all().find(|(known, _)| *known == word).map(|(_, scale)| *scale)
    }
}

/// What the attribute before them varies by.
const SPREADS: [&str; 2] = ["jitter", "size_variation"];

/// The values that are given, by their places; none: not given.
pub type ChangedValues = [Option<u64>; ATTRIBUTES_MAX];

/// A number has as many digits after its point at most.
const DECIMALS_MAX: usize = 6;

impl AttributeUnit {
    /// As it stands behind a number; empty: nothing does.
    pub fn name(self) -> &'static str {
        match self {
            AttributeUnit::Milliseconds => "ms",
            AttributeUnit::Microseconds => "µs",
            AttributeUnit::Bytes => "B",
            AttributeUnit::KilobytesPerSecond => "KB/s",
            AttributeUnit::Percent => "%",
            AttributeUnit::Bits | AttributeUnit::Flag => "",
        }
    }

    fn words(self) -> Words {
        let words = |tables, own| Words { tables, behind: "", own };
        match self {
            AttributeUnit::Milliseconds => words([&TIMES, &[]], 1_000),
            AttributeUnit::Microseconds => words([&TIMES, &[]], 1),
            AttributeUnit::Bytes => words([&BYTES, &[]], 1),
            AttributeUnit::KilobytesPerSecond => {
                Words { tables: [&BYTES, &BITS], behind: A_SECOND, own: 1_000 }
            }
            AttributeUnit::Percent => words([&[("%", 1)], &[]], 1),
            AttributeUnit::Bits => words([&[("bits", 1), ("bit", 1)], &[]], 1),
            AttributeUnit::Flag => words([&[], &[]], 1),
        }
    }

    /// What a person may write, for one who wrote something else.
    pub fn example(self) -> &'static str {
        match self {
            AttributeUnit::Milliseconds => "120ms, 5s, or a number of ms",
            AttributeUnit::Microseconds => "50us, 5ms, or a number of µs",
            AttributeUnit::Bytes => "100B, 64KiB, or a number of bytes",
            AttributeUnit::KilobytesPerSecond => "100KB/s, 1MB/s, or a number of KB/s",
            AttributeUnit::Percent => "10%",
            AttributeUnit::Bits => "a number of bits",
            AttributeUnit::Flag => "0 or 1",
        }
    }

    /// A whole number of it, in the largest unit that leaves it whole. [`AttributeUnit::read`] reads it back.
    pub fn written(self, value: u64) -> String {
        let words = self.words();
        // Beyond that a larger unit has fewer digits, and nothing is lost.
        let amount = u128::from(value) * u128::from(words.own);
        let is_whole = |(_, scale): &&UnitWord| {
            *scale >= words.own && value > 0 && amount.is_multiple_of(u128::from(*scale))
        };
        // Of equal ones the first.
        match words.all().rev().filter(is_whole).max_by_key(|(_, scale)| *scale) {
            Some((_, scale)) if self != AttributeUnit::Bits => {
                let word = words.all().find(|(_, other)| other == scale).map_or("", |(word, _)| word);
                format!("{}{word}{}", amount / u128::from(*scale), words.behind)
            }
            _ => format!("{value}{}", self.name()),
        }
    }

    /// A number of it, or amounts with their units, as `1m30s`.
    /// Errors: why it is none, and what to write.
    pub fn read(self, text: &str) -> Result<u64, String> {
        let wrong = || format!("it is no amount of it; write {}", self.example());
        if let Ok(value) = text.parse() {
            return Ok(value);
        }
        if self == AttributeUnit::Flag {
            return match text {
                "on" | "true" => Ok(1),
                "off" | "false" => Ok(0),
                _ => Err(wrong()),
            };
        }
        let words = self.words();
        let (mut rest, mut sum, mut divisor) = (text, 0_u128, 1_u128);
        while !rest.is_empty() {
            let begin = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
            let (number, after) = rest.split_at(begin);
            let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (word, next) = after.split_at(end);
            let scale = words.scale(word.trim()).ok_or_else(wrong)?;
            let (digits, decimals) = decimal(number).ok_or_else(wrong)?;
            let places = 10_u128.pow(decimals);
            let add = |sum: u128| sum.checked_add(digits.checked_mul(scale.into())?.checked_mul(divisor)?);
            sum = sum.checked_mul(places).and_then(add).ok_or_else(wrong)?;
            divisor = divisor.checked_mul(places).ok_or_else(wrong)?;
            rest = next;
        }
        let own = divisor.checked_mul(words.own.into()).ok_or_else(wrong)?;
        if text.is_empty() {
            return Err(wrong());
        }
        if !sum.is_multiple_of(own) {
            return Err(format!("it is no whole number of {}", self.name()));
        }
        u64::try_from(sum / own).map_err(|_| wrong())
    }
}

/// A number's digits, and how many of them stand after the point.
fn decimal(text: &str) -> Option<(u128, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || fraction.len() > DECIMALS_MAX {
        return None;
    }
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some((digits, u32::try_from(fraction.len()).ok()?))
}

impl FaultKind {
    /// The values that are not 0, each with its attribute: `latency=120ms jitter=20ms`. If all are, the first.
    pub fn written(self, values: &Values) -> String {
        let all: Vec<_> = self.attributes(values).collect();
        let first = if all.iter().all(|(_, value)| *value == 0) { 1 } else { 0 };
        let told = all.iter().enumerate().filter(|(at, (_, value))| *value > 0 || *at < first);
        let told = told.map(|(_, (one, value))| format!("{}={}", one.name, one.unit.written(*value)));
        told.collect::<Vec<_>>().join(" ")
    }

    /// What it takes, for one who wrote something else: `latency (ms) and jitter (ms)`.
    pub fn takes(self) -> String {
        let attributes = self.page().attributes.iter();
        let named: Vec<_> = attributes
            .map(|one| match one.unit.name() {
                "" => one.name.to_owned(),
                unit => format!("{} ({unit})", one.name),
            })
            .collect();
        match &named[..] {
            [] => format!("{} takes nothing", self.name()),
            [only] => format!("{} takes {only}", self.name()),
            [all @ .., last] => format!("{} takes {} and {last}", self.name(), all.join(", ")),
        }
    }
}

impl FaultKind {
    /// What a person writes of its attributes: `latency=120ms`, or the amounts alone in the order of the attributes; `reset`
    /// alone sets a flag; `120ms±20ms` (or `+-`) is an amount and what it varies by.
    /// Errors: what is wrong, and what the kind takes.
    pub fn read_values<T: AsRef<str>>(self, words: &[T]) -> Result<ChangedValues, String> {
        let mut values = ChangedValues::default();
        for word in words {
            let word = word.as_ref();
            let (at, amount) = match word.split_once('=') {
                Some((name, amount)) => {
                    let unknown = || format!("'{name}' is no attribute of {}; {}", self.name(), self.takes());
                    (self.index(&name.replace('-', "_")).ok_or_else(unknown)?, amount)
                }
                None => match self.index(word).filter(|at| self.unit(*at) == AttributeUnit::Flag) {
                    Some(flag) => (flag, "1"),
                    None => {
                        let count = self.page().attributes.len();
                        let next = values[..count].iter().position(Option::is_none);
                        (next.ok_or_else(|| format!("'{word}' is too much; {}", self.takes()))?, word)
                    }
                },
            };
            let both = amount.split_once('±').or_else(|| amount.split_once("+-"));
            let (amount, spread) = both.map_or((amount, None), |(amount, spread)| (amount, Some(spread)));
            values[at] = Some(self.read_value(at, amount)?);
            if let Some(spread) = spread {
                let varies = |at: &usize| {
                    self.page().attributes.get(*at).is_some_and(|one| SPREADS.contains(&one.name))
                };
                let none = || format!("'{word}' cannot vary; {}", self.takes());
                let of = Some(at + 1).filter(varies).ok_or_else(none)?;
                values[of] = Some(self.read_value(of, spread)?);
            }
        }
        Ok(values)
    }

    fn unit(self, at: usize) -> AttributeUnit {
        self.page().attributes[at].unit
    }

    fn read_value(self, at: usize, text: &str) -> Result<u64, String> {
        let one = &self.page().attributes[at];
        let wrong = |reason| format!("{} cannot be '{text}': {reason}", one.name);
        let value = one.unit.read(text).map_err(wrong)?;
        if value > one.max {
            return Err(wrong(format!("it is at most {}", one.unit.written(one.max))));
        }
        Ok(value)
    }
}

impl FaultPlan {
    /// Whether what it does is drawn by lot: whom it hits, or how.
    pub fn draws(&self) -> bool {
        let varies = |(one, value): (&Attribute, u64)| value > 0 && SPREADS.contains(&one.name);
        self.toxicity != Toxicity::ALWAYS
            || matches!(self.kind, FaultKind::Hiccup | FaultKind::Corrupt)
            || self.kind.attributes(&self.values).any(varies)
    }

    /// In a line: `latency downstream, latency=120ms jitter=20ms, 10% of the sessions, …`.
    pub fn in_words(&self) -> String {
        let mut parts = vec![format!("{} {}", self.kind.name(), self.stream.name())];
        let share = self.toxicity.in_words();
        let share = if share.is_empty() { share } else { format!("{share} of the sessions") };
        let others =
            [self.kind.written(&self.values), share, self.scope.in_words(), self.schedule.in_words()];
        parts.extend(others.into_iter().filter(|part| !part.is_empty()));
        parts.join(", ")
    }
}

impl Toxicity {
    /// `10%` or `0.1`.
    /// Errors: why it is no share.
    pub fn read(text: &str) -> Result<Self, String> {
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
            None => text.parse(),
        };
        #[expect(clippy::cast_possible_truncation, reason = "a share has seven digits")]
        let share = share.map(|share| share as f32);
        share.ok().and_then(|share| Toxicity::new(share).ok()).ok_or_else(|| {
            "it is no share of the sessions; write one from 0% to 100%, or from 0 to 1".to_owned()
        })
    }

    /// `10%`; empty: all.
    pub fn in_words(self) -> String {
        if self == Toxicity::ALWAYS {
            return String::new();
        }
        // The share is the nearest to what was written: seven digits are.
        format!("{}%", rounded(f64::from(self.get()) * 100.0, 4))
    }
}

impl Scope {
    /// Empty: all sessions.
    pub fn in_words(&self) -> String {
        let listed = |items: Vec<String>| items.join(" ");
        let mut parts = Vec::new();
        if !self.clients.is_empty() {
            parts.push(format!("from {}", listed(self.clients.iter().map(ToString::to_string).collect())));
        }
        if !self.sessions.is_empty() {
            let numbers = listed(self.sessions.iter().map(ToString::to_string).collect());
            parts.push(format!("session {numbers}"));
        }
        for (what, number) in [("skip", self.skip), ("every", self.every), ("count", self.count)] {
            if number > 0 {
                parts.push(format!("{what} {number}"));
            }
        }
        parts.join(", ")
    }
}

impl Schedule {
    /// Empty: always.
    pub fn in_words(&self) -> String {
        let time = |ms| AttributeUnit::Milliseconds.written(ms);
        let mut parts = Vec::new();
        for (what, ms) in [("after", self.after_ms), ("for", self.expires_ms)] {
            if ms > 0 {
                parts.push(format!("{what} {}", time(ms)));
            }
        }
        if self.on_ms > 0 {
            parts.push(format!("on {} off {}", time(self.on_ms), time(self.off_ms)));
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNITS: [AttributeUnit; 7] = [
        AttributeUnit::Milliseconds,
        AttributeUnit::Microseconds,
        AttributeUnit::Bytes,
        AttributeUnit::KilobytesPerSecond,
        AttributeUnit::Percent,
        AttributeUnit::Bits,
        AttributeUnit::Flag,
    ];

    #[test]
    fn an_amount_has_the_largest_unit_that_leaves_it_whole() {
        use AttributeUnit::{Bits, Bytes, Flag, KilobytesPerSecond, Microseconds, Milliseconds, Percent};
        for (unit, value, text) in [
            (Milliseconds, 0, "0ms"),
            (Milliseconds, 120, "120ms"),
            (Milliseconds, 5_000, "5s"),
            (Milliseconds, 90_000, "90s"),
            (Milliseconds, 7_200_000, "2h"),
            (Microseconds, 50, "50µs"),
            (Microseconds, 5_000, "5ms"),
            (Bytes, 100, "100B"),
            (Bytes, 65_536, "64KiB"),
            (Bytes, 2_000, "2KB"),
            (KilobytesPerSecond, 100, "100KB/s"),
            (KilobytesPerSecond, 1_000, "1MB/s"),
            (KilobytesPerSecond, 0, "0KB/s"),
            (Percent, 10, "10%"),
            (Bits, 3, "3"),
            (Flag, 1, "1"),
        ] {
            assert_eq!(unit.written(value), text);
        }
    }

    #[test]
    fn an_amount_is_read_with_its_unit_or_without() {
        use AttributeUnit::{Bytes, Flag, KilobytesPerSecond, Microseconds, Milliseconds, Percent};
        for (unit, text, value) in [
            (Milliseconds, "120", Some(120)),
            (Milliseconds, "1.5s", Some(1_500)),
            (Milliseconds, "1m30s", Some(90_000)),
            (Milliseconds, "1m0.5s", Some(60_500)),
            (Milliseconds, "50us", None),
            (Milliseconds, "120 bananas", None),
            (Microseconds, "5ms", Some(5_000)),
            (Bytes, "64KiB", Some(65_536)),
            (Bytes, "64 KiB", Some(65_536)),
            (Bytes, "0.5B", None),
            (KilobytesPerSecond, "1MB/s", Some(1_000)),
            (KilobytesPerSecond, "8Mbit/s", Some(1_000)),
            (KilobytesPerSecond, "1.5KB/s", None),
            (KilobytesPerSecond, "1MB", None),
            (Percent, "10%", Some(10)),
            (Flag, "on", Some(1)),
            (Flag, "maybe", None),
            (Bytes, "", None),
            (Bytes, "-1", None),
            (Bytes, "1..5KB", None),
        ] {
            assert_eq!(unit.read(text).ok(), value, "{text}");
        }
        let refused = KilobytesPerSecond.read("1.5KB/s").unwrap_err();
        assert_eq!(refused, "it is no whole number of KB/s");
    }

    #[test]
    fn values_are_read_by_name_and_by_place() {
        use FaultKind::{Bandwidth, Cut, Latency, LimitData, Noop, Slicer, SlowOpen, Timeout};
        let read = |kind: FaultKind, words: &str| {
            kind.read_values(&words.split_whitespace().collect::<Vec<_>>())
                .map(|values| values.map(|one| one.unwrap_or(0)))
        };
        for (kind, words, values) in [
            (Latency, "120ms", [120, 0, 0]),
            (Latency, "120ms+-20ms", [120, 20, 0]),
            (Latency, "120ms±20ms", [120, 20, 0]),
            (Latency, "latency=1s±20 ", [1_000, 20, 0]),
            (Latency, "jitter=5ms 1s", [1_000, 5, 0]),
            (SlowOpen, "2s±500ms", [2_000, 500, 0]),
            (Slicer, "100B±50B 5ms", [100, 50, 5_000]),
            (Slicer, "average-size=1KiB delay=50", [1_024, 0, 50]),
            (Bandwidth, "1MB/s shared", [1_000, 0, 1]),
            (LimitData, "100", [100, 0, 0]),
            (Timeout, "5s", [5_000, 0, 0]),
            (Cut, "bytes=64KiB reset", [65_536, 0, 1]),
            (Noop, "", [0; 3]),
        ] {
            assert_eq!(read(kind, words), Ok(values), "{words}");
        }
        assert_eq!(Latency.read_values(&["jitter=1"]), Ok([None, Some(1), None]));
        for (kind, words, wanted) in [
            (
                Latency,
                "120apples",
                "latency cannot be '120apples': it is no amount of it; write 120ms, 5s, or a number of ms",
            ),
            (
                Latency,
                "lag=5ms",
                "'lag' is no attribute of latency; latency takes latency (ms) and jitter (ms)",
            ),
            (Latency, "1 2 3", "'3' is too much; latency takes latency (ms) and jitter (ms)"),
            (Noop, "5ms", "'5ms' is too much; noop takes nothing"),
            (Timeout, "5s±1s", "'5s±1s' cannot vary; timeout takes timeout (ms)"),
            (Cut, "reset=2", "reset cannot be '2': it is at most 1"),
        ] {
            assert_eq!(read(kind, words).unwrap_err(), wanted);
        }
    }

    #[test]
    fn a_share_is_a_percentage_or_a_fraction() {
        for (text, share) in [("10%", 0.1), ("0.1", 0.1), ("100%", 1.0), ("0", 0.0), ("12.5 %", 0.125)] {
            let share = Toxicity::new(share).unwrap();
            assert_eq!(Toxicity::read(text), Ok(share), "{text}");
            let written = share.in_words();
            assert!(written.is_empty() || Toxicity::read(&written) == Ok(share), "{written}");
        }
        for text in ["10", "-1%", "101%", "nan", "", "%", "half"] {
            assert!(Toxicity::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_plan_says_in_a_line_what_it_is() {
        let mut plan = FaultPlan::sample(FaultKind::Latency, [120, 20, 0]);
        assert_eq!(plan.in_words(), "latency downstream, latency=120ms jitter=20ms");
        plan.toxicity = Toxicity::new(0.1).unwrap();
        plan.scope = Scope { clients: vec!["10.0.0.0/8".parse().unwrap()], skip: 2, ..Scope::default() };
        plan.schedule = Schedule { after_ms: 5_000, on_ms: 1_000, off_ms: 2_000, ..Schedule::default() };
        let wanted = "latency downstream, latency=120ms jitter=20ms, 10% of the sessions, \
                      from 10.0.0.0/8, skip 2, after 5s, on 1s off 2s";
        assert_eq!(plan.in_words(), wanted);
        assert_eq!(FaultKind::Latency.written(&[0, 0, 0]), "latency=0ms");
        assert_eq!(FaultKind::Noop.written(&[0, 0, 0]), "");
        assert_eq!(FaultKind::Latency.takes(), "latency takes latency (ms) and jitter (ms)");
        assert_eq!(FaultKind::Noop.takes(), "noop takes nothing");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(value: u64, unit in 0..UNITS.len()) {
            let unit = UNITS[unit];
            prop_assert_eq!(unit.read(&unit.written(value)), Ok(value));
        }

        #[test]
        fn no_text_makes_the_reader_of_amounts_panic(text in "[0-9.]{0,40}[a-zµ/%]{0,4}[0-9.]{0,30}[a-z]{0,2}", unit in 0..UNITS.len()) {
            let _ = UNITS[unit].read(&text);
        }
    }
}
