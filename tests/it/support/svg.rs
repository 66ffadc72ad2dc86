//! A terminal's screen as a picture (SVG 1.1).

use std::fmt::Write;
use vt100::{Color, Screen};

/// Of one character, in the picture's own units.
const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 18.0;
const MARGIN: f32 = 12.0;
const BACKGROUND: &str = "#16181d";
const FOREGROUND: &str = "#d7dae0";
/// The sixteen colours of a terminal, dark and bright.
const COLOURS: [&str; 16] = [
    "#3b4048", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0", "#7f848e",
    "#ff7b86", "#b5e08c", "#ffd787", "#7cc0ff", "#dd93f2", "#6fd3df", "#ffffff",
];

/// How a character is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Style {
    front: Color,
    back: Color,
    bold: bool,
    dim: bool,
}

fn colour(colour: Color, default: &str) -> String {
    match colour {
        Color::Default => default.to_owned(),
        Color::Idx(index) => COLOURS.get(usize::from(index)).copied().unwrap_or(default).to_owned(),
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The picture.
pub fn picture(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let [width, height] =
        [(columns, WIDTH), (rows, HEIGHT)].map(|(count, unit)| f32::from(count) * unit + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <title>switchboard top</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\" xml:space=\"preserve\">\n"
    );
    for row in 0..rows {
        for (column, style, text) in runs(screen, row, columns) {
            run(&mut svg, row, column, style, &text);
        }
    }
    svg + "</g>\n</svg>\n"
}

/// The pieces of a row that are drawn alike, each with the column where it begins.
fn runs(screen: &Screen, row: u16, columns: u16) -> Vec<(u16, Style, String)> {
    let mut runs: Vec<(u16, Style, String)> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column) else { continue };
        let (mut front, mut back) = (cell.fgcolor(), cell.bgcolor());
        if cell.inverse() {
            (front, back) = (
                if back == Color::Default { Color::Idx(0) } else { back },
                if front == Color::Default { Color::Idx(7) } else { front },
            );
        }
        let style = Style { front, back, bold: cell.bold(), dim: cell.dim() };
        let text = if cell.has_contents() { cell.contents() } else { " " };
        match runs.last_mut() {
            Some((_, last, run)) if *last == style => run.push_str(text),
            _ => runs.push((column, style, text.to_owned())),
        }
    }
    runs
}

fn run(svg: &mut String, row: u16, column: u16, style: Style, text: &str) {
    let (x, y) = (MARGIN + f32::from(column) * WIDTH, MARGIN + f32::from(row) * HEIGHT);
    let count = text.chars().count();
    let width = count as f32 * WIDTH;
    if style.back != Color::Default {
        let fill = colour(style.back, BACKGROUND);
        writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{fill}\"/>"
        )
        .unwrap();
    }
    if text.trim().is_empty() {
        return;
    }
    let fill = colour(style.front, FOREGROUND);
    let weight = if style.bold { " font-weight=\"bold\"" } else { "" };
    let opacity = if style.dim { " opacity=\"0.6\"" } else { "" };
    let shown = text.trim_end();
    let length = shown.chars().count() as f32 * WIDTH;
    let (baseline, shown) = (y + 14.0, escaped(shown));
    writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{baseline:.1}\" textLength=\"{length:.1}\" fill=\"{fill}\"{weight}{opacity}>{shown}</text>"
    )
    .unwrap();
}
