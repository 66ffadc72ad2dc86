//! The documentation of this program, for a terminal and as a manual page. It is written in a part of Markdown: headings,
//! paragraphs, lists, tables, blocks of code; in a line code, bold and links.

use crate::text::wrap::{WIDTH, wrap};
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

/// A piece of a text that stands by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// The number of its signs, and the line.
    Heading(usize, String),
    Paragraph(String),
    /// One item of a list, with what stands before it: `- ` or `1. `.
    Item(String, String),
    /// Rows of cells; the first row has the heads.
    Table(Vec<Vec<String>>),
    Code(Vec<String>),
}

/// Reads a text.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().peekable();
    // Lines that follow each other are one block.
    let mut open = false;
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let code = lines.by_ref().take_while(|line| !line.starts_with("```"));
            blocks.push(Block::Code(code.map(str::to_owned).collect()));
            open = false;
        } else if let Some(row) = cells(line) {
            match blocks.last_mut() {
                Some(Block::Table(rows)) if open => rows.extend((!is_rule(&row)).then_some(row)),
                _ => blocks.push(Block::Table(vec![row])),
            }
            open = true;
        } else if line.starts_with('#') {
            let title = line.trim_start_matches('#');
            blocks.push(Block::Heading(line.len() - title.len(), title.trim().to_owned()));
            open = false;
        } else if line.trim().is_empty() {
            open = false;
        } else if let Some((mark, text)) = item(line) {
            blocks.push(Block::Item(mark, text));
            open = true;
        } else {
            match blocks.last_mut() {
                Some(Block::Paragraph(text) | Block::Item(_, text)) if open => {
                    text.push(' ');
                    text.push_str(line.trim());
                }
                _ => blocks.push(Block::Paragraph(line.trim().to_owned())),
            }
            open = true;
        }
    }
    blocks
}

/// The cells of a row; `\|` is a bar in a cell.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim_end().strip_prefix('|')?.strip_suffix('|')?;
    let cells = inner.replace("\\|", "\u{1}");
    Some(cells.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect())
}

/// Whether a row is the line between heads and rows.
fn is_rule(row: &[String]) -> bool {
    row.iter().all(|cell| cell.starts_with("--") && cell.trim_matches('-').is_empty())
}

fn item(line: &str) -> Option<(String, String)> {
    let (mark, text) = line.split_once(' ')?;
    let is_number =
        mark.strip_suffix('.').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    (mark == "-" || is_number && mark.len() > 1).then(|| (format!("{mark} "), text.trim().to_owned()))
}

/// A line as it is read: without the signs of Markdown. Code of several words stands in quotes.
pub fn inline(text: &str) -> String {
    read(text, "'")
}

/// As [`inline`], for a name that stands by itself: code has no quotes.
fn unquoted(text: &str) -> String {
    read(text, "")
}

fn read(text: &str, quote: &str) -> String {
    let mut line = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 0 {
            line.push_str(&links(&part.replace("**", "").replace('*', "")));
        } else if part.contains(' ') && !part.contains('\'') {
            let _ = write!(line, "{quote}{part}{quote}");
        } else {
            line.push_str(part);
        }
    }
    line
}

/// `[text](target)` as its text.
fn links(text: &str) -> String {
    let mut line = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let link = after.split_once("](").and_then(|(text, after)| Some((text, after.split_once(')')?.1)));
        let Some((text, after)) = link.filter(|(text, _)| !text.contains('[')) else {
            line.push_str(before);
            line.push('[');
            rest = after;
            continue;
        };
        line.push_str(before);
        line.push_str(text);
        rest = after;
    }
    line + rest
}

/// The text for a terminal, in lines of at most [`WIDTH`] columns; code stays as it is.
pub fn terminal(text: &str) -> String {
    let blocks = blocks(text);
    let mut page = String::new();
    for (at, block) in blocks.iter().enumerate() {
        let follows = |block: &Block| matches!(block, Block::Item(..));
        if at > 0 && !(follows(block) && follows(&blocks[at - 1])) {
            page.push('\n');
        }
        match block {
            Block::Heading(1, title) => page += &format!("{}\n", inline(title).to_uppercase()),
            Block::Heading(_, title) => page += &format!("{}\n", inline(title)),
            Block::Paragraph(text) => lines(&mut page, wrap(&inline(text), WIDTH, 0)),
            Block::Item(mark, text) => {
                let rest = wrap(&inline(text), WIDTH - mark.len(), 0);
                let indent = |(at, line)| {
                    if at == 0 { format!("{mark}{line}") } else { format!("{:1$}{line}", "", mark.len()) }
                };
                lines(&mut page, rest.into_iter().enumerate().map(indent).collect());
            }
            Block::Code(code) => {
                lines(&mut page, code.iter().map(|line| format!("  {line}").trim_end().to_owned()).collect())
            }
            Block::Table(rows) => lines(&mut page, table(rows)),
        }
    }
    page
}

fn lines(page: &mut String, lines: Vec<String>) {
    page.extend(lines.into_iter().map(|line| line + "\n"));
}

/// The widest that any column but the last is, if there is room for the last.
const COLUMN_MAX: usize = 30;
/// Fewer columns are too few to read in.
const LAST_MIN: usize = 24;
/// Between two columns.
const GAP: usize = 2;

/// Rows with a column for each cell; where they do not fit, what follows the first cell stands below it.
fn table(rows: &[Vec<String>]) -> Vec<String> {
    let cell = |(at, cell): (usize, &String)| if at == 0 { unquoted(cell) } else { inline(cell) };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().enumerate().map(cell).collect()).collect();
    let heads = rows.first().filter(|row| row.iter().any(|cell| !cell.is_empty()));
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let shown = || rows.iter().skip(usize::from(heads.is_none()));
    let laid_out = (1..=COLUMN_MAX).rev().filter_map(|most| {
        let widths = widths(&rows, columns, most)?;
        let last = WIDTH - widths.iter().sum::<usize>();
        Some(shown().flat_map(|row| beside(row, &widths, last)).collect::<Vec<_>>())
    });
    // The lowest one.
    laid_out
        .min_by_key(Vec::len)
        .unwrap_or_else(|| rows.iter().skip(1).flat_map(|row| stacked(row, heads)).collect())
}

/// How wide all columns but the last are with their gaps, each at most `most` unless a word is longer; none if they leave too
/// few for the last.
fn widths(rows: &[Vec<String>], columns: usize, most: usize) -> Option<Vec<usize>> {
    let width = |column: usize| {
        let cells = || rows.iter().filter_map(|row| row.get(column));
        let word = cells().flat_map(|cell| cell.split(' ')).map(UnicodeWidthStr::width).max().unwrap_or(0);
        let whole = cells().map(|cell| cell.width()).max().unwrap_or(0);
        whole.min(most).max(word) + GAP
    };
    let widths: Vec<usize> = (0..columns.saturating_sub(1)).map(width).collect();
    (widths.iter().sum::<usize>() + LAST_MIN <= WIDTH).then_some(widths)
}

/// A row in columns of these widths; the last cell has `last` columns.
fn beside(row: &[String], widths: &[usize], last: usize) -> Vec<String> {
    let limits = widths.iter().map(|width| width - GAP).chain([last]);
    let cells: Vec<Vec<String>> = row.iter().zip(limits).map(|(cell, limit)| wrap(cell, limit, 0)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |at: usize| {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let text = cell.get(at).map_or("", String::as_str);
            line.push_str(text);
            let pad = widths.get(column).map_or(0, |width| width.saturating_sub(text.width()));
            line.push_str(&" ".repeat(pad));
        }
        line.trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// A row whose cells stand below the first, each behind its head.
fn stacked(row: &[String], heads: Option<&Vec<String>>) -> Vec<String> {
    const INDENT: usize = 4;
    let mut lines: Vec<String> = row.first().map(|first| wrap(first, WIDTH, 2)).unwrap_or_default();
    for (at, cell) in row.iter().enumerate().skip(1).filter(|(_, cell)| !cell.is_empty()) {
        let head = heads.and_then(|heads| heads.get(at)).map_or("", String::as_str);
        let space = if head.is_empty() { "" } else { ": " };
        let wrapped = wrap(&format!("{head}{space}{cell}"), WIDTH - INDENT, 0);
        lines.extend(wrapped.into_iter().map(|line| format!("{:INDENT$}{line}", "")));
    }
    lines
}

/// The text as a part of a manual page (groff_man(7)).
pub fn roff(text: &str) -> String {
    let mut page = String::new();
    for block in blocks(text) {
        match block {
            Block::Heading(1, title) => {
                page += &format!(".SH {}\n", roff_line(&inline(&title)).to_uppercase())
            }
            Block::Heading(_, title) => page += &format!(".SS {}\n", roff_line(&inline(&title))),
            Block::Paragraph(text) => page += &format!(".PP\n{}\n", roff_line(&inline(&text))),
            Block::Item(mark, text) => {
                page += &format!(".IP \"{}\" 4\n{}\n", roff_line(mark.trim()), roff_line(&inline(&text)));
            }
            Block::Code(code) => page += &roff_code(&code),
            Block::Table(rows) => page += &roff_code(&table(&rows)),
        }
    }
    page
}

/// Lines that stay as they are.
pub fn roff_code(lines: &[String]) -> String {
    let lines: String = lines.iter().map(|line| roff_line(line) + "\n").collect();
    format!(".PP\n.nf\n{lines}.fi\n")
}

/// A line in which nothing is an instruction: no sign of roff at its begin, and no escape. It is ASCII.
pub fn roff_line(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    if line.starts_with(['.', '\'']) {
        safe.push_str("\\&");
    }
    for char in line.chars() {
        let _ = match char {
            '\\' => write!(safe, "\\e"),
            '-' => write!(safe, "\\-"),
            char if char.is_ascii() => write!(safe, "{char}"),
            char => write!(safe, "\\[u{:04X}]", u32::from(char)),
        };
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A title\n\nTwo lines\nof `code` and **bold**.\n\n- one\n  more\n- two\n\n| a | b |\n|---|---|\n\
                        | `x\\|y` | text |\n\n```console\n$ ls\n\n  -x\n```\n";

    #[test]
    fn a_text_is_its_blocks() {
        let text = |text: &str| text.to_owned();
        let expected = [
            Block::Heading(1, text("A title")),
            Block::Paragraph(text("Two lines of `code` and **bold**.")),
            Block::Item(text("- "), text("one more")),
            Block::Item(text("- "), text("two")),
            Block::Table(vec![vec![text("a"), text("b")], vec![text("`x|y`"), text("text")]]),
            Block::Code(vec![text("$ ls"), text(""), text("  -x")]),
        ];
        assert_eq!(blocks(TEXT), expected);
    }

    #[test]
    fn a_terminal_gets_no_signs_of_markdown() {
        let expected = "A TITLE\n\nTwo lines of code and bold.\n\n- one more\n- two\n\na    b\nx|y  text\n\n  $ ls\n\n    -x\n";
        assert_eq!(terminal(TEXT), expected);
    }

    #[test]
    fn a_link_is_its_text() {
        assert_eq!(inline("see [the page](x.md), not a[1] or [b"), "see the page, not a[1] or [b");
        assert_eq!(inline("`a b` and `c`"), "'a b' and c");
    }

    #[test]
    fn a_table_that_is_too_wide_stands_below_its_first_cells() {
        let long = "w".repeat(28);
        let text = format!("| a | b | c |\n|---|---|---|\n| {long} | {long} | text |\n");
        assert_eq!(terminal(&text), format!("{long}\n    b: {long}\n    c: text\n"));
    }

    #[test]
    fn a_manual_page_has_no_instruction_of_its_text() {
        let page = roff("# T\n\n.so /etc/passwd µ\n\n```\n.sh\n'x\\n\n```\n");
        assert_eq!(page, ".SH T\n.PP\n\\&.so /etc/passwd \\[u00B5]\n.PP\n.nf\n\\&.sh\n\\&'x\\en\n.fi\n");
    }
}
