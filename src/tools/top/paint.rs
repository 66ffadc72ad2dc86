//! How text on the screen stands out.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

/// The few ways in which text stands out; without colours (`NO_COLOR`) by weight alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    pub colour: bool,
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
}

/// Writes one line, cut off at the end of the part.
pub fn put(buffer: &mut Buffer, part: Rect, text: &str, style: Style) {
    if !part.is_empty() {
        buffer.set_stringn(part.x, part.y, text, part.width.into(), style);
    }
}
