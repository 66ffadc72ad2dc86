//! The operator's verbs about faults, as the control socket asks for them: a fault is told as a toxic.

use crate::{
    control::{
        protocol::ListedFault,
        toxic::{self, ToxicError},
    },
    server::{
        breaker::FaultOrder,
        operator::{Operator, Refusal},
    },
    session::faults::set::FaultRefusal,
};
use serde_json::{Map, Value};

/// The faults of a listener, or of all, in the order in which they were made.
pub fn list(operator: &Operator, listener: Option<&str>) -> Result<Vec<ListedFault>, Refusal> {
    let sets = operator.faults(listener)?.into_iter();
    let faults = sets.flat_map(|(name, set)| set.all().into_iter().map(move |one| (name.clone(), one)));
    Ok(faults.map(|(name, fault)| ListedFault::of(&name, &fault, operator.seed())).collect())
}

/// Adds a fault to a listener: without a name, to that of the sessions that the fault names, else to the only one.
pub async fn add(
    operator: &Operator,
    listener: Option<String>,
    fault: &Map<String, Value>,
) -> Result<Vec<ListedFault>, Refusal> {
    let plan = toxic::decode(fault).map_err(|error| wrong(&error))?;
    let listener = match listener {
        Some(name) => name,
        None if plan.scope.sessions.is_empty() => only(operator)?,
        None => operator.listener_of(&plan.scope.sessions).await?,
    };
    let name = plan.name.clone();
    order(operator, &listener, &name, FaultOrder::Add(Box::new(plan))).await
}

/// Changes a fault's attributes, its toxicity, or both.
pub async fn update(
    operator: &Operator,
    listener: &str,
    name: String,
    change: &Map<String, Value>,
) -> Result<Vec<ListedFault>, Refusal> {
    let set = operator.faults(Some(listener))?.into_iter().next().map(|(_, set)| set);
    let fault = set.and_then(|set| set.find(&name)).ok_or_else(|| missing(listener, &name))?;
    let change = toxic::decode_change(fault.plan().kind, change).map_err(|error| wrong(&error))?;
    order(operator, listener, &name.clone(), FaultOrder::Update(name, change)).await
}

/// Removes a fault of a listener, or all of a listener or of every one.
pub async fn remove(
    operator: &Operator,
    listener: Option<String>,
    name: Option<String>,
    all: bool,
) -> Result<Vec<ListedFault>, Refusal> {
    match (listener, name) {
        (Some(listener), Some(name)) if !all => {
            order(operator, &listener, &name.clone(), FaultOrder::Remove(name)).await
        }
        (listener, None) if all => {
            let mut removed = Vec::new();
            for (listener, _) in operator.faults(listener.as_deref())? {
                removed.extend(order(operator, &listener, "", FaultOrder::Clear).await?);
            }
            Ok(removed)
        }
        _ => Err(Refusal::Fault("what is to be removed is a listener and a name, or all".to_owned())),
    }
}

async fn order(
    operator: &Operator,
    listener: &str,
    name: &str,
    order: FaultOrder,
) -> Result<Vec<ListedFault>, Refusal> {
    let faults = operator.order_fault(listener, order).await.map_err(|refusal| match refusal {
        FaultRefusal::Exists => Refusal::Fault(format!(
            "listener '{listener}' has a fault '{name}' already; give this one another name"
        )),
        FaultRefusal::NotFound => missing(listener, name),
        other => Refusal::Fault(other.to_string()),
    })?;
    Ok(faults.iter().map(|fault| ListedFault::of(listener, fault, operator.seed())).collect())
}

fn missing(listener: &str, name: &str) -> Refusal {
    Refusal::Fault(format!("listener '{listener}' has no fault '{name}'; 'ctl fault list' shows them"))
}

/// The name of the only listener.
fn only(operator: &Operator) -> Result<String, Refusal> {
    let names: Vec<_> = operator.faults(None)?.into_iter().map(|(name, _)| name).collect();
    match &names[..] {
        [only] => Ok(only.clone()),
        _ => Err(Refusal::Fault(format!("which listener is missing; there is {}", names.join(", ")))),
    }
}

/// Without what concerns only those who write JSON.
fn wrong(error: &ToxicError) -> Refusal {
    Refusal::Fault(match error {
        ToxicError::Body(why) => why.clone(),
        other => other.to_string(),
    })
}
