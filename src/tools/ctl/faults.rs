//! Faults for people: the table of those that there are, and what became of one.

use crate::{
    control::{
        client::ControlClient,
        protocol::{ListedFault, Request},
        toxic,
    },
    session::faults::fault::{FaultPlan, Toxicity},
    text::{
        safe::SafeText,
        table::{Align, Cell, Column, Shorten},
        units::{self, bytes, duration},
    },
    tools::ctl::{Failure, report::Reader},
};
use serde_json::{Map, Value, json};

/// A column of the table, and what it says of a fault.
type FaultColumn = (Column, fn(&ListedFault, Option<&FaultPlan>) -> String);

const fn ending(name: &'static str, rank: u8, least: usize) -> Column {
    Column { name, align: Align::Left, shorten: Shorten::End(least), rank }
}

const COLUMNS: [FaultColumn; 13] = [
    (ending("LISTENER", 0, 8), |one, _| one.listener.to_string()),
    (ending("NAME", 0, 10), |one, _| safe(one.name())),
    (Column::words("KIND", 8), |one, _| text(one, "type")),
    (Column::words("STREAM", 7), |one, _| text(one, "stream")),
    (ending("VALUES", 0, 12), |one, plan| match plan {
        Some(plan) => plan.kind.written(&plan.values),
        None => attributes(one),
    }),
    (Column::numbers("SHARE", 2), |_, plan| plan.map(|plan| plan.toxicity.in_words()).unwrap_or_default()),
    (ending("WHEN", 1, 12), |_, plan| {
        let parts = plan.map(|plan| [plan.scope.in_words(), plan.schedule.in_words()]);
        let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(", ")
    }),
    (Column::numbers("HIT", 0), |one, _| {
        format!("{} of {}", units::count(one.stats.hit), units::count(one.stats.seen))
    }),
    (Column::numbers("HELD", 2), |one, _| amount(one.stats.held_bytes)),
    (Column::numbers("PASSED", 4), |one, _| amount(one.stats.passed_bytes)),
    (Column::numbers("SWALLOWED", 3), |one, _| amount(one.stats.swallowed_bytes)),
    (Column::numbers("DELAY", 3), |one, _| {
        if one.stats.delayed_us == 0 { String::new() } else { duration(one.stats.mean_delay()) }
    }),
    (Column::numbers("ENDED", 3), |one, _| match (one.stats.resets, one.stats.cuts) {
        (0, 0) => String::new(),
        (resets, 0) => format!("{resets} RST"),
        (0, cuts) => format!("{cuts} FIN"),
        (resets, cuts) => format!("{resets} RST, {cuts} FIN"),
    }),
];

impl Reader {
    /// A person does not see columns in which no fault has anything.
    pub fn faults(&self, faults: &[ListedFault]) -> String {
        let plans: Vec<_> = faults.iter().map(|one| toxic::decode(&one.toxic).ok()).collect();
        let rows = faults.iter().zip(&plans).map(|(one, plan)| {
            COLUMNS.iter().map(|(_, tell)| tell(one, plan.as_ref())).collect::<Vec<String>>()
        });
        let rows: Vec<_> = rows.collect();
        let is_shown = |at: &usize| {
            self.columns.is_none() || rows.is_empty() || rows.iter().any(|row| !row[*at].is_empty())
        };
        let shown: Vec<usize> = (0..COLUMNS.len()).filter(is_shown).collect();
        let columns: Vec<Column> = shown.iter().map(|at| COLUMNS[*at].0).collect();
        let cell = |text: &String| Cell::from(if text.is_empty() { "-" } else { text });
        let cells: Vec<Vec<Cell>> =
            rows.iter().map(|row| shown.iter().map(|at| cell(&row[*at])).collect()).collect();
        let seed = faults.iter().zip(&plans).find_map(|(one, plan)| seed_of(one, plan.as_ref()));
        let seed = seed.map(|seed| format!("seed {seed}\n")).unwrap_or_default();
        self.table(&columns, &cells) + &seed
    }
}

/// What the draws of a fault follow from; none if it does not draw.
fn seed_of(one: &ListedFault, plan: Option<&FaultPlan>) -> Option<u64> {
    one.seed.filter(|_| plan.is_some_and(FaultPlan::draws))
}

/// What became of faults, a line each.
pub fn told(faults: &[ListedFault], did: &str) -> String {
    let line = |one: &ListedFault| {
        let plan = toxic::decode(&one.toxic).ok();
        let words = plan.as_ref().map_or_else(|| text(one, "type"), FaultPlan::in_words);
        let seed = seed_of(one, plan.as_ref()).map(|seed| format!("; seed {seed}")).unwrap_or_default();
        format!("listener {}: fault {} {did}: {words}{seed}\n", one.listener, safe(one.name()))
    };
    match faults {
        [] => "there is no fault\n".to_owned(),
        all => all.iter().map(line).collect(),
    }
}

/// What is to be asked so that a fault becomes as the words say: they are read by its kind.
pub async fn update(
    client: &mut ControlClient,
    listener: &str,
    name: &str,
    words: &[String],
    share: Option<Toxicity>,
) -> Result<Request, Failure> {
    let list = Request::FaultList { listener: Some(listener.to_owned()) };
    let faults = client.ask::<ListedFault>(&list).await?;
    let mut change = Map::new();
    // The server says it of one that is not there.
    if let Some(fault) = faults.iter().find(|one| one.name() == name).filter(|_| !words.is_empty()) {
        let unknown =
            |_| Failure::Failed(format!("this program does not know the kind of fault '{}'", safe(name)));
        let FaultPlan { kind, values: before, .. } = toxic::decode(&fault.toxic).map_err(unknown)?;
        let values = kind.read_values(words).map_err(Failure::Usage)?;
        let mut next = before;
        next.iter_mut().zip(values).for_each(|(value, new)| *value = new.unwrap_or(*value));
        kind.check(&next).map_err(Failure::Usage)?;
        let named = kind.page().attributes.iter().zip(values);
        let given = named.filter_map(|(one, value)| Some((one.name.to_owned(), json!(value?))));
        change.insert("attributes".to_owned(), Value::Object(given.collect()));
    }
    if let Some(share) = share {
        change.insert("toxicity".to_owned(), json!(share.get()));
    }
    Ok(Request::FaultUpdate { listener: listener.to_owned(), name: name.to_owned(), fault: change })
}

fn safe(text: &str) -> String {
    SafeText::from(text).to_string()
}

fn text(one: &ListedFault, key: &str) -> String {
    one.toxic.get(key).and_then(Value::as_str).map(safe).unwrap_or_default()
}

/// Of a kind that only a newer server knows.
fn attributes(one: &ListedFault) -> String {
    let attributes = one.toxic.get("attributes").and_then(Value::as_object).into_iter().flatten();
    let told = attributes.map(|(name, value)| safe(&format!("{name}={value}")));
    told.collect::<Vec<_>>().join(" ")
}

fn amount(count: u64) -> String {
    if count == 0 { String::new() } else { bytes(count) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{client::ServerChoice, protocol::FaultStats},
        session::faults::{
            fault::{Fault, Schedule, Scope},
            kind::FaultKind,
        },
        text::columns::width,
        tools::ctl::settings::{Ctl, Verb},
    };

    fn reader(columns: Option<u16>) -> Reader {
        let config = Ctl {
            server: ServerChoice::Only,
            verb: Verb::Servers,
            json: false,
            wide: false,
            colour: false,
            plain: false,
        };
        Reader::new(&config, columns)
    }

    fn listed(plan: FaultPlan, stats: FaultStats) -> ListedFault {
        ListedFault { stats, ..ListedFault::of("web", &Fault::new(plan, false), Some(7)) }
    }

    #[test]
    fn a_table_fits_80_columns_and_has_what_there_is() {
        let slow = FaultPlan {
            name: "slow".into(),
            toxicity: Toxicity::new(0.1).unwrap(),
            ..FaultPlan::sample(FaultKind::Latency, [120, 20, 0])
        };
        let mut cut = FaultPlan::sample(FaultKind::Cut, [65_536, 0, 1]);
        cut.scope = Scope { clients: vec!["10.0.0.0/8".parse().unwrap()], skip: 3, ..Scope::default() };
        cut.schedule = Schedule { after_ms: 5_000, expires_ms: 30_000, ..Schedule::default() };
        let moved = FaultStats {
            seen: 1_200,
            hit: 118,
            passed_bytes: 5 << 20,
            held_bytes: 4_096,
            passed_runs: 1_000,
            delayed_us: 120_300_000,
            ..FaultStats::default()
        };
        let ended = FaultStats { resets: 3, seen: 9, hit: 3, swallowed_bytes: 700, ..FaultStats::default() };
        let quiet = [listed(slow.clone(), FaultStats { seen: 7, ..FaultStats::default() })];
        let wanted = "LISTENER  NAME  KIND     STREAM      VALUES                     SHARE     HIT\n\
                      web       slow  latency  downstream  latency=120ms jitter=20ms    10%  0 of 7\n\
                      seed 7\n";
        assert_eq!(reader(Some(80)).faults(&quiet), wanted);
        let all = [listed(slow, moved), listed(cut, ended)];
        let text = reader(Some(80)).faults(&all);
        assert!(text.lines().all(|line| width(line) <= 80), "{text}");
        assert!(text.contains("118 of 1,200"), "{text}");
        let wide = reader(None).faults(&all);
        let row = wide.lines().nth(1).unwrap();
        assert!(row.contains("120 ms") && row.contains("5 MiB") && row.contains("4 KiB"), "{wide}");
        let row = wide.lines().nth(2).unwrap();
        assert!(row.contains("3 RST") && row.contains("700 B"), "{wide}");
        assert!(row.contains("from 10.0.0.0/8, skip 3, after 5s, for 30s"), "{wide}");
    }

    #[test]
    fn a_fault_that_only_a_newer_server_knows_is_shown_as_it_came() {
        let toxic = json!({
            "listener": "web", "name": "n\u{1b}", "type": "gravity", "stream": "downstream", "toxicity": 1,
            "attributes": {"pull": 9}, "stats": {"hit": 2, "seen": 3, "later": 1},
        });
        let one: ListedFault = serde_json::from_value(toxic).unwrap();
        let text = reader(None).faults(std::slice::from_ref(&one));
        let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row[..5], ["web", r"n\x1b", "gravity", "downstream", "pull=9"]);
        assert!(text.contains("2 of 3"), "{text}");
        assert_eq!(told(&[one], "added"), "listener web: fault n\\x1b added: gravity\n");
    }

    #[test]
    fn the_seed_is_told_of_what_draws() {
        let latency = |jitter| FaultPlan::sample(FaultKind::Latency, [120, jitter, 0]);
        let some = FaultPlan { toxicity: Toxicity::new(0.5).unwrap(), ..latency(0) };
        for (plan, draws) in [
            (latency(0), false),
            (latency(1), true),
            (some, true),
            (FaultPlan::sample(FaultKind::Hiccup, [5, 1, 0]), true),
            (FaultPlan::sample(FaultKind::Stall, [1, 1, 0]), false),
        ] {
            let one = [listed(plan, FaultStats::default())];
            let text = told(&one, "added");
            assert_eq!(text.ends_with("; seed 7\n"), draws, "{text}");
            let text = reader(None).faults(&one);
            assert_eq!(text.ends_with("\nseed 7\n"), draws, "{text}");
        }
    }
}
