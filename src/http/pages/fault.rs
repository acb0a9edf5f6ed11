//! How a page says no: every problem becomes a page that says what to do now.
//!
//! Whoever is not signed in is sent to sign in and back again. A form that could not be taken just
//! now, or that was older than the session, can be sent again as it was, with the same key.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;

use super::answer::{HTML, go, render};
use super::link::with_query;
use super::model::{ErrorPage, Link, Repeat as RepeatForm, Shell};
use super::post::{Fields, sentence};
use super::visit::Visit;
use crate::http::problem::{Kind, Problem, kind};

/// A form that was sent, without its token.
#[derive(Clone, Debug)]
pub(super) struct Repeat(RepeatForm);

impl Repeat {
    /// The form as it was sent. Passwords are never written into a page, so such forms are not kept.
    pub(super) fn of(action: &str, fields: &Fields) -> Option<Self> {
        let fields: Vec<_> = fields.without_token().cloned().collect();
        let is_secret = fields.iter().any(|(name, _)| name.contains("password"));
        (!is_secret).then(|| {
            Self(RepeatForm {
                action: action.to_owned(),
                fields,
            })
        })
    }
}

/// Whether a caller says that it wants a page.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}

/// Turns the problem beside an answer into a page; other answers stay as they are.
pub(super) async fn dress(visit: &Visit, answer: Response) -> Response {
    let Some(problem) = problem_of(visit, &answer).filter(|_| visit.wants_page()) else {
        return answer;
    };
    if [&kind::UNAUTHENTICATED, &kind::BAD_TOKEN].contains(&problem.kind()) {
        return go(&with_query("/sign-in", [("next", way_back(visit).as_str())]));
    }
    let (title, detail) = words(&problem);
    let page = ErrorPage {
        shell: visit.shell(title.as_str()).await,
        repeat: visit
            .sent()
            .filter(|_| is_worth_repeating(problem.kind()))
            .map(|sent| sent.0.clone()),
        ways_on: ways_on(visit, &problem),
        ..error_page(&problem, title, detail, visit.trace_id())
    };
    match render(&page) {
        Ok(html) => with_page(answer, html),
        Err(failed) => {
            tracing::error!(cause = failed.logged_cause(), "an error page cannot be shown");
            answer
        }
    }
}

/// Whether a request is a browser's that looks at the shop, and not a program's.
pub(in crate::http) fn is_page_request(path: &str, headers: &HeaderMap) -> bool {
    let for_programs = ["/v1/", "/ops/v1/", "/live/", "/.well-known/"];
    !for_programs.iter().any(|root| path.starts_with(root)) && wants_page(headers)
}

/// Writes a problem that was found before any page was asked, as a page with nothing around it.
pub(in crate::http) fn write_early(problem: &Problem, trace_id: &str, answer: &mut Response) {
    let (title, detail) = words(problem);
    let page = ErrorPage {
        shell: Shell {
            title: title.clone(),
            ..Shell::default()
        },
        ..error_page(problem, title, detail, trace_id.to_owned())
    };
    match render(&page) {
        Ok(html) => *answer = with_page(std::mem::take(answer), html),
        Err(_) => problem.write(trace_id, answer),
    }
}

fn error_page(problem: &Problem, title: String, detail: String, trace_id: String) -> ErrorPage {
    ErrorPage {
        shell: Shell::default(),
        status: problem.status().as_u16(),
        title,
        detail,
        problem_href: Some(problem.kind().uri()),
        trace_id,
        ways_on: Vec::new(),
        repeat: None,
    }
}

/// The answer with a page as its body. The problem stays beside it, for the log.
fn with_page(mut answer: Response, html: String) -> Response {
    *answer.body_mut() = Body::from(html);
    let headers = answer.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HTML);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The problem of an answer; of a bare one, what its status means.
fn problem_of(visit: &Visit, answer: &Response) -> Option<Problem> {
    let said = answer.extensions().get::<Problem>().cloned();
    said.or_else(|| match answer.status() {
        StatusCode::METHOD_NOT_ALLOWED => Some(
            Problem::new(&kind::METHOD_NOT_ALLOWED).detail(format!("{} is not known here.", visit.method)),
        ),
        _ => None,
    })
}

/// Where somebody who has to sign in first goes on afterwards.
fn way_back(visit: &Visit) -> String {
    if visit.method == Method::GET || visit.method == Method::HEAD {
        visit.address()
    } else {
        visit.came_from().unwrap_or_else(|| "/account".to_owned())
    }
}

/// Whether the same form can be taken later, or with the token of today.
fn is_worth_repeating(kind: &Kind) -> bool {
    kind.status == 503 || [kind::FORGED.slug, kind::IN_FLIGHT.slug, kind::TOO_MANY.slug].contains(&kind.slug)
}

/// The problem in words for somebody who shops.
fn words(problem: &Problem) -> (String, String) {
    let slug = problem.kind().slug;
    let plain = |title: &str, detail: &str| (title.to_owned(), detail.to_owned());
    if slug == kind::NOT_FOUND.slug {
        plain(
            "There is nothing here",
            "The page may have moved, or the address has a slip in it.",
        )
    } else if slug == kind::FORBIDDEN.slug {
        plain(
            "Not with this account",
            "You are signed in, but your account does not have the role this needs.",
        )
    } else if slug == kind::FORGED.slug {
        plain(
            "Please send that once more",
            "The page was opened before your visit here began, so we could not be sure that it was you. \
             Nothing was done yet.",
        )
    } else if slug == kind::IN_FLIGHT.slug {
        plain(
            "We are still at it",
            "What you sent is being worked on. Send it again in a moment: it is done once at most.",
        )
    } else if slug == kind::OUTCOME_UNKNOWN.slug {
        plain(
            "We lost sight of that for a moment",
            "Send it again to see how it ended: it is done once at most.",
        )
    } else if slug == kind::TOO_MANY.slug {
        plain("That was a little fast", "Wait a moment, then go on.")
    } else if problem.kind().status == 503 {
        plain(
            "Just a moment",
            "The shop is very busy or a part of it is recovering. Nothing is lost; try again in a moment.",
        )
    } else {
        let mut detail = problem.sentence().to_owned();
        for fault in problem.errors() {
            detail.push(' ');
            detail.push_str(&sentence(&fault.detail));
        }
        (problem.kind().title.to_owned(), detail)
    }
}

/// What to do now, best first.
fn ways_on(visit: &Visit, problem: &Problem) -> Vec<Link> {
    let link = |href: String, text: &str| Link {
        href,
        text: text.to_owned(),
    };
    let mut ways = Vec::new();
    let slug = problem.kind().slug;
    if visit.method == Method::GET && problem.kind().status >= 429 {
        ways.push(link(visit.address(), "Try again"));
    } else if let Some(back) = visit.came_from().filter(|_| visit.method == Method::POST) {
        ways.push(link(back, "Go back"));
    }
    if slug == kind::NOT_FOUND.slug {
        ways.push(link("/search".to_owned(), "Search the shop"));
    }
    if slug == kind::FORBIDDEN.slug {
        ways.push(link("/account".to_owned(), "Your account"));
    }
    if slug == kind::KEY_REUSED.slug {
        ways.push(link("/account/orders".to_owned(), "Your orders"));
    }
    ways
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[test]
    fn browsers_get_a_page_and_programs_the_problem() {
        let check = |path: &str, accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            is_page_request(path, &headers)
        };
        assert!(check("/p/x", "text/html,application/xhtml+xml"));
        assert!(!check("/p/x", "*/*"));
        assert!(!check("/v1/cart", "text/html"));
        assert!(!check("/v1/cart", "application/json"));
        let problem = Problem::new(&kind::OVERLOADED);
        let mut answer = problem.clone().into_response();
        write_early(&problem, "abc", &mut answer);
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], HTML);
        assert!(answer.extensions().get::<Problem>().is_some(), "the log reads it");
    }

    #[test]
    fn passwords_are_never_offered_again() {
        let kept = |form: &str| Repeat::of("/x", &Fields::parse(form).unwrap()).is_some();
        assert!(kept("sku=1&csrf_token=2"));
        assert!(!kept("email=a&password=b"));
        assert!(!kept("current_password=b"));
    }
}
