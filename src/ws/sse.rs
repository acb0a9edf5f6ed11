//! `GET /live/sse?ch=…&ch=…`: the same frames as server-sent events, for clients that only listen.
//!
//! Each frame is an event of its name whose data is the frame. An event's id carries the positions of
//! all stream channels of the request, so that `Last-Event-ID` resumes each of them.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::time::timeout;

use super::Live;
use super::channel::ChannelName;
use super::problem::{Problem, ProblemKind};
use super::protocol::{
    Close, CloseCode, Frame, From, SSE_STREAMS_MAX, SUBSCRIPTIONS_MAX, SubscribeItem, SubscriptionId,
};
use super::session::Session;
use super::socket::{self, Origin, PeerAddress};
use super::viewer::{Credential, Turned};
use crate::accounts::Secret;

/// A comment this often shows both sides that the other is there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long the first frames may take.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);
/// When the client comes back by itself.
const RETRY: &str = "retry: 2000\n\n";
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) async fn stream(
    State(live): State<Live>,
    peer: Option<Extension<PeerAddress>>,
    headers: HeaderMap,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let trace = live.new_trace();
    match begin(live, peer, &headers, query, &trace).await {
        Ok(reader) => {
            let events = unfold(Some(reader), |reader| async move { reader?.next().await });
            let mut answer = Body::from_stream(events).into_response();
            for (name, value) in [
                (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
                (header::CACHE_CONTROL, "no-store"),
                (header::HeaderName::from_static("x-accel-buffering"), "no"),
            ] {
                answer.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            answer
        }
        Err(problem) => problem.into_response(),
    }
}

async fn begin(
    live: Live,
    peer: Option<Extension<PeerAddress>>,
    headers: &HeaderMap,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    trace: &str,
) -> Result<Reader, Problem> {
    let problem = |kind| Problem::new(kind, trace);
    if Origin::of(headers, live.settings().public_origin.as_deref()) == Origin::Foreign {
        return Err(problem(ProblemKind::Forged));
    }
    let Query(query) = query.map_err(|_| problem(ProblemKind::Malformed))?;
    if let Some((name, _)) = query.iter().find(|(name, _)| name != "ch") {
        tracing::debug!(name, "unknown parameter of an event stream");
        let fault = problem(ProblemKind::InvalidInput).at("/", "only ch is known");
        return Err(fault);
    }
    let channels: Vec<String> = query.into_iter().map(|(_, channel)| channel).collect();
    let is_stream = |channel: &&String| matches!(ChannelName::parse(channel), Some(ChannelName::Order(_)));
    if channels.is_empty() || channels.len() > SUBSCRIPTIONS_MAX {
        return Err(problem(ProblemKind::InvalidInput).at("/ch", "names 1 to 128 channels"));
    }
    if channels.iter().filter(is_stream).count() > SSE_STREAMS_MAX {
        return Err(problem(ProblemKind::InvalidInput).at("/ch", "names at most 8 orders"));
    }
    let entry = socket::enter(&live, peer).map_err(problem)?;
    let mut session = Session::new(live, entry);
    authenticate(&mut session, headers).await.map_err(problem)?;
    let resumed = Positions::read(headers);
    let items = (0..).zip(&channels).map(|(id, channel)| SubscribeItem {
        id: SubscriptionId::Number(id),
        channel: channel.clone(),
        from: Ok(resumed.from(channel)),
    });
    session
        .subscribe(items.collect())
        .await
        .map_err(|_| problem(ProblemKind::BadToken))?;
    let reader = Reader {
        session,
        positions: Positions::default(),
        has_streams: channels.iter().any(|channel| is_stream(&channel)),
        text: RETRY.to_owned(),
        over: false,
    };
    timeout(BEGIN_LIMIT, reader.settle(channels.len()))
        .await
        .unwrap_or_else(|_| Err(problem(ProblemKind::Unavailable)))
}

async fn authenticate(session: &mut Session, headers: &HeaderMap) -> Result<(), ProblemKind> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = given.next() else {
        return match socket::cookie(headers) {
            Some(cookie) => socket::recognise(session, cookie).await,
            None => Ok(()),
        };
    };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let (Some(token), None) = (token, given.next()) else {
        return Err(ProblemKind::BadToken);
    };
    let credential = Credential::Token(Secret::new(token));
    match session.live().doorkeeper().admit(&credential).await {
        Ok(_) => session.admit(credential).await.map_err(|_| ProblemKind::BadToken),
        Err(Turned::Unavailable) => Err(ProblemKind::Unavailable),
        Err(Turned::Ended | Turned::Refused) => Err(ProblemKind::BadToken),
    }
}

/// What one client reads.
struct Reader {
    session: Session,
    positions: Positions,
    has_streams: bool,
    text: String,
    over: bool,
}

impl Reader {
    /// Waits until each subscription has happened. One that is refused refuses the whole request: an
    /// event stream has no other way to say so.
    async fn settle(mut self, count: usize) -> Result<Self, Problem> {
        let mut settled = 0;
        let mut frames = Vec::new();
        while settled < count {
            self.session.outbox().ready().await;
            let taken = self.session.outbox().take(&mut frames, usize::MAX);
            for frame in frames.drain(..) {
                match frame.name() {
                    "live" => settled += 1,
                    "err" => return Err(refusal(&frame, self.session.outbox().trace())),
                    _ => {}
                }
                self.write(&frame);
            }
            if taken.end.is_some() {
                let kind = ProblemKind::Unavailable;
                return Err(Problem::new(kind, self.session.outbox().trace()));
            }
            self.session.proceed();
        }
        Ok(self)
    }

    /// The next bytes, and whoever gives those after them.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Option<Self>)> {
        while self.text.is_empty() && !self.over {
            let pause = self.pause();
            match timeout(pause, self.session.outbox().ready()).await {
                Ok(()) => self.take().await,
                Err(_) if self.is_expired() => {
                    self.end(Close::new(
                        CloseCode::Expired,
                        "the token or the session has ended",
                    ));
                }
                Err(_) => self.text.push_str(":\n\n"),
            }
        }
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return None;
        }
        let after = (!self.over).then_some(self);
        Some((Ok(Bytes::from(text)), after))
    }

    async fn take(&mut self) {
        let mut frames = Vec::new();
        let taken = self.session.outbox().take(&mut frames, usize::MAX);
        self.session.live().figures().sent.increment(frames.len() as u64);
        for frame in &frames {
            self.write(frame);
        }
        if taken.recheck
            && let Err(close) = self.session.recheck().await
        {
            return self.end(close);
        }
        if let Some(close) = taken.end {
            self.end(close);
        }
    }

    fn end(&mut self, close: Close) {
        self.write(&Frame::bye(&close));
        self.over = true;
    }

    fn is_expired(&self) -> bool {
        let now = self.session.live().clock().now();
        self.session.expires_at().is_some_and(|at| at <= now)
    }

    fn pause(&self) -> Duration {
        let now = self.session.live().clock().now();
        let left = self
            .session
            .expires_at()
            .map_or(i64::MAX, |at| at.since(now).max(0));
        HEARTBEAT.min(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
    }

    fn write(&mut self, frame: &Frame) {
        let moved = self.has_streams && self.positions.note(frame);
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "event: {}", frame.name());
        if moved {
            let _ = writeln!(self.text, "id: {}", self.positions.id());
        }
        let _ = write!(self.text, "data: {}\n\n", frame.text());
    }
}

/// The problem of an `err` frame.
fn refusal(frame: &Frame, trace: &str) -> Problem {
    #[derive(Deserialize)]
    struct Refused {
        err: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        #[serde(rename = "type")]
        uri: String,
    }
    let said = serde_json::from_str(frame.text()).ok();
    let kind =
        said.and_then(|Refused { err }| ProblemKind::ALL.into_iter().find(|kind| kind.uri() == err.uri));
    Problem::new(kind.unwrap_or(ProblemKind::Unavailable), trace)
}

/// Where the stream channels of a request stand: what an event's id carries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Positions(Vec<Position>);

#[derive(Debug, PartialEq, Eq)]
struct Position {
    channel: String,
    epoch: String,
    offset: u64,
}

/// What the frames that move a position have in common.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Moving {
    Snap(Begun),
    Live(Begun),
    Pub(Vec<Moved>),
}

#[derive(Deserialize)]
struct Begun {
    ch: String,
    e: String,
    o: u64,
}

#[derive(Deserialize)]
struct Moved {
    ch: String,
    o: u64,
}

impl Positions {
    /// Reads `Last-Event-ID`; what cannot be read resumes nothing.
    fn read(headers: &HeaderMap) -> Self {
        let given = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
        let positions = given.unwrap_or_default().split(',').filter_map(|part| {
            let mut fields = part.trim().rsplitn(3, '@');
            let offset = fields.next()?.parse().ok()?;
            let epoch = fields.next()?.to_owned();
            let channel = fields.next()?.to_owned();
            Some(Position {
                channel,
                epoch,
                offset,
            })
        });
        Self(positions.take(SSE_STREAMS_MAX).collect())
    }

    fn id(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(
                |Position {
                     channel,
                     epoch,
                     offset,
                 }| format!("{channel}@{epoch}@{offset}"),
            )
            .collect();
        parts.join(",")
    }

    fn from(&self, channel: &str) -> From {
        self.0
            .iter()
            .find(|position| position.channel == channel)
            .map_or(From::Snapshot, |position| From::Position {
                epoch: position.epoch.clone(),
                offset: position.offset,
            })
    }

    /// Takes a frame in; whether it moved a position.
    fn note(&mut self, frame: &Frame) -> bool {
        match serde_json::from_str(frame.text()) {
            Ok(Moving::Snap(begun) | Moving::Live(begun)) => {
                if !begun.ch.starts_with("order:") {
                    return false;
                }
                self.0.retain(|position| position.channel != begun.ch);
                self.0.push(Position {
                    channel: begun.ch,
                    epoch: begun.e,
                    offset: begun.o,
                });
                true
            }
            Ok(Moving::Pub(moved)) => {
                let mut any = false;
                for Moved { ch, o } in moved {
                    if let Some(position) = self.0.iter_mut().find(|position| position.channel == ch) {
                        position.offset = o;
                        any = true;
                    }
                }
                any
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Millis;
    use crate::ws::protocol::Publication;
    use serde_json::{Value, json};

    #[test]
    fn an_id_carries_the_positions_of_all_streams() {
        let mut positions = Positions::default();
        assert!(positions.note(&Frame::snap("order:a", "e1", 2, &Value::Null)));
        assert!(positions.note(&Frame::snap("order:b", "e2", 5, &Value::Null)));
        assert!(!positions.note(&Frame::snap("product:x@1", "state", 9, &Value::Null)));
        let event = Publication {
            offset: 3,
            at: Millis(0),
            event: "confirmed",
            data: json!({}),
        };
        assert!(positions.note(&Frame::publish("order:a", [&event])));
        assert!(!positions.note(&Frame::publish("product:x@1", [&event])));
        assert_eq!(positions.id(), "order:a@e1@3,order:b@e2@5");
        let mut headers = HeaderMap::new();
        headers.insert(LAST_EVENT_ID, positions.id().parse().unwrap());
        assert_eq!(Positions::read(&headers), positions);
        let resumed = From::Position {
            epoch: "e1".to_owned(),
            offset: 3,
        };
        assert_eq!(positions.from("order:a"), resumed);
        assert_eq!(positions.from("order:c"), From::Snapshot);
    }

    #[test]
    fn an_id_that_is_none_resumes_nothing() {
        for bad in ["", ",", "x", "a@b", "order:a@e@-1", "order:a@e@x", "@@"] {
            let mut headers = HeaderMap::new();
            headers.insert(LAST_EVENT_ID, bad.parse().unwrap());
            assert_eq!(Positions::read(&headers), Positions::default(), "{bad}");
        }
    }
}
