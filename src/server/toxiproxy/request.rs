//! What a request to the API, or its file, says of a proxy.

use crate::{
    control::toxic::{self, ToxicError},
    server::toxiproxy::planned::check_kind,
    session::faults::fault::FaultPlan,
};
use serde_json::{Map, Value};

/// Of a name and of an upstream: as long as a name of DNS. Both are in each line of a session.
const TEXT_BYTES_MAX: usize = 255;

/// What is not said is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyRequest {
    pub name: Option<String>,
    pub listen: Option<String>,
    pub upstream: Option<String>,
    pub enabled: Option<bool>,
    toxics: Vec<Value>,
}

/// A proxy that is to be: it has all that it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProxy {
    pub name: String,
    /// Empty: a port of loopback that the kernel chooses.
    pub listen: String,
    pub upstream: String,
    pub enabled: bool,
    /// Each has another name.
    pub toxics: Vec<FaultPlan>,
}

/// Why there is no new proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewProxyError {
    #[error("missing required field: {0}")]
    Missing(&'static str),
    /// The toxic's place, from 1.
    #[error("{1}, at toxic {0}")]
    Toxic(usize, ToxicError),
    #[error("toxic already exists, at toxic {0}")]
    SameName(usize),
    /// It cannot be where the proxy listens, and why.
    #[error("{1}, at toxic {0}")]
    Place(usize, String),
}

impl NewProxyError {
    /// The place of the toxic that is wrong, from 1.
    pub fn toxic(&self) -> Option<usize> {
        match self {
            NewProxyError::Missing(_) => None,
            NewProxyError::Toxic(at, _) | NewProxyError::SameName(at) | NewProxyError::Place(at, _) => {
                Some(*at)
            }
        }
    }
}

impl ProxyRequest {
    pub fn read(object: &Map<String, Value>) -> Result<Self, ToxicError> {
        let text = |name| toxic::text(object, name).map(|text| text.map(str::to_owned));
        let short = |name| match text(name)? {
            Some(text) if text.len() > TEXT_BYTES_MAX => {
                let most = format!("at most {TEXT_BYTES_MAX} are possible");
                Err(ToxicError::Body(format!("{name} has {} bytes, and {most}", text.len())))
            }
            text => Ok(text),
        };
        Ok(ProxyRequest {
            name: short("name")?,
            listen: text("listen")?,
            upstream: short("upstream")?,
            enabled: toxic::flag(object, "enabled")?,
            toxics: toxic::array(object, "toxics")?.cloned().unwrap_or_default(),
        })
    }

    /// Errors: what it lacks. The name is looked at first; what is empty is missing.
    pub fn check(&self) -> Result<(), NewProxyError> {
        let has = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        match (has(&self.name), has(&self.upstream)) {
            (false, _) => Err(NewProxyError::Missing("name")),
            (_, false) => Err(NewProxyError::Missing("upstream")),
            _ => Ok(()),
        }
    }

    pub fn into_new(self) -> Result<NewProxy, NewProxyError> {
        self.check()?;
        let mut toxics: Vec<FaultPlan> = Vec::new();
        for (index, toxic) in self.toxics.iter().enumerate() {
            let wrong = |error| NewProxyError::Toxic(index + 1, error);
            let object = toxic.as_object().ok_or_else(|| ToxicError::Body("a toxic is an object".to_owned()));
            let plan = toxic::decode(object.map_err(wrong)?).map_err(wrong)?;
            let listen = self.listen.as_deref().unwrap_or_default();
            check_kind(plan.kind, listen).map_err(|why| NewProxyError::Place(index + 1, why))?;
            if toxics.iter().any(|other| other.name == plan.name) {
                return Err(NewProxyError::SameName(index + 1));
            }
            toxics.push(plan);
        }
        Ok(NewProxy {
            name: self.name.unwrap_or_default(),
            listen: self.listen.unwrap_or_default(),
            upstream: self.upstream.unwrap_or_default(),
            enabled: self.enabled.unwrap_or(true),
            toxics,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(text: &str) -> Result<NewProxy, String> {
        let object = serde_json::from_str(text).unwrap();
        let request = ProxyRequest::read(&object).map_err(|error| error.to_string())?;
        request.into_new().map_err(|error| error.to_string())
    }

    #[test]
    fn a_new_proxy_has_a_name_and_an_upstream_and_is_enabled() {
        let proxy = new(r#"{"Name":"a","LISTEN":null,"upstream":"b","enabled":null,"toxics":null,"x":1}"#);
        let proxy = proxy.unwrap();
        assert_eq!((&*proxy.name, &*proxy.listen, &*proxy.upstream, proxy.enabled), ("a", "", "b", true));
        for (text, why) in [
            ("{}", "missing required field: name"),
            (r#"{"name":"","upstream":"b"}"#, "missing required field: name"),
            (r#"{"name":"a","upstream":""}"#, "missing required field: upstream"),
            (r#"{"name":1}"#, "bad request body: name is a text"),
            (r#"{"name":"a","upstream":"b","enabled":"yes"}"#, "bad request body: enabled is true or false"),
            (
                r#"{"name":"a","upstream":"b","toxics":[{"type":"noop"},{"type":"no"}]}"#,
                "invalid toxic type, at toxic 2",
            ),
            (
                r#"{"name":"a","upstream":"b","toxics":[{"type":"noop"},{"type":"noop"}]}"#,
                "toxic already exists, at toxic 2",
            ),
            (
                r#"{"name":"a","upstream":"b","toxics":[7]}"#,
                "bad request body: a toxic is an object, at toxic 1",
            ),
        ] {
            assert_eq!(new(text).unwrap_err(), why, "{text}");
        }
    }
}
