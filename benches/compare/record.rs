//! The report: shown as it grows, and appended to RESULTS.md with what one must know to compare it with another.

use crate::{layout::Layout, options::Options, server::Server, table::Table};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    process::{Command, Stdio},
};

const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/RESULTS.md");
/// What was found so far, as Markdown.
pub struct Report {
    text: String,
}

impl Report {
    /// Begins with date, commit, machine, command and peers; shows it.
    pub fn new(options: &Options, servers: &[Server], network: &str, layouts: &[Layout]) -> Self {
        let peers = [Server::Haproxy, Server::Nginx, Server::Socat].into_iter();
        let peers: Vec<String> = peers
            .filter(|peer| servers.contains(peer))
            .map(|peer| format!("{} {}", peer.name(), peer.version().unwrap_or_default()))
            .collect();
        let layouts: Vec<String> =
            layouts.iter().map(|layout| format!("{}: {}", layout.name, layout.about())).collect();
        let mut report = Report { text: String::new() };
        report.show(&format!(
            "## {} · {}\n\n- machine: {}\n- network: {network}\n- processors: {}\n- command: `{}`\n- rounds: {} of {:?}\n- peers: {}\n",
            jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"),
            commit(),
            machine(),
            layouts.join("; "),
            options.command,
            options.rounds(),
            options.window(),
            if peers.is_empty() { "none found".to_owned() } else { peers.join(", ") },
        ));
        report
    }

    /// Adds a table and shows it.
    pub fn add(&mut self, table: &Table) {
        self.show(&format!("\n{table}"));
    }

    /// Appends all of it to RESULTS.md, where the options ask for that.
    pub fn finish(self, options: &Options) -> io::Result<()> {
        if !options.record {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).create(true).open(RESULTS)?;
        write!(file, "\n{}", self.text)?;
        println!("\nappended to {RESULTS}");
        Ok(())
    }

    fn show(&mut self, text: &str) {
        print!("{text}");
        let _ = io::stdout().flush();
        self.text += text;
    }
}

fn commit() -> String {
    let arguments = ["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--abbrev=12"];
    let output = Command::new("git").args(arguments).stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "no commit".to_owned())
}

fn machine() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processors = information.lines().filter(|line| line.starts_with("processor")).count();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    format!("{processors} × {}, Linux {release}", model.unwrap_or("unknown processor"))
}
