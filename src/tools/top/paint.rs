//! How text on the screen stands out.

use crate::{
    session::health::Health,
    text::{plain::plain_char, table::Colour},
    tools::ctl::page::{self, Tone},
};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

/// The few ways in which text stands out; without colours (`NO_COLOR`) by weight alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    pub colour: bool,
    /// The terminal shows plain characters and 8 colours.
    pub plain: bool,
}

impl Paint {
    fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// The head of a table, and keys.
    pub fn head(self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub fn busy(self) -> Style {
        self.coloured(Color::Green)
    }

    pub fn alert(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// How a session does.
    pub fn health(self, health: Health) -> Style {
        let style = match page::colour(health) {
            Colour::Red => return self.alert(),
            Colour::Green => self.coloured(Color::Green),
            Colour::Yellow => self.coloured(Color::Yellow),
            Colour::Magenta => self.coloured(Color::Magenta),
            Colour::Cyan => self.coloured(Color::Cyan),
            Colour::Dim => return self.dim(),
        };
        if health.urgency() > 0 { style.add_modifier(Modifier::BOLD) } else { style }
    }

    pub fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Head => self.head(),
            Tone::Dim => self.dim(),
            Tone::Health(health) => self.health(health).add_modifier(Modifier::BOLD),
            Tone::Failed => self.alert(),
        }
    }

    /// Makes what was drawn such that the terminal can show it.
    pub fn finish(self, buffer: &mut Buffer) {
        if !self.plain {
            return;
        }
        for cell in &mut buffer.content {
            if !cell.symbol().is_ascii() {
                let plain = cell.symbol().chars().next().map_or(' ', plain_char);
                cell.set_char(plain);
            }
        }
    }
}

/// Writes one line, cut off at the end of the part.
pub fn put(buffer: &mut Buffer, part: Rect, text: &str, style: Style) {
    if !part.is_empty() {
        buffer.set_stringn(part.x, part.y, text, part.width.into(), style);
    }
}
