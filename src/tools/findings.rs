//! What a run found, as files for other programs: JUnit for CI, Markdown for a ticket, a page, and annotations for GitHub.

use crate::{
    error::reason,
    text::units,
    tools::{
        failure::{Failure, Fault},
        page::{self, escape},
    },
};
use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// A form of the report besides what is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Junit(PathBuf),
    Markdown(PathBuf),
    Html(PathBuf),
    /// Annotations on standard output, and the Markdown where `GITHUB_STEP_SUMMARY` says.
    Github,
}

/// What was found of one thing.
pub struct Case {
    pub name: String,
    /// What it is about.
    pub about: String,
    /// In a word: `same`, `lies`, `passed`.
    pub verdict: String,
    /// What was seen.
    pub seen: String,
    /// What is wrong, and what to do; none if nothing is.
    pub problem: Option<String>,
}

pub struct Findings {
    /// `audit` or `load`, and what it was made of.
    pub tool: &'static str,
    pub subject: String,
    /// The whole in one line.
    pub summary: String,
    pub took: Duration,
    pub cases: Vec<Case>,
    pub json: String,
    /// A page of the tool's own; none: one is made of the cases.
    pub page: Option<String>,
}

impl Findings {
    /// Writes each form. Annotations go to `out`.
    pub fn write(&self, forms: &[Form], out: &mut dyn Write) -> Result<(), Failure> {
        for form in forms {
            match form {
                Form::Junit(path) => write(path, &self.junit())?,
                Form::Markdown(path) => write(path, &self.markdown())?,
                Form::Html(path) => write(path, &self.page.clone().unwrap_or_else(|| self.html()))?,
                Form::Github => {
                    out.write_all(self.github().as_bytes()).map_err(|error| Failure::output(&error))?;
                    if let Some(path) = env::var_os("GITHUB_STEP_SUMMARY") {
                        append(Path::new(&path), &self.markdown())?;
                    }
                }
            }
        }
        Ok(())
    }

    fn problems(&self) -> impl Iterator<Item = (&Case, &str)> {
        self.cases.iter().filter_map(|case| Some((case, case.problem.as_deref()?)))
    }

    /// As JUnit's own reports, which CI systems read.
    fn junit(&self) -> String {
        let (failures, tests, seconds) =
            (self.problems().count(), self.cases.len(), units::rounded(self.took.as_secs_f64(), 3));
        let name = escape(&format!("switchboard {}: {}", self.tool, self.subject));
        let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
        let _ = writeln!(xml, "<testsuites tests=\"{tests}\" failures=\"{failures}\" time=\"{seconds}\">");
        let [(_, date), (_, host), ..] = page::made();
        let _ = writeln!(
            xml,
            "<testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" \
             time=\"{seconds}\" timestamp=\"{}\" hostname=\"{}\">\n<properties>",
            date.split('.').next().unwrap_or_default(),
            escape(&host)
        );
        for (key, value) in page::made() {
            let _ = writeln!(xml, "<property name=\"{key}\" value=\"{}\"/>", escape(&value));
        }
        xml += "</properties>\n";
        for case in &self.cases {
            let _ = write!(
                xml,
                "<testcase classname=\"switchboard.{}\" name=\"{}\" time=\"0\">",
                self.tool,
                escape(&case.name)
            );
            if let Some(problem) = &case.problem {
                let (verdict, seen) = (escape(&case.verdict), escape(&case.seen));
                let _ = write!(
                    xml,
                    "<failure message=\"{verdict}: {seen}\" type=\"{verdict}\">{}</failure>",
                    escape(problem)
                );
            }
            let _ = writeln!(xml, "<system-out>{}</system-out></testcase>", escape(&case.seen));
        }
        xml + "</testsuite>\n</testsuites>\n"
    }

    /// For a ticket.
    fn markdown(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let mut text = format!("## switchboard {} of {}\n\n{}\n\n", self.tool, self.subject, self.summary);
        text += "| | verdict | seen |\n|---|---|---|\n";
        for case in &self.cases {
            let mark = if case.problem.is_some() { "❌" } else { "✅" };
            let (name, verdict, seen) = (cell(&case.name), cell(&case.verdict), cell(&case.seen));
            let _ = writeln!(text, "| {mark} `{name}` | {verdict} | {seen} |");
        }
        for (case, problem) in self.problems() {
            let _ = writeln!(text, "\n**{}** ({}): {}", case.name, case.about, problem.replace('\n', "  \n"));
        }
        text.push('\n');
        for (key, value) in page::made() {
            let _ = writeln!(text, "- {key}: `{}`", value.replace('`', "'"));
        }
        text
    }

    /// Workflow commands (GitHub Actions), one a problem.
    fn github(&self) -> String {
        let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
        let mut text = String::new();
        for (case, problem) in self.problems() {
            let title = property(&format!("{} {}: {}", self.tool, case.name, case.verdict));
            let _ = writeln!(text, "::error title={title}::{}", data(problem));
        }
        let title = property(&format!("switchboard {}", self.tool));
        text + &format!("::notice title={title}::{}\n", data(&self.summary))
    }

    fn html(&self) -> String {
        let title = escape(&format!("switchboard {} of {}", self.tool, self.subject));
        let mut html = format!("{}<title>{title}</title>\n{}</head>\n<body>\n", page::BEGIN, page::STYLE);
        let _ = writeln!(html, "<h1>{title}</h1>\n<p>{}</p>\n<table>", escape(&self.summary));
        for case in &self.cases {
            let class = if case.problem.is_some() { "bad" } else { "good" };
            let (name, about, verdict, seen) =
                (escape(&case.name), escape(&case.about), escape(&case.verdict), escape(&case.seen));
            let _ = writeln!(
                html,
                "<tr title=\"{about}\"><th>{name}</th><td class=\"verdict {class}\">{verdict}</td><td>{seen}</td></tr>"
            );
        }
        html += "</table>\n";
        for (case, problem) in self.problems() {
            let lines: Vec<String> = problem.lines().map(escape).collect();
            let (name, about) = (escape(&case.name), escape(&case.about));
            let _ = writeln!(
                html,
                "<h2>{name}</h2>\n<p class=\"dim\">{about}</p>\n<p>{}</p>",
                lines.join("<br/>")
            );
        }
        html + &page::foot(self.tool, &self.json)
    }
}

/// A file that a command line names.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| failed(path, &error))
}

fn append(path: &Path, text: &str) -> Result<(), Failure> {
    let file = File::options().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Fault::Output, format!("cannot write '{}': {}", path.display(), reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let case = |name: &str, problem: Option<&str>| Case {
            name: name.into(),
            about: "a|b".into(),
            verdict: "lies".into(),
            seen: "x < y & \u{1}\"z\" | w".into(),
            problem: problem.map(Into::into),
        };
        Findings {
            tool: "audit",
            subject: "a:1".into(),
            summary: "100 % bad\nreally".into(),
            took: Duration::from_millis(1500),
            cases: vec![case("one", None), case("two", Some("first: line\nsecond"))],
            json: "{\"a\":\"<é>\"}\n".into(),
            page: None,
        }
    }

    #[test]
    fn junit_is_xml_that_counts_what_failed() {
        let xml = findings().junit();
        let document = roxmltree::Document::parse(&xml).unwrap();
        let of = |name| document.descendants().filter(move |node| node.has_tag_name(name)).count();
        assert_eq!((of("testcase"), of("failure")), (2, 1));
        let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
        assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("2"), Some("1")));
        assert_eq!(suite.attribute("time"), Some("1.5"));
    }

    #[test]
    fn a_page_is_well_formed_and_holds_its_figures() {
        let html = findings().html();
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
        let document = roxmltree::Document::parse_with_options(&html, options).unwrap();
        let link = document
            .descendants()
            .find(|node| node.has_tag_name(("http://www.w3.org/1999/xhtml", "a")))
            .unwrap();
        assert_eq!(link.attribute("href"), Some("data:application/json,%7B%22a%22%3A%22%3C%C3%A9%3E%22%7D"));
        assert_eq!(link.attribute("download"), Some("audit.json"));
    }

    #[test]
    fn a_cell_and_an_annotation_cannot_end_early() {
        let markdown = findings().markdown();
        assert!(markdown.contains("| ❌ `two` | lies | x < y & \u{1}\"z\" \\| w |"), "{markdown}");
        let github = findings().github();
        assert!(github.starts_with("::error title=audit two%3A lies::first: line%0Asecond\n"), "{github}");
        assert!(github.ends_with("::notice title=switchboard audit::100 %25 bad%0Areally\n"), "{github}");
    }
}
