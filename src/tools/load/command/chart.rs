//! Charts as SVG, drawn by hand: an axis each way, lines with a legend, or bars. Nothing in them is loaded or run.

use crate::tools::page::escape;
use std::fmt;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 300.0;
/// Room for a rate in the letters of a narrow page.
const LEFT: f64 = 120.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 45.0;
/// More points than a pointer can tell apart.
const TIPS_MAX: usize = 250;
/// About how many lines across a linear axis.
const TICKS: f64 = 5.0;

/// How values lie along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From zero, in equal steps.
    Linear,
    /// As it, in steps that are round as bytes are written: in powers of 1024.
    Bytes,
    /// In equal factors; values are above zero.
    Logarithmic,
}

pub struct Line {
    pub name: &'static str,
    /// The class that gives it its colour.
    pub class: &'static str,
    /// x and y; x is from 0 to 1.
    pub points: Vec<(f64, f64)>,
}

pub struct Chart {
    pub title: &'static str,
    pub scale: Scale,
    pub lines: Vec<Line>,
    /// Bars beside each other, by their heights.
    pub bars: Vec<f64>,
    /// What is written below, by its place from 0 to 1.
    pub marks: Vec<(f64, String)>,
    /// How a value of the y axis is written.
    pub show: fn(f64) -> String,
}

impl fmt::Display for Chart {
    /// The chart as an `svg` element.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = escape(self.title);
        writeln!(
            f,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\" \
             xmlns=\"http://www.w3.org/2000/svg\">"
        )?;
        writeln!(f, "<text class=\"title\" x=\"{LEFT}\" y=\"18\">{title}</text>")?;
        let range = self.range();
        for value in self.ticks(range) {
            let (y, text) = (self.y(value, range), escape(&(self.show)(value)));
            let (left, right) = (LEFT - 8.0, WIDTH - RIGHT);
            writeln!(f, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>")?;
            writeln!(f, "<text class=\"y\" x=\"{left}\" y=\"{:.1}\">{text}</text>", y + 4.0)?;
        }
        for (place, text) in &self.marks {
            let (x, y) = (x(*place), HEIGHT - BOTTOM + 20.0);
            writeln!(f, "<text class=\"x\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(text))?;
        }
        let bar = 1.0 / self.bars.len().max(1) as f64;
        for (at, height) in self.bars.iter().enumerate() {
            let (left, right) = (x(at as f64 * bar) + 1.0, x((at + 1) as f64 * bar) - 1.0);
            let (top, foot) = (self.y(*height, range), HEIGHT - BOTTOM);
            let (width, height) = ((right - left).max(0.5), foot - top);
            write!(f, "<rect class=\"bar\" x=\"{left:.1}\" y=\"{top:.1}\" ")?;
            let value = escape(&(self.show)(self.bars[at]));
            writeln!(f, "width=\"{width:.1}\" height=\"{height:.1}\"><title>{value}</title></rect>")?;
        }
        for (number, Line { name, class, points: values }) in self.lines.iter().enumerate() {
            let point = |(at, value): &(f64, f64)| format!("{:.1},{:.1}", x(*at), self.y(*value, range));
            let points: Vec<String> = values.iter().map(point).collect();
            writeln!(f, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "))?;
            self.tips(f, name, values, range)?;
            let x = WIDTH - RIGHT - 110.0 * (self.lines.len() - number) as f64;
            writeln!(f, "<line class=\"{class}\" x1=\"{x}\" x2=\"{}\" y1=\"14\" y2=\"14\"/>", x + 20.0)?;
            writeln!(f, "<text class=\"legend\" x=\"{}\" y=\"18\">{}</text>", x + 26.0, escape(name))?;
        }
        writeln!(f, "</svg>")
    }
}

impl Chart {
    /// A spot around each point of a line that tells its value to a pointer that rests there.
    fn tips(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        values: &[(f64, f64)],
        range: (f64, f64),
    ) -> fmt::Result {
        if values.len() > TIPS_MAX {
            return Ok(());
        }
        for (at, value) in values {
            let (x, y) = (x(*at), self.y(*value, range));
            let value = escape(&(self.show)(*value));
            writeln!(
                f,
                "<circle class=\"tip\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"><title>{} {value}</title></circle>",
                escape(name)
            )?;
        }
        Ok(())
    }

    /// The least and the greatest value of the y axis.
    fn range(&self) -> (f64, f64) {
        let lines = self.lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value));
        let values: Vec<f64> = lines.chain(self.bars.iter().copied()).collect();
        let most = values.iter().copied().fold(0.0, f64::max);
        match self.scale {
            Scale::Linear | Scale::Bytes => {
                let step = self.step(most);
                (0.0, (most / step).ceil().max(1.0) * step)
            }
            Scale::Logarithmic => {
                let above_zero = values.into_iter().filter(|value| *value > 0.0);
                let least = above_zero.fold(f64::INFINITY, f64::min).min(most.max(1.0));
                let power = |value: f64| 10_f64.powf(value);
                let top = power(most.max(1.0).log10().ceil());
                let foot = power(least.max(1e-9).log10().floor());
                (foot, if top > foot { top } else { foot * 10.0 })
            }
        }
    }

    fn y(&self, value: f64, (least, most): (f64, f64)) -> f64 {
        let part = match self.scale {
            Scale::Linear | Scale::Bytes => (value - least) / (most - least),
            Scale::Logarithmic => (value.max(least) / least).log10() / (most / least).log10(),
        };
        HEIGHT - BOTTOM - part.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn step(&self, most: f64) -> f64 {
        if self.scale != Scale::Bytes {
            return step(most);
        }
        let prefix = 1024_f64.powf((most / TICKS).max(1.0).log(1024.0).floor());
        let step = step(most / prefix);
        // What comes after 500 KiB is 1 MiB.
        prefix * if step >= 1000.0 { 1024.0 } else { step }
    }

    fn ticks(&self, (least, most): (f64, f64)) -> Vec<f64> {
        match self.scale {
            Scale::Linear | Scale::Bytes => {
                let step = self.step(most);
                (0..=(most / step).round() as usize).map(|number| number as f64 * step).collect()
            }
            Scale::Logarithmic => {
                let powers = (most / least).log10().round() as i32;
                (0..=powers).map(|power| least * 10_f64.powi(power)).collect()
            }
        }
    }
}

fn x(place: f64) -> f64 {
    LEFT + place.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
}

/// A round step that divides `most` into about [`TICKS`] parts.
fn step(most: f64) -> f64 {
    let raw = (most / TICKS).max(1e-3);
    let unit = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| unit * factor >= raw * 0.999);
    unit * factor.unwrap_or(10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(scale: Scale, points: Vec<(f64, f64)>) -> String {
        let lines = vec![Line { name: "a", class: "one", points }];
        let show = |value: f64| format!("{value}");
        Chart { title: "t", scale, lines, bars: Vec::new(), marks: Vec::new(), show }.to_string()
    }

    #[test]
    fn whatever_the_values_are_every_coordinate_is_a_number() {
        for scale in [Scale::Linear, Scale::Bytes, Scale::Logarithmic] {
            for points in [
                vec![],
                vec![(0.0, 0.0)],
                vec![(0.0, 1.0), (1.0, 1.0)],
                vec![(0.5, 1e-9), (0.6, 1e12)],
                vec![(0.0, 0.0), (1.0, 7e9)],
            ] {
                let svg = chart(scale, points);
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }

    #[test]
    fn steps_are_round() {
        for (most, expected) in [(100.0, 20.0), (7.0, 2.0), (0.0, 0.001), (123_456.0, 50_000.0)] {
            assert!((step(most) - expected).abs() < expected * 1e-9, "{most}: {}", step(most));
        }
    }

    #[test]
    fn markup_in_a_text_stays_text() {
        assert_eq!(escape("<a b=\"'&\u{1b}\u{ffff}ä"), "&lt;a b=&quot;&#39;&amp;ä");
    }

    #[test]
    fn bytes_are_marked_where_they_are_round() {
        let marks = |most: f64| {
            let lines = vec![Line { name: "a", class: "one", points: vec![(0.0, most)] }];
            let show = |value: f64| crate::text::units::rate(value as u64);
            let chart =
                Chart { title: "t", scale: Scale::Bytes, lines, bars: Vec::new(), marks: Vec::new(), show };
            chart.ticks(chart.range()).into_iter().map(show).collect::<Vec<_>>()
        };
        assert_eq!(marks(5.5e6), ["0 B/s", "2 MiB/s", "4 MiB/s", "6 MiB/s"]);
        assert_eq!(marks(4.5e6), ["0 B/s", "1 MiB/s", "2 MiB/s", "3 MiB/s", "4 MiB/s", "5 MiB/s"]);
        assert_eq!(marks(900.0), ["0 B/s", "200 B/s", "400 B/s", "600 B/s", "800 B/s", "1000 B/s"]);
    }
}
