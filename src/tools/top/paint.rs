//! The few ways in which text stands out; without colours (`NO_COLOR`) by weight alone.

use ratatui::style::{Color, Modifier, Style};

/// How text is painted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    /// Whether there may be colours.
    pub colour: bool,
}

impl Paint {
    fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// The head of a table, and keys.
    #[must_use]
    pub fn head(self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// The chosen row.
    #[must_use]
    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What matters less.
    #[must_use]
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What moves.
    #[must_use]
    pub fn busy(self) -> Style {
        self.coloured(Color::Green)
    }

    /// What needs attention.
    #[must_use]
    pub fn alert(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }
}
