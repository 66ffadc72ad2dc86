//! Any JSON as a toxic, as a change of one, as a proxy and as a scenario: what is taken as a toxic is shown, and reads the same
//! again; what it says can be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use switchboard::{
    control::toxic::{decode, decode_change, encode},
    server::{scenario::Scenario, toxiproxy::ProxyRequest},
    session::faults::{fault::Fault, kind::FaultKind},
};
use strum::VariantArray;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Scenario::parse(text);
    let Ok(Value::Object(object)) = serde_json::from_str(text) else { return };
    if let Ok(proxy) = ProxyRequest::read(&object) {
        let _ = proxy.into_new();
    }
    for kind in FaultKind::VARIANTS {
        let _ = decode_change(*kind, &object);
    }
    if let Ok(plan) = decode(&object) {
        // The set checks what values together cannot be.
        let _ = plan.check();
        let shown = encode(&Fault::new(plan.clone(), false));
        let again = decode(shown.as_object().expect("a toxic is an object"));
        assert_eq!(again, Ok(plan));
    }
});
