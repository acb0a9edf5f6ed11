//! Accounts: registering, who am I, passwords.

use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::auth::{Caller, MaybeCaller, account_problem};
use super::body::Json;
use super::limit::Sensitive;
use super::problem::{Problem, kind};
use super::session::{Tokens, merge_carts};
use crate::accounts::{AccountError, Refusal, Registration, Secret};

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(me))
        .routes(routes!(change_password))
        .routes(routes!(request_reset))
        .routes(routes!(reset_password))
}

/// Who registers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Where mail goes; names the account, whatever its case.
    #[schema(example = "ada@example.org", format = "email", max_length = 254)]
    email: String,
    /// 8 to 128 characters, not one of the most common.
    #[schema(
        value_type = String, format = "password", example = "correct horse battery",
        min_length = 8, max_length = 128
    )]
    password: Secret,
    /// What we call you.
    #[schema(
        example = "Ada Lovelace",
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
    )]
    name: String,
}

/// Make an account
///
/// With a guest's token in the call the guest becomes the account: its cart and its orders stay.
#[utoipa::path(
    post, path = "/v1/customers", tag = "Identity", request_body = Register,
    security((), ("bearer" = [])),
    responses(
        (status = 201, description = "The account's tokens.", body = Tokens),
        (status = 409, description = "The e-mail already has an account."),
    )
)]
async fn register(
    _: Sensitive,
    State(edge): State<Edge>,
    MaybeCaller(caller): MaybeCaller,
    body: Json<Register>,
) -> Result<(StatusCode, Answer<Tokens>), Problem> {
    let guest = caller
        .filter(|caller| caller.guest)
        .map(|caller| caller.customer_id);
    let Register {
        email,
        password,
        name,
    } = body.value;
    let registration = Registration {
        email,
        password,
        name,
    };
    let signed_in = edge
        .accounts
        .register(registration, guest)
        .await
        .map_err(account_problem)?;
    merge_carts(&edge, signed_in.customer_id, &signed_in.carts_to_merge).await?;
    let grant = edge
        .accounts
        .open_tokens(signed_in.customer_id)
        .await
        .map_err(account_problem)?;
    Ok((StatusCode::CREATED, Answer(grant.into())))
}

/// Who is calling.
#[derive(Debug, Serialize, ToSchema)]
pub struct Me {
    /// The id.
    #[schema(example = "0197f0a4-0000-7000-8000-000000000001")]
    customer_id: String,
    /// The e-mail; a guest has none.
    #[schema(example = "ada@example.org", required)]
    email: Option<String>,
    /// The name; a guest has none.
    #[schema(example = "Ada Lovelace", required)]
    name: Option<String>,
    /// What the caller may do.
    #[schema(example = json!(["shopper"]))]
    roles: Vec<String>,
}

/// Who am I
#[utoipa::path(
    get, path = "/v1/me", tag = "Identity",
    security(("bearer" = []), ("session" = [])),
    responses((status = 200, description = "The caller.", body = Me))
)]
async fn me(State(edge): State<Edge>, caller: Caller) -> Result<Answer<Me>, Problem> {
    let (email, name, roles) = match edge.accounts.me(caller.customer_id).await {
        Ok(profile) => (profile.email, profile.name, profile.roles),
        // A token from the command line has roles, but no customer.
        Err(AccountError::Refused(Refusal::UnknownCustomer)) => (None, None, caller.roles),
        Err(error) => return Err(account_problem(error)),
    };
    Ok(Answer(Me {
        customer_id: caller.customer_id.to_string(),
        email,
        name,
        roles: roles.iter().map(|role| role.to_string()).collect(),
    }))
}

/// A new password in exchange for the current one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password until now.
    #[schema(value_type = String, format = "password", example = "correct horse battery", max_length = 1000)]
    current_password: Secret,
    /// The password from now on.
    #[schema(
        value_type = String, format = "password", example = "staple of correct horses",
        min_length = 8, max_length = 128
    )]
    new_password: Secret,
}

/// Change the password
///
/// Ends every other session of the account.
#[utoipa::path(
    put, path = "/v1/me/password", tag = "Identity", request_body = PasswordChange,
    security(("bearer" = []), ("session" = [])),
    responses((status = 204, description = "Changed."))
)]
async fn change_password(
    State(edge): State<Edge>,
    caller: Caller,
    body: Json<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let PasswordChange {
        current_password,
        new_password,
    } = body.value;
    let changed = edge.accounts.change_password(
        caller.customer_id,
        &current_password,
        &new_password,
        caller.session_id,
    );
    match changed.await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(AccountError::Refused(Refusal::UnknownCustomer)) => {
            Err(Problem::new(&kind::FORBIDDEN).detail("A guest has no password."))
        }
        Err(AccountError::Refused(Refusal::WrongCredentials)) => {
            Err(Problem::new(&kind::FORBIDDEN).detail("The current password is wrong."))
        }
        Err(error) => Err(account_problem(error)),
    }
}

/// Whose password is lost.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// The e-mail of the account.
    #[schema(example = "ada@example.org", format = "email", max_length = 254)]
    email: String,
}

/// What happens now.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResetRequested {
    /// The same for every address.
    #[schema(example = "If this address has an account, a mail with a link is on its way.")]
    detail: &'static str,
}

/// Ask for a link to set a new password
///
/// The answer is the same for an address that has no account.
#[utoipa::path(
    post, path = "/v1/password-resets", tag = "Identity", request_body = ResetRequest,
    responses((status = 202, description = "Noted.", body = ResetRequested))
)]
async fn request_reset(
    _: Sensitive,
    State(edge): State<Edge>,
    body: Json<ResetRequest>,
) -> Result<(StatusCode, Answer<ResetRequested>), Problem> {
    if let Some(mail) = edge
        .accounts
        .request_reset(&body.value.email)
        .await
        .map_err(account_problem)?
    {
        edge.resets.send(mail);
    }
    let detail = "If this address has an account, a mail with a link is on its way.";
    Ok((StatusCode::ACCEPTED, Answer(ResetRequested { detail })))
}

/// The new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordReset {
    /// The password from now on.
    #[schema(
        value_type = String, format = "password", example = "staple of correct horses",
        min_length = 8, max_length = 128
    )]
    password: Secret,
}

/// Set a new password with the token of a reset mail
///
/// The token is good for 30 minutes and works once. Every session of the account ends.
#[utoipa::path(
    put, path = "/v1/password-resets/{token}", tag = "Identity", request_body = PasswordReset,
    params(("token" = String, Path, description = "From the link in the mail.", example = "gsp_7d4c1fTn")),
    responses((status = 204, description = "Set."))
)]
async fn reset_password(
    _: Sensitive,
    State(edge): State<Edge>,
    Path(token): Path<String>,
    body: Json<PasswordReset>,
) -> Result<StatusCode, Problem> {
    edge.accounts
        .reset_password(&token, &body.value.password)
        .await
        .map_err(account_problem)?;
    Ok(StatusCode::NO_CONTENT)
}
