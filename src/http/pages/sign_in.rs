//! `/sign-in`, `/register`, `/sign-out`: who a browser speaks for.
//!
//! The browser gets a new session each time, so that a cookie planted before is worth nothing. What a
//! guest had in the cart comes along.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::answer::{go, private, refused};
use super::link::safe_next;
use super::model::{FieldErrors, SignInPage};
use super::post::{Fields, Post, field_error, sentence};
use super::visit::Visit;
use crate::accounts::{AccountError, InvalidField, Refusal, Registration, Secret, SignedIn};
use crate::domain::id::CustomerId;
use crate::http::auth::account_problem;
use crate::http::problem::Problem;
use crate::http::session::merge_carts;

/// Where somebody goes who came to sign in and for nothing else.
const ACCOUNT: &str = "/account";

/// Shows both forms.
pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    let next = next(&visit.asked_for("next"));
    if visit.member().is_ok() {
        return Ok(go(&next));
    }
    private(&page(&visit, next).await)
}

/// Signs in.
pub(super) async fn sign_in(post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    visit.check_sensitive()?;
    let password = Secret::new(fields.raw("password"));
    let signed_in = visit
        .edge()
        .accounts
        .sign_in(fields.text("email"), &password, guest(&visit))
        .await;
    let error = match signed_in {
        Ok(signed_in) => return enter(&visit, signed_in, &fields).await,
        Err(error) => error,
    };
    let (status, fault) = match &error {
        AccountError::Refused(Refusal::WrongCredentials) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "This e-mail and password do not belong together.",
        ),
        AccountError::Refused(Refusal::TooManyGuesses { .. }) => (
            StatusCode::TOO_MANY_REQUESTS,
            "That was tried too often. Wait a minute, or reset your password.",
        ),
        _ => return Err(account_problem(error)),
    };
    let page = SignInPage {
        email: fields.text("email").to_owned(),
        fault: Some(fault.to_owned()),
        ..page(&visit, next(fields.text("next"))).await
    };
    let mut answer = refused(status, &page)?;
    // Says when to try again.
    let said = account_problem(error).into_response();
    for (name, value) in said.headers() {
        if name == axum::http::header::RETRY_AFTER {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    Ok(answer)
}

/// Makes an account and signs in.
pub(super) async fn register(post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    visit.check_sensitive()?;
    let registration = Registration {
        email: fields.text("email").to_owned(),
        password: Secret::new(fields.raw("password")),
        name: fields.text("name").to_owned(),
    };
    let error = match visit.edge().accounts.register(registration, guest(&visit)).await {
        Ok(signed_in) => return enter(&visit, signed_in, &fields).await,
        Err(error) => error,
    };
    let (status, errors) = match &error {
        AccountError::Refused(Refusal::Invalid(invalid)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, account_errors(invalid))
        }
        AccountError::Refused(Refusal::EmailTaken) => {
            let taken = "There is an account with this e-mail. Sign in, or reset its password.";
            (
                StatusCode::CONFLICT,
                FieldErrors(vec![field_error("email", taken)]),
            )
        }
        _ => return Err(account_problem(error)),
    };
    let page = SignInPage {
        register_name: fields.text("name").to_owned(),
        register_email: fields.text("email").to_owned(),
        register_errors: errors,
        ..page(&visit, next(fields.text("next"))).await
    };
    refused(status, &page)
}

/// Ends the session of this browser.
pub(super) async fn sign_out(post: Post) -> Result<Response, Problem> {
    let visit = post.visit;
    if let Some(session) = visit.caller().and_then(|caller| caller.session_id) {
        let ended = visit.edge().accounts.end_session(session).await;
        ended.map_err(account_problem)?;
    }
    let mut answer = go("/");
    visit.close_session(&mut answer);
    Ok(answer)
}

/// What the accounts found wrong, field by field.
pub(super) fn account_errors(invalid: &[InvalidField]) -> FieldErrors {
    let errors = invalid.iter().map(|fault| {
        let field = fault.pointer.trim_start_matches('/');
        field_error(field, sentence(fault.detail))
    });
    FieldErrors(errors.collect())
}

/// The guest who visits, if it is one: its orders and its cart come along.
fn guest(visit: &Visit) -> Option<CustomerId> {
    let guest = visit.caller().filter(|caller| caller.guest);
    guest.map(|caller| caller.customer_id)
}

/// Opens a session for somebody who has signed in, in the place of the one before.
async fn enter(visit: &Visit, signed_in: SignedIn, fields: &Fields) -> Result<Response, Problem> {
    let edge = visit.edge();
    merge_carts(edge, signed_in.customer_id, &signed_in.carts_to_merge).await?;
    let before = visit.caller().and_then(|caller| caller.session_id);
    let grant = edge.accounts.open_browser(signed_in.customer_id, before).await;
    let mut answer = go(&next(fields.text("next")));
    visit.open_session(&grant.map_err(account_problem)?, &mut answer);
    Ok(answer)
}

/// Where to go afterwards. Back to a form to sign in would be a circle.
fn next(asked: &str) -> String {
    match safe_next(asked).as_str() {
        "/" if asked != "/" => ACCOUNT.to_owned(),
        next if next.starts_with("/sign-in") => ACCOUNT.to_owned(),
        next => next.to_owned(),
    }
}

async fn page(visit: &Visit, next: String) -> SignInPage {
    SignInPage {
        shell: visit.shell("Sign in").await,
        next,
        email: String::new(),
        fault: None,
        register_name: String::new(),
        register_email: String::new(),
        register_errors: FieldErrors::default(),
    }
}
