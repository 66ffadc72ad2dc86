//! Any bytes as a configuration file: `check` answers, and never panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{ffi::OsString, fs, process};
use switchboard::cli::{Parsed, parse};

fuzz_target!(|bytes: &[u8]| {
    let path = format!("/dev/shm/switchboard-fuzz-{}.toml", process::id());
    fs::write(&path, bytes).unwrap();
    let answer = parse(["check", &path, "--json"].map(OsString::from), []);
    assert!(matches!(answer, Ok(Parsed::Answer(_))), "{answer:?}");
});
