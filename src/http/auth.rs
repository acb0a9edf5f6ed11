//! Who calls, and whether they may.
//!
//! A program shows an access token in `Authorization: Bearer`; a browser shows the `session` cookie
//! of the pages. A call with the cookie that changes something must come from our own origin and
//! carry the session's CSRF token. Roles do not imply each other.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use axum_extra::extract::cookie::CookieJar;

use super::Edge;
use super::exchange::Exchange;
use super::limit::Allowance;
use super::problem::{Fault, Problem, kind};
use crate::accounts::{self, AccountError, Refusal, Role, TokenRefusal};

/// The cookie of a browser's session.
pub const SESSION_COOKIE: &str = "session";
/// The header that carries the CSRF token.
pub const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// Anybody we know: a guest, a customer, a seller, an operator.
#[derive(Clone, Debug)]
pub struct Caller(pub Arc<accounts::Caller>);

/// A caller, if there is one. Bad credentials are still refused, except those of a session that has
/// ended: whoever signs in again may not know yet.
#[derive(Clone, Debug)]
pub struct MaybeCaller(pub Option<Arc<accounts::Caller>>);

/// A caller who shops.
#[derive(Clone, Debug)]
pub struct Shopper(pub Arc<accounts::Caller>);

/// A caller who sells.
#[derive(Clone, Debug)]
pub struct Seller(pub Arc<accounts::Caller>);

/// A caller who runs the shop's machines.
#[derive(Clone, Debug)]
pub struct Operator(pub Arc<accounts::Caller>);

macro_rules! extract {
    ($($name:ident $role:expr;)*) => {$(
        impl FromRequestParts<Edge> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
                let caller = known(parts, edge).await?;
                let needed: Option<Role> = $role;
                if needed.is_none_or(|role| caller.has(role)) {
                    Ok(Self(caller))
                } else {
                    Err(Problem::new(&kind::FORBIDDEN))
                }
            }
        }

        impl Deref for $name {
            type Target = accounts::Caller;

            fn deref(&self) -> &accounts::Caller {
                &self.0
            }
        }
    )*};
}

extract! {
    Caller None;
    Shopper Some(Role::Shopper);
    Seller Some(Role::Seller);
    Operator Some(Role::Operator);
}

impl FromRequestParts<Edge> for MaybeCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        match identify(parts, edge).await {
            Ok(caller) => Ok(Self(caller)),
            Err(Unidentified::Ended) => Ok(Self(None)),
            Err(Unidentified::Problem(problem)) => Err(*problem),
        }
    }
}

/// Who was found on the request, so that two extractors look once.
#[derive(Clone, Debug)]
struct Found(Option<Arc<accounts::Caller>>);

enum Unidentified {
    /// The token was good once.
    Ended,
    Problem(Box<Problem>),
}

impl From<Problem> for Unidentified {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// The caller of a request that needs one.
///
/// # Errors
/// 401, 403 for a forged one, 429, 503.
pub async fn known(parts: &mut Parts, edge: &Edge) -> Result<Arc<accounts::Caller>, Problem> {
    match identify(parts, edge).await {
        Ok(Some(caller)) => Ok(caller),
        Ok(None) => Err(unauthenticated()),
        Err(Unidentified::Ended) => Err(bad_token()),
        Err(Unidentified::Problem(problem)) => Err(*problem),
    }
}

async fn identify(parts: &mut Parts, edge: &Edge) -> Result<Option<Arc<accounts::Caller>>, Unidentified> {
    if let Some(Found(caller)) = parts.extensions.get() {
        return Ok(caller.clone());
    }
    let caller = match bearer(&parts.headers)? {
        Some(token) => match edge.accounts.verify_token(token).await {
            Ok(caller) => Some(caller),
            Err(AccountError::Refused(Refusal::Token(
                TokenRefusal::Expired | TokenRefusal::SessionEnded,
            ))) => return Err(Unidentified::Ended),
            Err(error) => return Err(account_problem(error).into()),
        },
        None => of_cookie(parts, edge).await?,
    };
    if let Some(caller) = &caller {
        greet(edge, &parts.extensions, caller).map_err(Unidentified::Problem)?;
    }
    parts.extensions.insert(Found(caller.clone()));
    Ok(caller)
}

/// Notes who calls, and whether they may go on at this pace.
///
/// # Errors
/// 429.
pub(super) fn greet(
    edge: &Edge,
    extensions: &Extensions,
    caller: &accounts::Caller,
) -> Result<(), Box<Problem>> {
    let Some(exchange) = Exchange::of(extensions) else {
        return Ok(());
    };
    exchange.note_caller(caller.customer_id);
    match edge.limits.principal(caller.customer_id) {
        Ok(allowance) => exchange.note_allowance(allowance),
        Err(refused) => {
            exchange.note_allowance(refused.allowance);
            return Err(refused.problem);
        }
    }
    Ok(())
}

/// Puts a caller who is known already beside a request that the edge makes of itself.
pub(super) fn vouch(extensions: &mut Extensions, caller: Arc<accounts::Caller>) {
    extensions.insert(Found(Some(caller)));
}

/// The token of `Authorization: Bearer`, if there is such a header.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = given.next() else {
        return Ok(None);
    };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    });
    match (token, given.next()) {
        (Some(token), None) => Ok(Some(token)),
        _ => Err(bad_token()),
    }
}

async fn of_cookie(parts: &Parts, edge: &Edge) -> Result<Option<Arc<accounts::Caller>>, Problem> {
    let jar = CookieJar::from_headers(&parts.headers);
    let Some(cookie) = jar.get(SESSION_COOKIE).map(|cookie| cookie.value()) else {
        return Ok(None);
    };
    let caller = edge
        .accounts
        .find_browser(cookie)
        .await
        .map_err(account_problem)?;
    if caller.is_some() && !parts.method.is_safe() {
        check_origin(&parts.headers, edge)?;
        let token = parts
            .headers
            .get(CSRF_HEADER)
            .and_then(|value| value.to_str().ok());
        if !token.is_some_and(|token| edge.accounts.csrf_matches(cookie, token)) {
            return Err(Problem::new(&kind::FORGED));
        }
    }
    Ok(caller)
}

/// Refuses what does not come from a page of ours.
///
/// # Errors
/// 403.
pub fn check_origin(headers: &HeaderMap, edge: &Edge) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN);
    let same = match (&edge.settings.public_origin, origin) {
        (Some(public), Some(origin)) if public == origin => true,
        (_, Some(origin)) => {
            // The scheme a proxy spoke is not known here; the host is.
            let host = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            host.is_some() && host == text(header::HOST)
        }
        (_, None) => false,
    };
    if same {
        Ok(())
    } else {
        Err(Problem::new(&kind::FORGED))
    }
}

/// Says how to sign in.
fn unauthenticated() -> Problem {
    challenge(
        Problem::new(&kind::UNAUTHENTICATED),
        "Bearer realm=\"globalshop\"",
    )
}

fn bad_token() -> Problem {
    challenge(
        Problem::new(&kind::BAD_TOKEN),
        "Bearer realm=\"globalshop\", error=\"invalid_token\"",
    )
}

/// Every 401 says which scheme is spoken (RFC 9110 §11.6.1).
#[must_use]
pub fn challenge(problem: Problem, scheme: &'static str) -> Problem {
    problem.header(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme))
}

/// What a caller is told when the accounts say no or fail.
#[must_use]
pub fn account_problem(error: AccountError) -> Problem {
    const REALM: &str = "Bearer realm=\"globalshop\"";
    match error {
        AccountError::Refused(refusal) => match refusal {
            Refusal::Invalid(fields) => Problem::invalid(
                fields
                    .iter()
                    .map(|field| Fault::new(field.pointer, field.detail))
                    .collect(),
            ),
            Refusal::EmailTaken => Problem::new(&kind::EMAIL_TAKEN),
            Refusal::WrongCredentials => challenge(Problem::new(&kind::WRONG_CREDENTIALS), REALM),
            Refusal::TooManyGuesses { retry_after } => Problem::new(&kind::TOO_MANY)
                .retry_after(retry_after)
                .spent(&Allowance::spent("guesses", 5, 60, retry_after.as_secs() + 1)),
            Refusal::Token(_) => bad_token(),
            Refusal::RefreshToken => challenge(Problem::new(&kind::BAD_REFRESH_TOKEN), REALM),
            Refusal::ResetToken | Refusal::UnknownCustomer => Problem::not_found(),
        },
        AccountError::Fault(fault) => {
            let kind = match &fault {
                accounts::Fault::Overloaded { .. } => &kind::OVERLOADED,
                accounts::Fault::TimedOut { .. } => &kind::OUTCOME_UNKNOWN,
                fault if fault.is_temporary() => &kind::UNAVAILABLE,
                _ => &kind::INTERNAL,
            };
            let problem = Problem::new(kind).cause(chain(&fault));
            if kind.status == 503 {
                problem.retry_after(std::time::Duration::from_secs(1))
            } else {
                problem
            }
        }
    }
}

/// An error and everything behind it, for the log.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_bearer_token_is_read() {
        let check = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            bearer(&headers)
                .map(|token| token.map(str::to_owned))
                .map_err(|problem| problem.status())
        };
        assert_eq!(check(&[]), Ok(None));
        assert_eq!(check(&["Bearer abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(check(&["bearer  abc "]), Ok(Some("abc".to_owned())));
        for bad in [
            &["Bearer"][..],
            &["Bearer "],
            &["Basic abc"],
            &["Bearer a", "Bearer b"],
            &[""],
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
