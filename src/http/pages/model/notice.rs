//! Pages that only say something: faults, problem types, legal texts, the API's documentation.

use askama::Template;

use super::{Link, Shell};

/// Any 4xx or 5xx answered to a browser.
#[derive(Debug, Clone, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// Around it; may be almost empty when the fault is early.
    pub shell: Shell,
    /// HTTP status.
    pub status: u16,
    /// Title of the problem type.
    pub title: String,
    /// What happened, for this occurrence.
    pub detail: String,
    /// `/problems/{type}`, if it has one.
    pub problem_href: Option<String>,
    /// For support.
    pub trace_id: String,
    /// What to do now, best first; home is always offered.
    pub ways_on: Vec<Link>,
    /// The form that could not be taken, to be sent again as it was.
    pub repeat: Option<Repeat>,
}

/// A form to be sent again.
#[derive(Debug, Clone)]
pub struct Repeat {
    /// Where it goes.
    pub action: String,
    /// Names and values, without the token.
    pub fields: Vec<(String, String)>,
}

/// `/problems/{type}`
#[derive(Debug, Clone, Template)]
#[template(path = "problem.html")]
pub struct ProblemPage {
    /// Around it.
    pub shell: Shell,
    /// The last segment of `type`, for example `out-of-stock`.
    pub slug: String,
    /// Title.
    pub title: String,
    /// HTTP status it comes with.
    pub status: u16,
    /// What it means, in paragraphs.
    pub meaning: Vec<String>,
    /// What a client should do about it.
    pub remedy: String,
}

/// `/imprint`, `/privacy`, `/returns`: text from the configuration.
#[derive(Debug, Clone, Template)]
#[template(path = "text.html")]
pub struct TextPage {
    /// Around it.
    pub shell: Shell,
    /// Heading.
    pub heading: String,
    /// In order.
    pub sections: Vec<TextSection>,
}

/// A part of a text.
#[derive(Debug, Clone)]
pub struct TextSection {
    /// Heading; empty for the first part.
    pub heading: String,
    /// Plain text; line breaks are kept.
    pub paragraphs: Vec<String>,
}

/// `/docs`
#[derive(Debug, Clone, Template)]
#[template(path = "docs.html")]
pub struct DocsPage {
    /// Around it.
    pub shell: Shell,
}
