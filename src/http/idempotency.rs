//! One key, one effect, one answer.
//!
//! A call that is marked **K** carries an `Idempotency-Key`. The scope of a key is caller, method
//! and concrete path. What was answered is not stored: the journal remembers, in the statement that
//! wrote the events, at which sequence of which entity the answer was given, and the answer is
//! rendered again from that state.
//!
//! **Invariant:** what a keyed call answers is a pure function of its entity's state and sequence,
//! so the first answer and its repetition have the same bytes.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Edge;
use super::auth::{chain, known};
use super::position;
use super::problem::{Problem, kind};
use crate::accounts;
use crate::actors::Hosted;
use crate::cluster::{Ask, AskError, PositionToken};
use crate::domain::EntityId;
use crate::domain::id::OperationId;
use crate::journal::{JournalFault, Position, Remember, Remembered, RequestKey, Sequence, stored};

/// The header with the key.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// On an answer that was given before.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Which request this is, however often it is sent.
#[derive(Clone, Debug)]
pub struct Once {
    /// Who sends it.
    pub caller: Arc<accounts::Caller>,
    scope: RequestKey,
}

impl FromRequestParts<Edge> for Once {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let caller = known(parts, edge).await?;
        let key = read_key(&parts.headers)?;
        let mut scope = Sha256::new();
        for part in [
            caller.customer_id.0.as_bytes().as_slice(),
            parts.method.as_str().as_bytes(),
            parts.uri.path().as_bytes(),
            key.as_bytes(),
        ] {
            // With its length, so that no two scopes run together.
            scope.update((part.len() as u64).to_be_bytes());
            scope.update(part);
        }
        Ok(Self {
            caller,
            scope: RequestKey(scope.finalize().into()),
        })
    }
}

pub(super) fn read_key(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut given = headers.get_all(KEY).iter();
    let Some(value) = given.next() else {
        return Err(Problem::new(&kind::KEY_MISSING));
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
    match (key, given.next()) {
        (Some(key), None) => Ok(key),
        _ => Err(Problem::new(&kind::MALFORMED)
            .detail("Idempotency-Key is one header of 1 to 255 printable ASCII characters.")),
    }
}

/// What is known of a request when it comes in.
#[derive(Debug)]
pub enum Begun {
    /// It has not been answered.
    First(Ticket),
    /// It was answered so.
    Again(Remembered),
}

/// The right to work on a request; nobody else does as long as this lives.
#[derive(Debug)]
pub struct Ticket {
    /// What the journal is to remember.
    pub remember: Remember,
    /// The operation: a retry whose first outcome is unknown is the same one.
    pub operation: OperationId,
    _flight: Flight,
}

impl Once {
    /// An id that this request has for ever; what it makes can be named after it.
    #[must_use]
    pub fn id(&self) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.scope.0[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// Takes the request: nobody else on this node works on it as long as this lives.
    ///
    /// # Errors
    /// 409 while it is worked on.
    pub fn hold(&self, edge: &Edge) -> Result<Flight, Problem> {
        edge.in_flight
            .take(self.scope)
            .ok_or_else(|| Problem::new(&kind::IN_FLIGHT).retry_after(Duration::from_secs(1)))
    }

    /// Looks whether the request was answered, and takes it if not.
    ///
    /// # Errors
    /// 409 while it is worked on, 422 when it came with another body, 503.
    pub async fn begin(&self, edge: &Edge, body: [u8; 32]) -> Result<Begun, Problem> {
        let flight = self.hold(edge)?;
        match self.find(edge, body).await? {
            Some(answer) => Ok(Begun::Again(answer)),
            None => Ok(Begun::First(Ticket {
                remember: Remember {
                    key: self.scope,
                    body,
                },
                operation: OperationId::derive(self.id(), "http"),
                _flight: flight,
            })),
        }
    }

    /// The answer that was given to this request, once it is known that there is one.
    ///
    /// # Errors
    /// 422 when it came with another body, 503.
    pub async fn remembered(&self, edge: &Edge, body: [u8; 32]) -> Result<Remembered, Problem> {
        let found = self.find(edge, body).await?;
        found.ok_or_else(|| Problem::new(&kind::OUTCOME_UNKNOWN).retry_after(Duration::from_secs(1)))
    }

    /// The answer that was given under this key, if that was to this very body.
    async fn find(&self, edge: &Edge, body: [u8; 32]) -> Result<Option<Remembered>, Problem> {
        let found = edge.journal.remembered(self.scope).await;
        match found.map_err(|fault| journal_problem(&fault))? {
            Some(answer) if answer.body != body => Err(Problem::new(&kind::KEY_REUSED)),
            found => Ok(found),
        }
    }
}

/// An answer as it is written, first or again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status: 2xx.
    pub status: StatusCode,
    /// Its body.
    pub body: Vec<u8>,
    /// Headers of its own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// An answer with a JSON body.
    ///
    /// # Errors
    /// 500 for what is not JSON.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| Problem::internal(error.to_string()))?;
        Ok(Self {
            status,
            body,
            headers: Vec::new(),
        })
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Written down. `replayed`: it was given before.
    #[must_use]
    pub fn into_answer(self, token: PositionToken, replayed: bool) -> Response {
        let mut answer = (self.status, self.body).into_response();
        let headers = answer.headers_mut();
        headers.insert(
            axum::http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(position::POSITION, position::value(token));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        if replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        answer
    }
}

/// An entity as it was when a request was answered.
#[derive(Debug)]
pub struct Past<E: Hosted> {
    /// Its state.
    pub state: E,
    /// Its last event then, if it had any.
    pub last: Option<E::Event>,
    /// Its sequence.
    pub sequence: Sequence,
    /// Where that is.
    pub token: PositionToken,
}

impl<E: Hosted> Past<E> {
    /// The entity of a remembered answer, replayed to its sequence.
    ///
    /// # Errors
    /// 503 when the journal does not answer.
    pub async fn recall(edge: &Edge, answer: &Remembered) -> Result<Self, Problem> {
        let problem = |fault: JournalFault| journal_problem(&fault);
        let events = edge
            .journal
            .events(&answer.entity, answer.sequence)
            .await
            .map_err(problem)?;
        let mut past = Self {
            state: E::default(),
            last: None,
            sequence: answer.sequence,
            token: PositionToken {
                shard: edge.region.shard(&answer.entity),
                position: events.last().map_or(Position(0), |event| event.position),
            },
        };
        for recorded in &events {
            let event = stored::decode::<E>(recorded).map_err(problem)?;
            E::apply(&mut past.state, &event);
            past.last = Some(event);
        }
        Ok(past)
    }
}

/// Lets an entity decide a keyed request and answers from what it is then; or answers again.
///
/// # Errors
/// What `refuse` makes of a refusal, or 409, 422, 503 as in [`Once::begin`].
pub async fn decide<E: Hosted>(
    edge: Edge,
    once: Once,
    body: [u8; 32],
    entity: EntityId,
    command: E::Command,
    refuse: fn(E::Refusal) -> Problem,
    render: impl Fn(&E::View, Sequence) -> Result<Reply, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let work = async move {
        let ticket = match once.begin(&edge, body).await? {
            Begun::First(ticket) => ticket,
            Begun::Again(answer) => return again::<E>(&edge, &answer, render).await,
        };
        let ask = Ask::new(command)
            .operation(ticket.operation)
            .remember(Some(ticket.remember));
        let answer = edge
            .region
            .ask::<E>(&entity, ask)
            .await
            .map_err(|error| ask_problem(error, refuse))?;
        if answer.repeated {
            // An earlier attempt was done although nobody heard of it.
            return again::<E>(&edge, &once.remembered(&edge, body).await?, render).await;
        }
        Ok(render(&answer.view, answer.sequence)?.into_answer(answer.token, false))
    };
    detached(work).await
}

async fn again<E: Hosted>(
    edge: &Edge,
    answer: &Remembered,
    render: impl Fn(&E::View, Sequence) -> Result<Reply, Problem>,
) -> Result<Response, Problem> {
    let past = Past::<E>::recall(edge, answer).await?;
    Ok(render(&past.state.view(), past.sequence)?.into_answer(past.token, true))
}

/// Works on although the caller may hang up: a key stays taken until its outcome is known.
///
/// # Errors
/// Those of the work; 500 if it panics.
pub async fn detached(
    work: impl Future<Output = Result<Response, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Problem::internal(error.to_string())),
    }
}

/// What a caller is told when an entity did not answer.
pub fn ask_problem<R: std::error::Error + 'static>(
    error: AskError<R>,
    refuse: impl FnOnce(R) -> Problem,
) -> Problem {
    let pause = Duration::from_secs(1);
    let cause = chain(&error);
    match error {
        AskError::Refused(refusal) => refuse(refusal),
        AskError::Overloaded { .. } => Problem::new(&kind::OVERLOADED).retry_after(pause).cause(cause),
        AskError::Expired | AskError::Unavailable { .. } => {
            Problem::new(&kind::UNAVAILABLE).retry_after(pause).cause(cause)
        }
        AskError::Unknown { .. } => Problem::new(&kind::OUTCOME_UNKNOWN)
            .retry_after(pause)
            .cause(cause),
    }
}

/// What a caller is told when the journal did not answer.
#[must_use]
pub fn journal_problem(fault: &JournalFault) -> Problem {
    let cause = chain(fault);
    match fault {
        JournalFault::Unreadable { .. } => Problem::internal(cause),
        _ => Problem::new(&kind::UNAVAILABLE)
            .retry_after(Duration::from_secs(1))
            .cause(cause),
    }
}

/// The requests this node is working on.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Mutex<HashSet<RequestKey>>>);

impl InFlight {
    /// Takes a request, unless somebody works on it.
    fn take(&self, scope: RequestKey) -> Option<Flight> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(scope).then(|| Flight {
            scope,
            of: self.clone(),
        })
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "{} in flight", taken.len())
    }
}

/// A request that is being worked on.
#[derive(Debug)]
pub struct Flight {
    scope: RequestKey,
    of: InFlight,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.of
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_printable_and_bounded() {
        let check = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(KEY, HeaderValue::from_bytes(value).unwrap());
            }
            read_key(&headers)
                .map(str::to_owned)
                .map_err(|problem| problem.kind().slug)
        };
        assert_eq!(check(&[b"a key"]), Ok("a key".to_owned()));
        assert!(check(&[&[b'x'; 255]]).is_ok());
        assert_eq!(check(&[]), Err("idempotency-key-missing"));
        for bad in [
            &[&[b'x'; 256][..]][..],
            &[b""],
            &["é".as_bytes()],
            &[b"a\tb"],
            &[b"a", b"b"],
        ] {
            assert_eq!(check(bad), Err("malformed-request"));
        }
    }

    #[test]
    fn a_request_is_worked_on_once() {
        let in_flight = InFlight::default();
        let scope = RequestKey([7; 32]);
        let flight = in_flight.take(scope);
        assert!(flight.is_some());
        assert!(in_flight.take(scope).is_none());
        assert!(in_flight.take(RequestKey([8; 32])).is_some());
        drop(flight);
        assert!(in_flight.take(scope).is_some());
    }
}
