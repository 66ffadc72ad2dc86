//! Reads an exposition as strictly as OpenMetrics 1.0 writes it, and fails the test at the first thing that is off.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a sample, by name.
pub type Labels = BTreeMap<String, String>;

/// One family of metrics, as its `#` lines say.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    described: BTreeSet<&'static str>,
    sampled: bool,
}

/// A whole exposition.
#[derive(Debug)]
pub struct Exposition {
    families: BTreeMap<String, Family>,
    /// In the order of the text.
    samples: Vec<(String, Labels, f64)>,
}

impl Exposition {
    /// The value of the sample with this name and exactly these labels; its listener's name need not be among them.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let found = self.samples.iter().find(|(named, labels, _)| {
            let mut labels = labels.clone();
            if !wanted.contains_key("name") {
                labels.remove("name");
            }
            named == name && labels == wanted
        });
        found.unwrap_or_else(|| panic!("no {name} with {labels:?}: {self:#?}")).2
    }

    /// The sum over all samples with this name.
    pub fn sum(&self, name: &str) -> f64 {
        self.samples.iter().filter(|(named, ..)| named == name).map(|(.., value)| value).sum()
    }

    /// Every sample that may only grow.
    pub fn growing(&self) -> impl Iterator<Item = (&str, &Labels, f64)> {
        let grows =
            |name: &str| ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end));
        self.samples
            .iter()
            .filter(move |(name, ..)| grows(name))
            .map(|(name, labels, value)| (&**name, labels, *value))
    }
}

/// Reads `text`.
#[track_caller]
pub fn parse(text: &str) -> Exposition {
    let body = text.strip_suffix("# EOF\n").expect("it ends in its end mark and a line feed");
    let mut exposition = Exposition { families: BTreeMap::new(), samples: Vec::new() };
    let mut current = String::new();
    for line in body.split_inclusive('\n') {
        let line = line.strip_suffix('\n').expect("every line ends in a line feed");
        assert!(!line.is_empty() && !line.contains('\r'), "{line:?}");
        if let Some(rest) = line.strip_prefix("# ") {
            current = describe(&mut exposition.families, &current, rest);
        } else {
            let (name, labels, value) = sample(line);
            let family = exposition.families.get_mut(&current).expect("a family comes before its samples");
            assert!(belongs(&name, &current, &family.kind), "{name} is not of {current}, a {}", family.kind);
            judge(&name, &labels, value, &family.kind);
            family.sampled = true;
            let again = exposition.samples.iter().any(|(other, given, _)| *other == name && *given == labels);
            assert!(!again, "twice: {line}");
            exposition.samples.push((name, labels, value));
        }
    }
    check_families(&exposition);
    exposition
}

/// Reads `TYPE name kind` and its like; returns the family it is about.
fn describe(families: &mut BTreeMap<String, Family>, current: &str, rest: &str) -> String {
    let mut words = rest.splitn(3, ' ');
    let (what, name, text) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let what = *["TYPE", "HELP", "UNIT"].iter().find(|known| **known == what).expect(rest);
    assert!(is_name(name) && !text.is_empty(), "{rest}");
    assert!(name == current || !families.contains_key(name), "{name} is interleaved");
    let family = families.entry(name.to_owned()).or_default();
    assert!(family.described.insert(what), "a second {what} of {name}");
    assert!(!family.sampled, "{what} of {name} comes after its samples");
    match what {
        "TYPE" => {
            assert!(["counter", "gauge", "histogram", "info"].contains(&text), "{rest}");
            text.clone_into(&mut family.kind);
        }
        "UNIT" => assert!(name.ends_with(&format!("_{text}")), "{rest}"),
        _ => assert!(!text.contains(['\\', '"']), "{rest}"),
    }
    name.to_owned()
}

/// Whether a sample of this name may be in the family.
fn belongs(name: &str, family: &str, kind: &str) -> bool {
    let suffixes: &[&str] = match kind {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_count", "_sum"],
        "info" => &["_info"],
        _ => &[],
    };
    name.strip_prefix(family).is_some_and(|suffix| suffixes.contains(&suffix))
}

fn judge(name: &str, labels: &Labels, value: f64, kind: &str) {
    let whole = value >= 0.0 && value.fract() == 0.0;
    let right = match kind {
        "info" => value == 1.0,
        "gauge" => value.is_finite(),
        // Times are no whole numbers.
        _ => {
            let is_time = ["_sum", "_seconds_total"].iter().any(|end| name.ends_with(end));
            whole || (is_time && value.is_finite() && value >= 0.0)
        }
    };
    assert!(right, "{name} is {value}");
    assert_eq!(labels.contains_key("le"), name.ends_with("_bucket"), "{name}");
}

/// Reads `name{label="value",…} value`; there are no time stamps and no exemplars.
fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").expect(line);
            let (value, after) = quoted(after);
            assert!(is_name(label) && !label.contains(':'), "{line}");
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} twice: {line}");
            if let Some(after) = after.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = after.strip_prefix(',').expect(line);
        }
    }
    let value = rest.strip_prefix(' ').expect(line);
    assert!(value.bytes().all(|byte| byte.is_ascii_digit() || b".e-+".contains(&byte)), "{line}");
    (name.to_owned(), labels, value.parse().expect(line))
}

/// Reads to the closing quote; what follows it.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().expect("an escape goes on").1 {
                'n' => '\n',
                char @ ('\\' | '"') => char,
                other => panic!("\\{other} is no escape"),
            }),
            char => value.push(char),
        }
    }
    panic!("no closing quote: {text}")
}

fn is_name(text: &str) -> bool {
    !text.starts_with(|first: char| first.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

fn check_families(exposition: &Exposition) {
    for (name, family) in &exposition.families {
        assert!(family.described.contains("TYPE") && family.described.contains("HELP"), "{name}");
        assert!(family.sampled, "{name} has no sample");
        for suffix in ["_total", "_created", "_info", "_bucket", "_count", "_sum"] {
            assert!(
                !exposition.families.contains_key(&format!("{name}{suffix}")),
                "{name}{suffix} is ambiguous"
            );
        }
        if family.kind == "histogram" {
            check_histogram(exposition, name);
        }
    }
}

/// Bounds rise, counts do not fall, and the last bucket holds all.
fn check_histogram(exposition: &Exposition, name: &str) {
    let bucket = format!("{name}_bucket");
    let buckets: Vec<(f64, f64)> = exposition
        .samples
        .iter()
        .filter(|(named, ..)| *named == bucket)
        .map(|(_, labels, value)| (labels["le"].parse().unwrap(), *value))
        .collect();
    let rises = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
    assert!(buckets.windows(2).all(rises), "{name}: {buckets:?}");
    let all = exposition.value(&format!("{name}_count"), &[]);
    assert_eq!(buckets.last(), Some(&(f64::INFINITY, all)), "{name}");
}

#[test]
fn a_wrong_exposition_is_refused() {
    let right = "# TYPE a counter\n# HELP a A\na_total{b=\"c\"} 1\n# EOF\n";
    assert_eq!(parse(right).value("a_total", &[("b", "c")]), 1.0);
    for (from, to) in [
        ("# EOF\n", ""),
        ("a_total", "a"),
        (" 1\n", " -1\n"),
        (" 1\n", " 1 1\n"),
        ("a_total{b=\"c\"} 1\n", "a_total{b=\"c\"} 1\na_total{b=\"c\"} 1\n"),
        ("# HELP", "\n# HELP"),
        ("b=\"c\"", "b=\"c\",b=\"d\""),
        ("# HELP a A\n", "# UNIT a bytes\n"),
        ("# TYPE a counter\n", ""),
    ] {
        let wrong = right.replace(from, to);
        assert!(std::panic::catch_unwind(|| parse(&wrong)).is_err(), "{wrong}");
    }
}
