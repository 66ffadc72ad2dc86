//! Any command line at all.

use super::*;
use proptest::prelude::*;
use std::os::unix::ffi::OsStringExt;

/// A word that comes close to a right one, or anything.
fn word() -> impl Strategy<Value = OsString> {
    let flags: Vec<&str> = COMMANDS
        .iter()
        .chain([&"audit", &"load"])
        .flat_map(|name| find(name).unwrap().flags.iter().map(|flag| flag.long))
        .chain(["--", "-", "-h", "help", "off"])
        .collect();
    let flag = prop::sample::select(flags).boxed();
    let value = prop_oneof![
        "[0-9]{1,22}(ns|us|ms|s|m|h|d|y|M|w)?([0-9.]{1,12}(ms|s|y))?",
        "(http://|tcp://|unix:|\\[)?[a-z0-9:.\\[\\]/?#@ %é\"<>^`{}|\\\\]{0,30}",
        "[0-9s/]{0,12}",
        ".{0,20}",
    ]
    .boxed();
    prop_oneof![
        flag.clone().prop_map(OsString::from),
        value.clone().prop_map(OsString::from),
        (flag, value).prop_map(|(flag, value)| format!("{flag}={value}").into()),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(OsString::from_vec),
    ]
}

proptest! {
    #[test]
    fn no_command_line_panics_and_what_is_refused_fits_one_line(
        command in prop::sample::select([&COMMANDS[..], &["audit", "load"]].concat()),
        mut words in prop::collection::vec(word(), 0..6),
        named in prop::bool::weighted(0.9),
    ) {
        if named {
            words.insert(0, command.into());
        }
        match parse(words) {
            Err(Usage(line)) => {
                prop_assert!(!line.chars().any(controls_terminal), "{line:?}");
                prop_assert!(line.contains("; try 'switchboard"), "{line:?}");
            }
            Ok(Parsed::Run(Config::Client(client))) => {
                if let Target::Http { host, path, .. } = client.target {
                    prop_assert!(path.parse::<hyper::Uri>().is_ok_and(|uri| uri.path().starts_with('/')), "{path:?}");
                    prop_assert!(hyper::header::HeaderValue::from_str(&host).is_ok(), "{host:?}");
                }
            }
            Ok(_) => {}
        }
    }

    #[test]
    fn every_way_to_write_an_option_means_the_same(value in "[ -~]{0,20}") {
        let joined = parse_words(&["client", "tcp://a:1", &format!("--send={value}")]);
        let expected = Input::Text(value);
        prop_assert!(matches!(joined, Ok(Parsed::Run(Config::Client(client))) if client.input == expected));
    }
}
