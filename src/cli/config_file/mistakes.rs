//! What is wrong with a file, and where: shown as a compiler does.

use crate::cli::one_line;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;
use std::{collections::BTreeSet, ops::Range};

/// More are not read by anybody, and a large file may have a million.
const MISTAKES_MAX: usize = 1000;
/// What is shown of them.
const SHOWN_MAX: usize = 200;
/// What is shown of a line beside the mistake: a line may be as long as a file.
const LINE_BYTES_MAX: usize = 1000;
/// What is shown of a value.
const VALUE_CHARS_MAX: usize = 60;

/// The text of a file, and its name as people read it.
pub struct SourceText {
    pub name: String,
    pub text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub severity: Severity,
    /// Bytes of the text.
    pub span: Range<usize>,
    /// One lower-case sentence.
    pub text: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// A mistake for machines.
#[derive(Serialize)]
pub struct MistakeRecord<'a> {
    severity: Severity,
    line: usize,
    column: usize,
    text: &'a str,
    help: Option<&'a str>,
}

/// All that is wrong with a text.
pub struct Found<'a> {
    pub source: &'a SourceText,
    mistakes: Vec<Mistake>,
    /// Lines that are no TOML, from 0: what was read of them is not what they say.
    broken: BTreeSet<usize>,
}

impl SourceText {
    pub fn new(name: &str, text: String) -> Self {
        let begins = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let lines = [0].into_iter().chain(begins).collect();
        SourceText { name: one_line(name), text, lines }
    }

    /// The number of the line of a byte, from 0.
    pub fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= at).saturating_sub(1)
    }

    /// The text of a line, without its end.
    fn line_text(&self, line: usize) -> &str {
        let begin = self.lines.get(line).copied().unwrap_or(0);
        let end = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        self.text[begin..end].trim_end_matches(['\n', '\r'])
    }

    /// The line of a byte, shortened.
    pub fn line_shown(&self, at: usize) -> String {
        let line = self.line_text(self.line(at));
        let begin = self.lines[self.line(at)];
        self.shown(&(begin..begin + line.len()))
    }

    /// Line and column of a byte, from 1; the column counts characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let at = floor(&self.text, at);
        let line = self.line(at);
        (line + 1, self.text[self.lines[line]..at].chars().count() + 1)
    }

    /// What a span holds, in one short line.
    pub fn shown(&self, span: &Range<usize>) -> String {
        let begin = floor(&self.text, span.start);
        let end = ceil(&self.text, span.end.max(begin));
        let text = self.text[begin..end].trim();
        match text.char_indices().nth(VALUE_CHARS_MAX) {
            Some((cut, _)) => one_line(&format!("{}…", &text[..cut])),
            None => one_line(text),
        }
    }

    /// `FILE:LINE:COLUMN: error: text`.
    pub fn first_line(&self, mistake: &Mistake) -> String {
        let (line, column) = self.position(mistake.span.start);
        format!("{}:{line}:{column}: {}: {}", self.name, mistake.severity.name(), mistake.text)
    }

    /// A mistake as a person reads it, with the place that it is about.
    fn rendered(&self, mistake: &Mistake, colour: bool) -> String {
        let (line, column) = self.position(mistake.span.start);
        let level = match mistake.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let (text, span, first) = self.excerpt(&mistake.span);
        let snippet = Snippet::source(text).line_start(first + 1);
        let snippet = snippet.annotation(AnnotationKind::Primary.span(span));
        let mut group = level.primary_title(mistake.text.as_str()).element(snippet);
        if let Some(help) = &mistake.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        format!("{}:{line}:{column}: {}\n", self.name, renderer.render(&[group]))
    }

    /// The lines of a span, at most two of them and not too long; the span in them; and the first line's number, from 0.
    fn excerpt(&self, span: &Range<usize>) -> (&str, Range<usize>, usize) {
        let start = floor(&self.text, span.start);
        let first = self.line(start);
        let last = self.line(span.end.saturating_sub(1).max(start)).min(first + 1);
        let begin = self.lines[first].max(start.saturating_sub(LINE_BYTES_MAX));
        let begin = ceil(&self.text, begin).min(start);
        let end = self.lines.get(last + 1).copied().unwrap_or(self.text.len());
        let end = floor(&self.text, end.min(start.saturating_add(LINE_BYTES_MAX))).max(start);
        let text = self.text[begin..end].trim_end_matches(['\n', '\r']);
        let in_text = |at: usize| floor(&self.text, at.max(begin)).saturating_sub(begin).min(text.len());
        let span_end = in_text(span.end).max(in_text(start));
        (text, in_text(start)..span_end, first)
    }
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

impl<'a> Found<'a> {
    pub fn new(source: &'a SourceText) -> Self {
        Found { source, mistakes: Vec::new(), broken: BTreeSet::new() }
    }

    /// Notes that the line of a byte is no TOML. Returns whether it is the first time: the rest follows from that.
    pub fn break_at(&mut self, at: usize) -> bool {
        self.broken.insert(self.source.line(at))
    }

    /// Whether a line that is no TOML has this word: then what is missing is probably there.
    pub fn may_have_meant(&self, word: &str) -> bool {
        self.broken.iter().any(|line| self.source.line_text(*line).contains(word))
    }

    /// Something is wrong; `help` may be empty.
    pub fn error(&mut self, span: Range<usize>, text: impl Into<String>, help: &str) {
        self.add(Severity::Error, span, text.into(), help);
    }

    /// Something is legal, and probably wrong; `help` may be empty.
    pub fn warn(&mut self, span: Range<usize>, text: impl Into<String>, help: &str) {
        self.add(Severity::Warning, span, text.into(), help);
    }

    /// Adds a mistake, unless it is about a line that is no TOML, or told already of what several places use.
    fn add(&mut self, severity: Severity, span: Range<usize>, text: String, help: &str) {
        if self.mistakes.iter().any(|known| known.span == span && known.text == text) {
            return;
        }
        if !self.broken.contains(&self.source.line(span.start)) {
            self.push(severity, span, text, help);
        }
    }

    /// Whether so much is wrong that no more needs to be found.
    pub fn is_full(&self) -> bool {
        self.mistakes.len() >= MISTAKES_MAX
    }

    /// Adds a mistake of any line.
    pub fn push(&mut self, severity: Severity, span: Range<usize>, text: String, help: &str) {
        if self.is_full() {
            return;
        }
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.mistakes.push(Mistake { severity, span, text, help });
    }

    /// All of them, in the order of the file.
    pub fn into_mistakes(mut self) -> Vec<Mistake> {
        self.mistakes.sort_by(|one, other| (one.span.start, &one.text).cmp(&(other.span.start, &other.text)));
        self.mistakes.dedup();
        self.mistakes
    }
}

/// The begin of the character that has this byte, or the end of the text.
pub fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The begin of the first character at this byte or behind it, or the end of the text.
pub fn ceil(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

pub fn count(mistakes: &[Mistake], severity: Severity) -> usize {
    mistakes.iter().filter(|mistake| mistake.severity == severity).count()
}

/// The first line of each, as an editor reads it.
pub fn lines(source: &SourceText, mistakes: &[Mistake], severity: Severity) -> Vec<String> {
    let mistakes = mistakes.iter().filter(|mistake| mistake.severity == severity);
    mistakes.take(SHOWN_MAX).map(|mistake| source.first_line(mistake)).collect()
}

/// All of them, as a person reads them.
pub fn rendered(source: &SourceText, mistakes: &[Mistake], colour: bool) -> String {
    let mut text = String::new();
    for mistake in mistakes.iter().take(SHOWN_MAX) {
        text += &source.rendered(mistake, colour);
        text.push('\n');
    }
    match mistakes.len().saturating_sub(SHOWN_MAX) {
        0 => text,
        more => text + &format!("and {more} more, which are not shown\n"),
    }
}

/// All of them, for machines.
pub fn records<'f>(source: &SourceText, mistakes: &'f [Mistake]) -> Vec<MistakeRecord<'f>> {
    let record = |mistake: &'f Mistake| {
        let (line, column) = source.position(mistake.span.start);
        MistakeRecord {
            severity: mistake.severity,
            line,
            column,
            text: &mistake.text,
            help: mistake.help.as_deref(),
        }
    };
    mistakes.iter().map(record).collect()
}
