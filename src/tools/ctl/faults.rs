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
        self.table(&columns, &cells)
    }
}

/// What became of faults, a line each.
pub fn told(faults: &[ListedFault], did: &str) -> String {
    let line = |one: &ListedFault| {
        let words = toxic::decode(&one.toxic).map_or_else(|_| text(one, "type"), |plan| plan.in_words());
        format!("listener {}: fault {} {did}: {words}\n", one.listener, safe(one.name()))
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
        let unknown = |_| Failure(format!("this program does not know the kind of fault '{}'", safe(name)));
        let kind = toxic::decode(&fault.toxic).map_err(unknown)?.kind;
        let values = kind.read_values(words).map_err(Failure)?;
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
