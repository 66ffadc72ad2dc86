//! The picture of `top` in the README: drawn from the real screen by `make picture`, and checked for being current.

use crate::support::{
    operator::Operated,
    program::{Program, binary},
    screen::Screen,
    stream::exchange,
    svg,
    wait::{LIMIT, within},
};
use std::{collections::BTreeSet, env, fs, io::Write, process::Stdio, thread, time::Duration};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/top.svg");
/// Units change with the amounts.
const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "kiB"];
/// Time in which the charts fill, and rates settle.
const SCENE: Duration = Duration::from_secs(4);

/// The words of a text that are no amounts.
fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_alphabetic());
    let words = words.filter(|word| word.chars().count() > 2 && !UNITS.contains(word));
    words.map(str::to_owned).collect()
}

#[test]
fn the_picture_of_the_readme_is_current() {
    let echo = Operated::start("echo", &["--log", "off"]);
    let proxy = Operated::proxy(echo.server.address(), &["--log", "off"]);
    // Some that are busy, one that is idle, and one that stalls.
    let target = format!("tcp://{}", proxy.server.address());
    let mut command = binary();
    command.args(["load", &target, "-c", "6", "--rate", "400", "--size", "8k", "--duration", "10m"]);
    let _load = Program::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let mut idle = [proxy.server.connect(), proxy.server.connect()];
    idle.iter_mut().for_each(|client| exchange(client, b"hello"));
    let screen = Screen::top(&proxy, &[]);
    within(LIMIT, "all sessions on the screen", || (screen.text().contains("127.0.0.1")).then_some(()));
    // It sends, and takes nothing of what comes back.
    idle[1].set_nonblocking(true).unwrap();
    let piece = [b'x'; 64 << 10];
    within(LIMIT, "a session stalls", || {
        while idle[1].write(&piece).is_ok() {}
        screen.text().contains("stalled").then_some(())
    });
    thread::sleep(SCENE);
    let looks: Vec<BTreeSet<String>> = (0..4)
        .map(|_| {
            thread::sleep(Duration::from_millis(300));
            words(&screen.text())
        })
        .collect();
    if env::var_os("PICTURE").is_some() {
        fs::write(PATH, svg::picture(&screen.look())).unwrap();
    }
    let picture = fs::read_to_string(PATH).expect("make picture draws it");
    let document = roxmltree::Document::parse(&picture).unwrap();
    let texts = document.descendants().filter(|node| node.has_tag_name("text"));
    let lines: Vec<&str> = texts.filter_map(|node| node.text()).collect();
    let drawn = words(&lines.join(" "));
    let always = looks.iter().skip(1).fold(looks[0].clone(), |all, look| &all & look);
    let ever = looks.iter().fold(BTreeSet::new(), |all, look| &all | look);
    assert!(always.len() > 8, "{always:?}");
    let missing: Vec<&String> = always.difference(&drawn).collect();
    assert!(missing.is_empty(), "the picture lacks {missing:?}: make picture draws it again");
    let gone: Vec<&String> = drawn.difference(&ever).collect();
    assert!(
        gone.is_empty(),
        "the picture shows {gone:?}, and the screen does not: make picture draws it again"
    );
}
