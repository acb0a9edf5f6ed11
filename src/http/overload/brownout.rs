//! What is left out while there is too much to do: the extras, before anybody is turned away for long.
//!
//! Pure, and counted in windows. A second of turning away in windows that follow each other lets go of
//! one more extra; three calm seconds give one back.

use axum::http::{HeaderName, HeaderValue};

use crate::views::Extras;

/// Windows with somebody turned away before the next extra goes.
const TROUBLED: u32 = 10;
/// Windows with nobody turned away before one comes back.
const CALM: u32 = 30;
/// Windows with nobody turned away that end a row of troubled ones.
const PAUSE: u32 = 5;

/// Says in an answer what of it was left out.
pub const BROWN_OUT: HeaderName = HeaderName::from_static("brown-out");

/// How much is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum BrownOut {
    /// Nothing.
    #[default]
    None,
    /// The facets of lists that would have to be counted.
    Facets,
    /// Suggestions too: related products, and words spelled alike.
    Suggestions,
}

impl BrownOut {
    /// Whether facets are left out.
    #[must_use]
    pub fn leaves_out_facets(self) -> bool {
        self >= Self::Facets
    }

    /// Whether suggestions are left out.
    #[must_use]
    pub fn leaves_out_suggestions(self) -> bool {
        self >= Self::Suggestions
    }

    /// What a list still has.
    #[must_use]
    pub fn extras(self) -> Extras {
        Extras {
            facets: !self.leaves_out_facets(),
            spelling: !self.leaves_out_suggestions(),
        }
    }

    /// 0, 1 or 2, for metrics.
    #[must_use]
    pub const fn level(self) -> u8 {
        self as u8
    }

    const fn next(self) -> Self {
        match self {
            Self::None => Self::Facets,
            Self::Facets | Self::Suggestions => Self::Suggestions,
        }
    }

    const fn previous(self) -> Self {
        match self {
            Self::Suggestions => Self::Facets,
            Self::Facets | Self::None => Self::None,
        }
    }
}

/// What [`BROWN_OUT`] says of an answer that lacks these; `None` if it lacks nothing.
#[must_use]
pub const fn left_out(facets: bool, suggestions: bool) -> Option<HeaderValue> {
    match (facets, suggestions) {
        (true, true) => Some(HeaderValue::from_static("facets, suggestions")),
        (true, false) => Some(HeaderValue::from_static("facets")),
        (false, true) => Some(HeaderValue::from_static("suggestions")),
        (false, false) => None,
    }
}

/// The switch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Switch {
    stands: BrownOut,
    troubled: u32,
    calm: u32,
}

impl Switch {
    pub(super) const fn stands(&self) -> BrownOut {
        self.stands
    }

    /// Ends a window.
    pub(super) const fn turn(&mut self, somebody_was_turned_away: bool) {
        if somebody_was_turned_away {
            self.troubled += 1;
            self.calm = 0;
        } else {
            self.calm += 1;
            if self.calm >= PAUSE {
                self.troubled = 0;
            }
        }
        if self.troubled >= TROUBLED {
            self.stands = self.stands.next();
            self.troubled = 0;
        }
        if self.calm >= CALM {
            self.stands = self.stands.previous();
            self.calm = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(switch: &mut Switch, windows: u32, troubled: bool) -> BrownOut {
        for _ in 0..windows {
            switch.turn(troubled);
        }
        switch.stands()
    }

    #[test]
    fn facets_go_first_and_come_back_last() {
        let mut switch = Switch::default();
        assert_eq!(after(&mut switch, TROUBLED - 1, true), BrownOut::None);
        assert_eq!(after(&mut switch, 1, true), BrownOut::Facets);
        assert_eq!(after(&mut switch, TROUBLED, true), BrownOut::Suggestions);
        assert_eq!(after(&mut switch, 100, true), BrownOut::Suggestions);
        assert_eq!(after(&mut switch, CALM, false), BrownOut::Facets);
        assert_eq!(after(&mut switch, CALM, false), BrownOut::None);
        assert_eq!(after(&mut switch, 100, false), BrownOut::None);
    }

    #[test]
    fn a_short_rush_changes_nothing() {
        let mut switch = Switch::default();
        for _ in 0..10 {
            after(&mut switch, TROUBLED - 1, true);
            assert_eq!(after(&mut switch, PAUSE, false), BrownOut::None);
        }
    }

    #[test]
    fn an_answer_names_what_it_lacks() {
        assert_eq!(left_out(false, false), None);
        assert_eq!(left_out(true, true).unwrap(), "facets, suggestions");
        assert_eq!(BrownOut::None.extras(), Extras::ALL);
        assert!(BrownOut::Suggestions.leaves_out_facets() && !BrownOut::Facets.leaves_out_suggestions());
    }
}
