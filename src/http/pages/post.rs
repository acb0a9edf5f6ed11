//! A form that was sent: from our own origin, with the session's token, decoded.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};

use super::fault::Repeat;
use super::model::{FieldError, FieldErrors};
use super::visit::Visit;
use crate::http::Edge;
use crate::http::auth::{CSRF_HEADER, check_origin};
use crate::http::body::{BODY_LIMIT, read};
use crate::http::problem::{Fault, Problem, kind};
use crate::http::query::pairs;

/// The field that carries the session's token.
const CSRF_FIELD: &str = "csrf_token";
/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// A form that counts.
#[derive(Debug)]
pub(super) struct Post {
    /// Who sent it, and from where.
    pub(super) visit: Visit,
    /// What it says.
    pub(super) fields: Fields,
}

impl FromRequest<Edge> for Post {
    type Rejection = Problem;

    async fn from_request(request: Request, edge: &Edge) -> Result<Self, Problem> {
        let visit = Visit::of(request.extensions())?;
        check_origin(request.headers(), edge)?;
        check_media(request.headers())?;
        let (headers, bytes) = read(request, BODY_LIMIT).await?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Problem::new(&kind::MALFORMED).detail("A form is sent in UTF-8."))?;
        let fields = Fields::parse(text)?;
        if let Some(sent) = Repeat::of(&visit.address(), &fields) {
            visit.note_sent(sent);
        }
        if let Some(session) = &visit.session {
            let header = headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
            let token = header.unwrap_or_else(|| fields.raw(CSRF_FIELD));
            if !session.matches(edge, token) {
                return Err(Problem::new(&kind::FORGED));
            }
        }
        Ok(Self { visit, fields })
    }
}

fn check_media(headers: &HeaderMap) -> Result<(), Problem> {
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|media| media.to_str().ok());
    let name = media
        .and_then(|media| media.split(';').next())
        .unwrap_or_default();
    if name.trim().eq_ignore_ascii_case(FORM) {
        Ok(())
    } else {
        Err(Problem::new(&kind::WRONG_MEDIA_TYPE).detail(format!("A form is sent as {FORM}.")))
    }
}

/// What a form says.
#[derive(Clone, Debug)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Decodes a form.
    ///
    /// # Errors
    /// 400.
    pub(super) fn parse(form: &str) -> Result<Self, Problem> {
        pairs(form).map(Self)
    }

    /// A field as it was sent; empty if it was not.
    pub(super) fn raw(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// A field without the blanks around it.
    pub(super) fn text(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// A field of several lines, which browsers separate by CR LF.
    pub(super) fn lines(&self, name: &str) -> String {
        self.raw(name).replace("\r\n", "\n")
    }

    /// All fields but the token, in the order of the form.
    pub(super) fn without_token(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter().filter(|(name, _)| name != CSRF_FIELD)
    }

    /// What is wrong with fields that must not be empty.
    pub(super) fn check_filled(&self, names: &[&str]) -> FieldErrors {
        let empty = names.iter().filter(|name| self.text(name).is_empty());
        FieldErrors(
            empty
                .map(|name| field_error(name, "Please fill this in."))
                .collect(),
        )
    }
}

/// What is wrong with one field.
pub(super) fn field_error(field: &str, message: impl Into<String>) -> FieldError {
    FieldError {
        field: field.to_owned(),
        message: message.into(),
    }
}

/// What the API found wrong, in the names of a form: `name` says which field a pointer means.
pub(super) fn field_errors<'a>(faults: &'a [Fault], name: impl Fn(&'a str) -> &'a str) -> FieldErrors {
    let mut errors: Vec<FieldError> = Vec::new();
    for fault in faults {
        let field = name(&fault.pointer);
        // One fault a field is enough to mend it.
        if !errors.iter().any(|error| error.field == field) {
            errors.push(field_error(field, sentence(&fault.detail)));
        }
    }
    FieldErrors(errors)
}

/// The last part of a JSON pointer.
pub(super) fn last_part(pointer: &str) -> &str {
    pointer.rsplit('/').next().unwrap_or_default()
}

/// `must be an e-mail` as `This must be an e-mail.`
pub(super) fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    let mut text = match letters.next() {
        _ if detail.starts_with("must ") || detail.starts_with("is ") => format!("This {detail}"),
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    };
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_api_become_sentences() {
        assert_eq!(sentence("must be an e-mail"), "This must be an e-mail.");
        assert_eq!(sentence("an e-mail is needed"), "An e-mail is needed.");
        assert_eq!(sentence("Ready."), "Ready.");
    }

    #[test]
    fn each_field_says_one_thing_that_is_wrong() {
        let faults = [
            Fault::new("/shipping_address/city", "must be one line and not blank"),
            Fault::new("/shipping_address/city", "must have at most 100 characters"),
            Fault::new("/email", "must be an e-mail"),
        ];
        let errors = field_errors(&faults, last_part);
        assert_eq!(errors.0.len(), 2);
        assert_eq!(errors.of("city"), Some("This must be one line and not blank."));
    }
}
