//! How a page is answered.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::api::Said;
use super::visit::Visit;
use crate::http::etag::public_bytes;
use crate::http::overload;
use crate::http::problem::Problem;

/// Its media type.
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// A page as HTML.
///
/// # Errors
/// 500 if its template fails.
pub(super) fn render(page: &impl Template) -> Result<String, Problem> {
    page.render()
        .map_err(|error| Problem::internal(error.to_string()))
}

/// A page for this visitor alone: nobody keeps it.
///
/// # Errors
/// 500.
pub(super) fn private(page: &impl Template) -> Result<Response, Problem> {
    Ok(Html(render(page)?).into_response())
}

/// A form again, with what was wrong with it.
///
/// # Errors
/// 500.
pub(super) fn refused(status: StatusCode, page: &impl Template) -> Result<Response, Problem> {
    Ok((status, Html(render(page)?)).into_response())
}

/// On to another page, after a form.
pub(super) fn go(to: &str) -> Response {
    Redirect::to(to).into_response()
}

impl Visit {
    /// A page that is the same for everybody without a session: with a tag, for shared caches.
    /// `keys` name what it is made of.
    ///
    /// # Errors
    /// 500.
    pub(super) fn public(&self, page: &impl Template, keys: &str) -> Result<Response, Problem> {
        let mut answer = if self.session.is_some() {
            private(page)?
        } else {
            public_bytes(&self.headers, render(page)?.into_bytes(), HTML, keys)
        };
        let vary = HeaderValue::from_static("cookie");
        answer.headers_mut().insert(header::VARY, vary);
        let (facets, suggestions) = self.left_out();
        overload::mark(&mut answer, facets, suggestions);
        Ok(answer)
    }

    /// On to another page whose lists wait for this write.
    pub(super) fn go_after(&self, said: &Said, to: &str) -> Response {
        let mut answer = go(to);
        if let Some(token) = &said.position {
            self.remember_position(token, &mut answer);
        }
        answer
    }
}
