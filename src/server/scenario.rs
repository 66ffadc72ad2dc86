//! A scenario: what is done to listeners and their faults, and when. Its actor does it, and tells each step.
//!
//! A file has an array of steps, or an object with `steps` and `repeat_ms`, after which all of them begin again:
//! `{"at_ms":5000,"proxy":"web","add":{"type":"latency","attributes":{"latency":200}}}`. A step has one of `add`, `update`,
//! `remove`, `enable`, `disable` and `reset`, and may have a `repeat_ms` of its own. Times are milliseconds from the begin of
//! the server. `proxy` is the name of a listener; it may be left out where there is one, and `reset` without it is of all.

use crate::{
    control::toxic::{ToxicError, array, decode, decode_change, field, text, why_no_json},
    runtime::{
        clock::sleep_until,
        task::{Task, spawn},
    },
    server::{breaker::FaultOrder, operator::Operator},
    session::{
        event::{Events, What},
        faults::{fault::FaultPlan, kind::MILLISECONDS_MAX},
    },
};
use serde_json::{Map, Value};
use std::{
    cell::Cell,
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

/// Steps of a scenario; they are gone through at each.
const STEPS_MAX: usize = 10_000;
/// No step comes again sooner: a scenario is to be read in a log.
const REPEAT_LEAST_MS: u64 = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    at_ms: u64,
    /// 0: it comes once.
    repeat_ms: u64,
    /// None: the only one there is; of `reset`, all.
    listener: Option<String>,
    deed: Deed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Deed {
    Add(Box<FaultPlan>),
    /// What it changes; the fault's kind decides what may.
    Update(String, Map<String, Value>),
    Remove(String),
    Enable,
    Disable,
    /// Removes all faults, and enables.
    Reset,
}

/// From where on a scenario is to be done: what comes before is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScenarioPlace {
    pub ms: u64,
    /// Of the steps that come at `ms`, the first, by its number from 0.
    pub step: usize,
}

/// How far a scenario is, for who hands it over.
#[derive(Default)]
pub struct ScenarioProgress {
    /// When it was where; none: it does not run.
    began: Cell<Option<(Instant, u64)>>,
    /// The step that comes next, or is being done.
    next: Cell<ScenarioPlace>,
}

impl ScenarioProgress {
    /// Where another process goes on: a step that is due is done once it has been answered.
    pub fn place(&self) -> ScenarioPlace {
        let Some((began, ms)) = self.began.get() else { return ScenarioPlace::default() };
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let later = ScenarioPlace { ms: ms.saturating_add(elapsed_ms).saturating_add(1), step: 0 };
        self.next.get().min(later)
    }
}

impl Scenario {
    /// Errors: what is wrong, and where: `LINE:COLUMN: error: …` of what is no JSON, else `step 3: …`.
    pub fn parse(file: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(file).map_err(|error| {
            format!("{}:{}: error: {}", error.line(), error.column(), why_no_json(&error))
        })?;
        let (steps, repeat_ms) = match &value {
            Value::Array(steps) => (steps, 0),
            Value::Object(all) => {
                let steps = array(all, "steps").map_err(|error| error.to_string())?;
                (steps.ok_or("there are no steps")?, repeat(all)?)
            }
            _ => return Err("a scenario is an array of steps, or an object with them".to_owned()),
        };
        if steps.len() > STEPS_MAX {
            return Err(format!("a scenario has at most {STEPS_MAX} steps, and not {}", steps.len()));
        }
        let read = |(index, step)| {
            let read = Step::read(step).map_err(|why| format!("step {}: {why}", index + 1));
            read.map(|step| Step {
                repeat_ms: if step.repeat_ms > 0 { step.repeat_ms } else { repeat_ms },
                ..step
            })
        };
        let steps: Vec<_> = steps.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        if repeat_ms > 0
            && let Some(late) = steps.iter().position(|step| step.at_ms >= repeat_ms)
        {
            return Err(format!("step {}: it comes after repeat_ms, when all begin again", late + 1));
        }
        Ok(Scenario { steps })
    }

    /// Does what comes from there on; dropping the task ends it.
    pub fn start(
        self,
        from: ScenarioPlace,
        progress: Rc<ScenarioProgress>,
        operator: Operator,
        events: Events,
    ) -> Task<()> {
        let now = Instant::now();
        progress.began.set(Some((now, from.ms)));
        progress.next.set(from);
        spawn(Actor { operator, events, progress }.run(self.steps, now, from))
    }
}

impl Step {
    fn read(step: &Value) -> Result<Self, String> {
        const DEEDS: [&str; 6] = ["add", "update", "remove", "enable", "disable", "reset"];
        let Value::Object(step) = step else { return Err("a step is an object".to_owned()) };
        let known = |key: &String| {
            DEEDS.iter().chain(&["at_ms", "repeat_ms", "proxy"]).any(|one| one.eq_ignore_ascii_case(key))
        };
        if let Some(key) = step.keys().find(|key| !known(key)) {
            return Err(format!("there is no key '{key}'"));
        }
        let mut named = DEEDS.iter().filter_map(|deed| Some((*deed, field(step, deed)?)));
        let (name, what) = named.next().ok_or_else(|| format!("it has none of {}", DEEDS.join(", ")))?;
        if let Some((other, _)) = named.next() {
            return Err(format!("it has both {name} and {other}"));
        }
        let told = |error: ToxicError| error.to_string();
        // `"disable": "web"` names the listener as well.
        let named_by_deed = what.as_str().filter(|_| matches!(name, "enable" | "disable" | "reset"));
        let deed = match name {
            "add" => {
                Deed::Add(Box::new(of_object(what, name).and_then(|toxic| decode(toxic).map_err(told))?))
            }
            "update" => {
                let change = of_object(what, name)?;
                let toxic =
                    text(change, "name").map_err(told)?.ok_or("update: missing required field: name")?;
                Deed::Update(toxic.to_owned(), change.clone())
            }
            "remove" => Deed::Remove(what.as_str().ok_or("remove is the name of a fault")?.to_owned()),
            _ if named_by_deed.is_none() && what != &Value::Bool(true) => {
                return Err(format!("{name} is true, or the name of a listener"));
            }
            "enable" => Deed::Enable,
            "disable" => Deed::Disable,
            _ => Deed::Reset,
        };
        let listener = text(step, "proxy").map_err(told)?.or(named_by_deed).map(str::to_owned);
        let at_ms = milliseconds(step, "at_ms")?.ok_or("missing required field: at_ms")?;
        Ok(Step { at_ms, repeat_ms: repeat(step)?, listener, deed })
    }

    /// When it comes first from there on, if this is its number; `u64::MAX`: never.
    fn first_from(&self, from: ScenarioPlace, number: usize) -> u64 {
        let begin_ms = from.ms.saturating_add(u64::from(number < from.step));
        match (begin_ms.saturating_sub(self.at_ms), self.repeat_ms) {
            (0, _) => self.at_ms,
            (_, 0) => u64::MAX,
            (late, every) => self.at_ms.saturating_add(late.div_ceil(every).saturating_mul(every)),
        }
    }
}

fn of_object<'a>(value: &'a Value, key: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{key} is an object"))
}

fn repeat(of: &Map<String, Value>) -> Result<u64, String> {
    match milliseconds(of, "repeat_ms")? {
        Some(ms @ ..REPEAT_LEAST_MS) => Err(format!("repeat_ms is at least {REPEAT_LEAST_MS}, and not {ms}")),
        ms => Ok(ms.unwrap_or_default()),
    }
}

fn milliseconds(of: &Map<String, Value>, key: &str) -> Result<Option<u64>, String> {
    let Some(value) = field(of, key) else { return Ok(None) };
    let ms = value.as_u64().filter(|ms| *ms <= MILLISECONDS_MAX);
    ms.map(Some)
        .ok_or_else(|| format!("{key} is a whole number of milliseconds, of at most {MILLISECONDS_MAX}"))
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Add(plan) => write!(f, "add {}", plan.name),
            Deed::Update(name, _) => write!(f, "update {name}"),
            Deed::Remove(name) => write!(f, "remove {name}"),
            Deed::Enable => f.write_str("enable"),
            Deed::Disable => f.write_str("disable"),
            Deed::Reset => f.write_str("reset"),
        }
    }
}

struct Actor {
    operator: Operator,
    events: Events,
    progress: Rc<ScenarioProgress>,
}

impl Actor {
    /// Ends with the last step.
    async fn run(self, steps: Vec<Step>, now: Instant, from: ScenarioPlace) {
        let after = |ms: u64| now + Duration::from_millis(ms.saturating_sub(from.ms));
        let mut due: Vec<u64> =
            steps.iter().enumerate().map(|(number, step)| step.first_from(from, number)).collect();
        // Of those that are due at once, the first of the file comes first.
        while let Some(next) =
            (0..due.len()).filter(|number| due[*number] < u64::MAX).min_by_key(|number| due[*number])
        {
            self.progress.next.set(ScenarioPlace { ms: due[next], step: next });
            sleep_until(after(due[next])).await;
            self.take(next, &steps[next]).await;
            let again = steps[next].repeat_ms;
            due[next] = if again > 0 { due[next].saturating_add(again) } else { u64::MAX };
        }
        self.progress.next.set(ScenarioPlace { ms: u64::MAX, step: 0 });
    }

    /// Does a step, and tells it.
    async fn take(&self, number: usize, step: &Step) {
        let listeners =
            self.operator.faults(None).map(|all| all.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        let listeners = listeners.unwrap_or_default();
        let meant = match (&step.listener, &step.deed) {
            (Some(name), _) => Ok(vec![name.clone()]),
            (None, Deed::Reset) => Ok(listeners),
            (None, _) if listeners.len() == 1 => Ok(listeners),
            (None, _) => Err(format!("which proxy is meant is missing; there are {}", listeners.len())),
        };
        let (names, mut error) = match meant {
            Ok(names) => (names, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        for name in &names {
            error = error.or(self.follow(name, &step.deed).await.err());
        }
        if error.is_some() && self.operator.is_replaced() {
            // The other process does it, and tells it.
            return;
        }
        let (step, did, listener) = (number + 1, step.deed.to_string(), step.listener.clone());
        self.events.tell(What::Step { step, listener, did, error });
    }

    async fn enable(&self, listener: &str, is_enabled: bool) -> Result<(), String> {
        self.operator.set_enabled(listener, is_enabled).await.map_err(|error| error.to_string())
    }

    async fn follow(&self, listener: &str, deed: &Deed) -> Result<(), String> {
        let order = |order| async {
            let answer = self.operator.order_fault(listener, order).await;
            answer.map(drop).map_err(|error| error.to_string())
        };
        match deed {
            Deed::Add(plan) => order(FaultOrder::Add(plan.clone())).await,
            Deed::Update(name, change) => {
                let sets = self.operator.faults(Some(listener)).map_err(|error| error.to_string())?;
                let fault = sets.first().and_then(|(_, set)| set.find(name)).ok_or("toxic not found")?;
                let change = decode_change(fault.plan().kind, change).map_err(|error| error.to_string())?;
                order(FaultOrder::Update(name.clone(), change)).await
            }
            Deed::Remove(name) => order(FaultOrder::Remove(name.clone())).await,
            Deed::Enable => self.enable(listener, true).await,
            Deed::Disable => self.enable(listener, false).await,
            Deed::Reset => {
                order(FaultOrder::Clear).await?;
                self.enable(listener, true).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_an_array_of_steps_or_an_object_with_them() {
        let steps = r#"[{"at_ms":5,"proxy":"web","add":{"type":"latency","attributes":{"latency":2}}},
            {"at_ms":9,"disable":"web","repeat_ms":30},{"at_ms":10,"reset":true}]"#;
        let scenario = Scenario::parse(steps).unwrap();
        assert_eq!(
            scenario.steps.iter().map(|step| step.deed.to_string()).collect::<Vec<_>>(),
            ["add latency_downstream", "disable", "reset"]
        );
        assert_eq!(scenario.steps[1].listener.as_deref(), Some("web"));
        let all = Scenario::parse(&format!(r#"{{"repeat_ms":20,"steps":{steps}}}"#)).unwrap();
        assert_eq!(all.steps.iter().map(|step| step.repeat_ms).collect::<Vec<_>>(), [20, 30, 20]);
    }

    #[test]
    fn steps_that_came_before_do_not_come_again() {
        let step = |at_ms, repeat_ms| Step { at_ms, repeat_ms, listener: None, deed: Deed::Enable };
        for (at_ms, repeat_ms, begin_ms, first) in [
            (5, 0, 0, 5),
            (5, 0, 5, 5),
            (5, 0, 6, u64::MAX),
            (5, 10, 6, 15),
            (5, 10, 15, 15),
            (5, 10, 36, 45),
            (u64::MAX, 10, 3, u64::MAX),
        ] {
            let (case, from) = ((at_ms, repeat_ms, begin_ms), ScenarioPlace { ms: begin_ms, step: 0 });
            assert_eq!(step(at_ms, repeat_ms).first_from(from, 0), first, "{case:?}");
        }
        // Of those at one millisecond, the first two are done.
        let from = ScenarioPlace { ms: 5, step: 2 };
        let first = |repeat_ms| [0, 1, 2, 3].map(|number| step(5, repeat_ms).first_from(from, number));
        assert_eq!(first(0), [u64::MAX, u64::MAX, 5, 5]);
        assert_eq!(first(10), [15, 15, 5, 5]);
    }

    #[test]
    fn another_process_goes_on_with_the_step_that_is_due_else_after_this_millisecond() {
        let place = |ms, step| ScenarioPlace { ms, step };
        let progress = ScenarioProgress::default();
        assert_eq!(progress.place(), place(0, 0));
        progress.began.set(Some((Instant::now(), 100)));
        for next in [place(5, 3), place(100, 0)] {
            progress.next.set(next);
            assert_eq!(progress.place(), next);
        }
        progress.next.set(place(u64::MAX, 0));
        let now = progress.place();
        assert!(now.ms > 100 && now.ms < u64::MAX && now.step == 0, "{now:?}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (file, why) in [
            ("[\n  {\"at_ms\": }]", "2:13: error: expected value"),
            ("7", "a scenario is an array of steps, or an object with them"),
            ("{}", "there are no steps"),
            ("[7]", "step 1: a step is an object"),
            (r#"[{"at_ms":1}]"#, "step 1: it has none of add, update, remove, enable, disable, reset"),
            (r#"[{"at_ms":1,"enable":true,"reset":true}]"#, "step 1: it has both enable and reset"),
            (r#"[{"reset":true}]"#, "step 1: missing required field: at_ms"),
            (
                r#"[{"at_ms":-1,"reset":true}]"#,
                "step 1: at_ms is a whole number of milliseconds, of at most 3155760000000",
            ),
            (r#"[{"at_ms":1,"reset":true,"repeat_ms":9}]"#, "step 1: repeat_ms is at least 10, and not 9"),
            (r#"[{"at_ms":1,"reset":true,"proxi":"a"}]"#, "step 1: there is no key 'proxi'"),
            (r#"[{"at_ms":1,"enable":7}]"#, "step 1: enable is true, or the name of a listener"),
            (
                r#"[{"at_ms":1,"add":{"type":"packet_loss"}}]"#,
                "step 1: invalid toxic type: packet loss is invisible above TCP; use hiccup",
            ),
            (
                r#"{"repeat_ms":20,"steps":[{"at_ms":20,"reset":true}]}"#,
                "step 1: it comes after repeat_ms, when all begin again",
            ),
        ] {
            assert_eq!(Scenario::parse(file), Err(why.to_owned()), "{file}");
        }
    }
}
