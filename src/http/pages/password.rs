//! Passwords: reset by a link in a mail, or changed in exchange for the current one.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;

use super::account;
use super::answer::{go, private, refused};
use super::model::{FieldErrors, PasswordResetPage, PasswordResetRequestPage};
use super::post::{Post, field_error, sentence};
use super::sign_in::account_errors;
use super::visit::Visit;
use crate::accounts::{AccountError, Email, Refusal, Secret};
use crate::http::auth::account_problem;
use crate::http::problem::Problem;

/// Shows the form that asks for a link.
pub(super) async fn ask(visit: Visit) -> Result<Response, Problem> {
    private(&request_page(&visit, false, "", FieldErrors::default()).await)
}

/// Sends a link, if there is an account; says the same if there is none.
pub(super) async fn request(post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    visit.check_sensitive()?;
    let email = fields.text("email");
    if let Err(detail) = Email::parse(email) {
        let errors = FieldErrors(vec![field_error("email", sentence(detail))]);
        let page = request_page(&visit, false, email, errors).await;
        return refused(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    let edge = visit.edge();
    if let Some(mail) = edge
        .accounts
        .request_reset(email)
        .await
        .map_err(account_problem)?
    {
        edge.resets.send(mail);
    }
    refused(
        StatusCode::ACCEPTED,
        &request_page(&visit, true, email, FieldErrors::default()).await,
    )
}

/// Shows the form behind the link.
pub(super) async fn choose(visit: Visit, Path(token): Path<String>) -> Result<Response, Problem> {
    private(&reset_page(&visit, token, false, FieldErrors::default()).await)
}

/// Sets a new password with the token of the link.
pub(super) async fn reset(Path(token): Path<String>, post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    visit.check_sensitive()?;
    let password = Secret::new(fields.raw("password"));
    let error = match visit.edge().accounts.reset_password(&token, &password).await {
        // Every session has ended, this one too if it was of that account.
        Ok(()) => return Ok(go("/sign-in?done=reset")),
        Err(error) => error,
    };
    let (expired, errors) = match &error {
        AccountError::Refused(Refusal::Invalid(invalid)) => (false, account_errors(invalid)),
        AccountError::Refused(Refusal::ResetToken) => (true, FieldErrors::default()),
        _ => return Err(account_problem(error)),
    };
    let page = reset_page(&visit, token, expired, errors).await;
    refused(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

/// Changes the password of the account.
pub(super) async fn change(post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let member = visit.member()?;
    visit.check_sensitive()?;
    let current = Secret::new(fields.raw("current_password"));
    let new = Secret::new(fields.raw("new_password"));
    let changed = visit
        .edge()
        .accounts
        .change_password(member.customer_id, &current, &new, member.session_id)
        .await;
    let error = match changed {
        Ok(()) => return Ok(go("/account?done=password")),
        Err(error) => error,
    };
    let errors = match &error {
        AccountError::Refused(Refusal::Invalid(invalid)) => account_errors(invalid),
        AccountError::Refused(Refusal::WrongCredentials) => FieldErrors(vec![field_error(
            "current_password",
            "This is not your current password.",
        )]),
        _ => return Err(account_problem(error)),
    };
    let page = account::page(&visit, errors).await?;
    refused(StatusCode::UNPROCESSABLE_ENTITY, &page)
}

async fn request_page(
    visit: &Visit,
    sent: bool,
    email: &str,
    errors: FieldErrors,
) -> PasswordResetRequestPage {
    PasswordResetRequestPage {
        shell: visit.shell("Reset your password").await,
        sent,
        email: email.to_owned(),
        errors,
    }
}

async fn reset_page(visit: &Visit, token: String, expired: bool, errors: FieldErrors) -> PasswordResetPage {
    PasswordResetPage {
        shell: visit.shell("Choose a new password").await,
        token,
        expired,
        errors,
    }
}
