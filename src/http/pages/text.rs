//! Pages of text: the imprint and its sisters, problem types, the API's documentation.

use axum::extract::Path;
use axum::response::Response;

use super::model::{DocsPage, ProblemPage, TextPage, TextSection};
use super::product::paragraphs;
use super::visit::Visit;
use crate::http::problem::{Kind, Problem};

/// Shows the imprint.
pub(super) async fn imprint(visit: Visit) -> Result<Response, Problem> {
    let text = visit.edge().shop.imprint.clone();
    show(&visit, "Imprint", &text).await
}

/// Shows what is done with personal data.
pub(super) async fn privacy(visit: Visit) -> Result<Response, Problem> {
    let text = visit.edge().shop.privacy.clone();
    show(&visit, "Privacy", &text).await
}

/// Shows how things are returned.
pub(super) async fn returns(visit: Visit) -> Result<Response, Problem> {
    let text = visit.edge().shop.returns.clone();
    show(&visit, "Returns", &text).await
}

async fn show(visit: &Visit, heading: &str, text: &str) -> Result<Response, Problem> {
    let page = TextPage {
        shell: visit.shell(heading).await,
        heading: heading.to_owned(),
        sections: vec![TextSection {
            heading: String::new(),
            paragraphs: paragraphs(text),
        }],
    };
    visit.public(&page, "text")
}

/// Shows what a type of problem means.
pub(super) async fn problem(visit: Visit, Path(slug): Path<String>) -> Result<Response, Problem> {
    let kind = Kind::find(&slug).ok_or_else(Problem::not_found)?;
    let page = ProblemPage {
        shell: visit.shell(kind.title).await,
        slug: kind.slug.to_owned(),
        title: kind.title.to_owned(),
        status: kind.status,
        meaning: vec![kind.explanation.to_owned()],
        remedy: remedy(kind).to_owned(),
    };
    visit.public(&page, "text")
}

/// What a client should do, by what kind of no it is.
const fn remedy(kind: &Kind) -> &'static str {
    match kind.status {
        401 => "Get a new access token, or sign in again, and send the request once more.",
        403 => {
            "Do not send it again as this caller. A page sends the CSRF token of its session; a role is given by the shop."
        }
        404 => "Check the address. What belongs to somebody else looks the same as what is not there.",
        408 | 429 | 503 => {
            "Wait as long as Retry-After says, then send the same request again: a keyed one with the same Idempotency-Key, so that it has one effect."
        }
        409 => "Read the thing as it is now, let whoever asked decide anew, and send a request that fits.",
        412 | 428 => {
            "Read the current version, apply the change to it, and send it with that version in If-Match."
        }
        500 => {
            "Send it again later, a keyed one with the same Idempotency-Key. If it stays, tell the shop the trace_id."
        }
        _ => "Correct the request; `detail` and `errors` say where. Unchanged it will be refused again.",
    }
}

/// Shows the API's documentation.
pub(super) async fn docs(visit: Visit) -> Result<Response, Problem> {
    let page = DocsPage {
        shell: visit.shell("API").await,
    };
    visit.public(&page, "text")
}
