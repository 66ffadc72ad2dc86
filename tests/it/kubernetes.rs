//! The manifests that `print kubernetes` prints: that they say what the program and the cluster need.

use crate::support::program::{self, binary};
use std::{collections::BTreeMap, fs};
use tempfile::TempDir;
use yaml_rust2::{Yaml, YamlLoader};

/// What a run printed on both outputs, and how it ended.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = binary();
    command.args(arguments);
    let output = program::run(command, b"");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The documents by their kind and name.
fn manifests() -> BTreeMap<(String, String), Yaml> {
    let (code, printed, _) = run(&["print", "kubernetes"]);
    assert_eq!(code, Some(0));
    let documents = YamlLoader::load_from_str(&printed).unwrap();
    let key = |one: &Yaml| (text(&one["kind"]), text(&one["metadata"]["name"]));
    let named: BTreeMap<_, _> = documents.iter().map(|one| (key(one), one.clone())).collect();
    assert_eq!(named.len(), documents.len(), "two of one name");
    named
}

fn find(kind: &str, name: &str) -> Yaml {
    let key = (kind.to_owned(), name.to_owned());
    manifests().remove(&key).unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn text(value: &Yaml) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value:?}")).to_owned()
}

/// The configuration file of the ConfigMap.
fn file() -> toml::Table {
    text(&find("ConfigMap", "switchboard")["data"]["switchboard.toml"]).parse().unwrap()
}

fn seconds(table: &toml::Table, key: &str) -> i64 {
    let time = table[key].as_str().unwrap();
    time.strip_suffix('s').unwrap().parse().unwrap()
}

#[test]
fn each_kind_is_there_and_is_of_its_api() {
    let found: Vec<_> = manifests()
        .into_iter()
        .map(|((kind, name), one)| format!("{} {kind} {name}", text(&one["apiVersion"])))
        .collect();
    let wanted = [
        "v1 ConfigMap switchboard",
        "apps/v1 Deployment switchboard",
        "policy/v1 PodDisruptionBudget switchboard",
        "v1 Service db",
        "v1 Service switchboard",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn the_program_accepts_its_configuration_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("switchboard.toml");
    fs::write(&path, text(&find("ConfigMap", "switchboard")["data"]["switchboard.toml"])).unwrap();
    let path = path.to_str().unwrap();
    let (code, _, told) = run(&["check", path]);
    assert_eq!((code, told.contains("error:")), (Some(0), false), "{told}");
    let (code, answer, told) = run(&["explain", path, "listener=db from=10.1.2.3"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(answer.contains("upstream db"), "{answer}");
}

#[test]
fn a_pod_has_the_time_for_its_drain() {
    let pod = find("Deployment", "switchboard")["spec"]["template"]["spec"].clone();
    let before = &pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
    let (file, before) = (file(), before.as_i64().unwrap());
    let (delay, timeout) = (seconds(&file, "drain-delay"), seconds(&file, "drain-timeout"));
    let grace = pod["terminationGracePeriodSeconds"].as_i64().unwrap();
    assert!(grace >= before + delay + timeout + 5, "{grace} s for {before} + {delay} + {timeout}");
    let probe = &pod["containers"][0]["readinessProbe"];
    let notices = probe["periodSeconds"].as_i64().unwrap() * probe["failureThreshold"].as_i64().unwrap();
    assert!(delay >= 2 * notices, "{delay} s of delay, and a probe notices after {notices} s");
}

#[test]
fn probes_and_services_find_what_the_file_serves() {
    let deployment = find("Deployment", "switchboard");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let ports: BTreeMap<String, i64> = container["ports"]
        .as_vec()
        .unwrap()
        .iter()
        .map(|port| (text(&port["name"]), port["containerPort"].as_i64().unwrap()))
        .collect();
    let file = file();
    let listens = |text: &toml::Value| text.as_str().unwrap().trim_start_matches(':').parse::<i64>().unwrap();
    assert_eq!(ports["metrics"], listens(&file["metrics"]));
    assert_eq!(ports["agent"], listens(&file["agent"]));
    assert_eq!(ports["db"], listens(&file["listener"]["db"]["listen"]));
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        let get = &container[probe]["httpGet"];
        assert_eq!((text(&get["path"]).as_str(), text(&get["port"]).as_str()), (path, "metrics"));
    }
    let service = find("Service", "switchboard");
    assert!(ports.contains_key(&text(&service["spec"]["ports"][0]["targetPort"])));
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    let budget = find("PodDisruptionBudget", "switchboard");
    assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
    let budget = budget["spec"]["maxUnavailable"].as_i64().unwrap();
    assert!(budget < deployment["spec"]["replicas"].as_i64().unwrap());
    // What it leads to: a headless Service, by its name.
    let headless = find("Service", "db");
    assert_eq!(text(&headless["spec"]["clusterIP"]), "None");
    let port = headless["spec"]["ports"][0]["port"].as_i64().unwrap();
    let discover = file["upstream"]["db"]["discover"].as_str().unwrap();
    assert_eq!(discover, format!("dns:db.default.svc.cluster.local:{port}"));
}

#[test]
fn a_pod_may_do_no_more_than_it_must() {
    let pod = find("Deployment", "switchboard")["spec"]["template"]["spec"].clone();
    let container = &pod["containers"][0];
    let own = &container["securityContext"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"].as_bool(), Some(true));
    assert_ne!(pod["securityContext"]["runAsUser"].as_i64(), Some(0));
    assert_eq!(own["readOnlyRootFilesystem"].as_bool(), Some(true));
    assert_eq!(own["allowPrivilegeEscalation"].as_bool(), Some(false));
    assert_eq!(text(&own["capabilities"]["drop"][0]), "ALL");
    assert_eq!(pod["automountServiceAccountToken"].as_bool(), Some(false));
    // The variables of a Service of this name would be taken for options.
    assert_eq!(pod["enableServiceLinks"].as_bool(), Some(false));
    for amount in [&container["resources"]["requests"]["memory"], &container["resources"]["limits"]["memory"]]
    {
        assert!(text(amount).ends_with("Mi"));
    }
    // The root is read-only: what the program writes is on a volume of its own.
    let file = file();
    let socket = file["control"].as_str().unwrap();
    let mounts = container["volumeMounts"].as_vec().unwrap();
    let holds = |mount: &&Yaml| socket.starts_with(&format!("{}/", text(&mount["mountPath"])));
    let mount = mounts.iter().find(holds).expect("a volume for the control socket");
    let volumes = pod["volumes"].as_vec().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
    assert!(!volume["emptyDir"].is_badvalue(), "{volume:?}");
    let image = text(&container["image"]);
    assert!(image.ends_with(&format!(":{}", env!("CARGO_PKG_VERSION"))), "{image}");
}
