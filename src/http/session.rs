//! Sessions of programs: a guest's, a customer's, refreshed and ended.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Edge;
use super::auth::{Caller, MaybeCaller, account_problem};
use super::body::Json;
use super::idempotency::ask_problem;
use super::limit::Sensitive;
use super::problem::{Problem, kind};
use crate::accounts::{Secret, TokenGrant};
use crate::cluster::Ask;
use crate::domain::cart::{self, Cart};
use crate::domain::id::{CartId, CustomerId};

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new()
        .routes(routes!(open_guest))
        .routes(routes!(sign_in))
        .routes(routes!(refresh))
        .routes(routes!(sign_out))
        .routes(routes!(jwks))
}

/// What a program acts with.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tokens {
    /// Whose they are.
    #[schema(example = "0197f0a4-0000-7000-8000-000000000001")]
    customer_id: String,
    /// For `Authorization: Bearer`.
    #[schema(example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSJ9.e30.c2ln")]
    access_token: String,
    /// Seconds until the access token ends.
    #[schema(example = 900, minimum = 1)]
    expires_in: i64,
    /// Good for one new pair.
    #[schema(example = "gsr_7d4c1fTnQ0yYwq0Zt0yq3m8b0gW2m5cJx8dXo1kq7dA")]
    refresh_token: String,
}

impl From<TokenGrant> for Tokens {
    fn from(grant: TokenGrant) -> Self {
        Self {
            customer_id: grant.customer_id.to_string(),
            access_token: grant.access_token.expose().to_owned(),
            expires_in: grant.expires_in_seconds,
            refresh_token: grant.refresh_token.expose().to_owned(),
        }
    }
}

/// Shop without an account
///
/// Makes a guest with a cart of its own. Registering or signing in with the guest's token carries
/// cart and orders over.
#[utoipa::path(
    post, path = "/v1/guests", tag = "Identity",
    responses((status = 201, description = "A guest and its tokens.", body = Tokens))
)]
async fn open_guest(_: Sensitive, State(edge): State<Edge>) -> Result<(StatusCode, Answer<Tokens>), Problem> {
    let grant = edge.accounts.open_guest().await.map_err(account_problem)?;
    Ok((StatusCode::CREATED, Answer(grant.into())))
}

/// Who signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The e-mail of the account.
    #[schema(example = "ada@example.org", max_length = 1000)]
    email: String,
    /// Its password.
    #[schema(value_type = String, format = "password", example = "correct horse battery", max_length = 1000)]
    password: Secret,
}

/// Sign in
///
/// With a guest's token in the call its cart is merged into the account's (sums, capped at 99) and
/// its orders become the account's. The answer, and the time it takes, is the same for an unknown
/// e-mail and a wrong password.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "Identity", request_body = SignIn,
    security((), ("bearer" = [])),
    responses((status = 200, description = "The account's tokens.", body = Tokens))
)]
async fn sign_in(
    _: Sensitive,
    State(edge): State<Edge>,
    MaybeCaller(caller): MaybeCaller,
    body: Json<SignIn>,
) -> Result<Answer<Tokens>, Problem> {
    let guest = caller
        .filter(|caller| caller.guest)
        .map(|caller| caller.customer_id);
    let SignIn { email, password } = body.value;
    let signed_in = edge
        .accounts
        .sign_in(&email, &password, guest)
        .await
        .map_err(account_problem)?;
    merge_carts(&edge, signed_in.customer_id, &signed_in.carts_to_merge).await?;
    let grant = edge
        .accounts
        .open_tokens(signed_in.customer_id)
        .await
        .map_err(account_problem)?;
    Ok(Answer(grant.into()))
}

/// Moves what guests had in their carts into the cart of the account they signed in to. May stop
/// anywhere and be done again: a cart is absorbed once in each version.
///
/// # Errors
/// 503; the next sign-in goes on from there.
pub async fn merge_carts(edge: &Edge, into: CustomerId, guests: &[CustomerId]) -> Result<(), Problem> {
    let problem = |error| {
        ask_problem(error, |refusal: cart::Refusal| {
            Problem::internal(refusal.to_string())
        })
    };
    for guest in guests {
        let from = CartId::of(*guest);
        let left = edge
            .region
            .read::<Cart>(&from.entity())
            .await
            .map_err(problem)?
            .view;
        let version = left.version;
        if !left.lines.is_empty() {
            let absorb = cart::Command::Absorb {
                from,
                version,
                lines: left.lines,
            };
            let account = CartId::of(into).entity();
            edge.region
                .ask::<Cart>(&account, Ask::new(absorb))
                .await
                .map_err(problem)?;
            let give_up = Ask::new(cart::Command::GiveUp { version });
            edge.region
                .ask::<Cart>(&from.entity(), give_up)
                .await
                .map_err(problem)?;
        }
        edge.accounts.cart_merged(*guest).await.map_err(account_problem)?;
    }
    Ok(())
}

/// A token to trade.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The newest refresh token of the session.
    #[schema(
        value_type = String, max_length = 1000,
        example = "gsr_7d4c1fTnQ0yYwq0Zt0yq3m8b0gW2m5cJx8dXo1kq7dA"
    )]
    refresh_token: Secret,
}

/// Trade a refresh token for a new pair
///
/// It works once. A used one ends the whole session, for nobody can tell who stole it.
#[utoipa::path(
    post, path = "/v1/sessions/refresh", tag = "Identity", request_body = Refresh,
    responses(
        (status = 200, description = "A new pair.", body = Tokens),
        (status = 401, description = "The refresh token is not accepted."),
    )
)]
async fn refresh(State(edge): State<Edge>, body: Json<Refresh>) -> Result<Answer<Tokens>, Problem> {
    let token = body.value.refresh_token;
    let grant = edge
        .accounts
        .refresh(token.expose())
        .await
        .map_err(account_problem)?;
    Ok(Answer(grant.into()))
}

/// End this session
#[utoipa::path(
    delete, path = "/v1/sessions/current", tag = "Identity",
    security(("bearer" = []), ("session" = [])),
    responses((status = 204, description = "Its tokens have ended, at once."))
)]
async fn sign_out(State(edge): State<Edge>, caller: Caller) -> Result<StatusCode, Problem> {
    let Some(session) = caller.session_id else {
        return Err(
            Problem::new(&kind::FORBIDDEN).detail("This token stands on its own and cannot be ended.")
        );
    };
    edge.accounts
        .end_session(session)
        .await
        .map_err(account_problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The public keys
///
/// A JSON Web Key Set (RFC 7517): what access tokens are verified with.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "Identity",
    responses((
        status = 200, description = "The keys.", body = serde_json::Value,
        example = json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k1",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        }]})
    ))
)]
async fn jwks(
    State(edge): State<Edge>,
    headers: axum::http::HeaderMap,
) -> Result<axum::response::Response, Problem> {
    super::etag::public(&headers, &edge.accounts.jwks(), "jwks")
}
