//! A shopper: one connection, one guest, its own dice, and the rules for what to do with an answer
//! that is none.
//!
//! **Invariant:** a write whose outcome is unknown is only ever sent again with the same key and the
//! same bytes, and only by a run that is told to survive (`--survive`).

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use super::ack::{Ack, AckKind};
use super::client::{Answer, Call, CallFault, Client};
use super::run::Run;
use super::tally::{Ending, Kind};
use super::wire::{Credentials, Problem};
use crate::clock::Clock;

/// How often a shopper heeds `Retry-After` on one call before it gives up.
const PATIENCE: u32 = 10;
/// How many losses in a row make a shopper go home.
const LOSSES: u32 = 10;
/// How long before its end an access token is renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// A call that got no usable answer. It is in the tally already; the shopper leaves the step.
#[derive(Clone, Copy, Debug)]
pub struct Lost;

/// An answer, and what was needed to get it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The last answer.
    pub answer: Answer,
    /// When the call was due: its latency counts from here.
    pub due: Instant,
    /// How often it was sent. After more than one an earlier one may have been carried out.
    pub attempts: u32,
}

#[derive(Debug)]
struct Guest {
    customer_id: String,
    access_token: Arc<str>,
    refresh_token: String,
    renew_at: Instant,
}

/// One shopper of a run.
#[derive(Debug)]
pub struct Shopper {
    /// Its number, from 0.
    pub index: u64,
    /// The run it belongs to.
    pub run: Arc<Run>,
    /// Its choices: reproducible from the seed and its number.
    pub dice: Clock,
    client: Client,
    guest: Option<Guest>,
    losses: u32,
}

impl Shopper {
    /// A shopper that has not connected yet.
    #[must_use]
    pub fn new(run: Arc<Run>, index: u64) -> Self {
        let dice = Clock::simulated(
            run.seed.wrapping_add(index.wrapping_mul(0x9e37_79b9)),
            run.clock.now(),
        );
        let client = Client::new(run.target.clone(), Duration::from_secs(run.args.timeout));
        Self {
            index,
            run,
            dice,
            client,
            guest: None,
            losses: 0,
        }
    }

    /// True in `percent` of 100 cases.
    #[must_use]
    pub fn chance(&self, percent: u64) -> bool {
        self.dice.random_below(100) < percent
    }

    /// One of `items`, none if there are none.
    #[must_use]
    pub fn pick<'a, T>(&self, items: &'a [T]) -> Option<&'a T> {
        let index = self.dice.random_below(items.len() as u64);
        items.get(usize::try_from(index).unwrap_or(0))
    }

    /// Whether the shopper is still in the mood: it leaves after too many losses in a row.
    #[must_use]
    pub const fn in_the_mood(&self) -> bool {
        self.losses < LOSSES
    }

    /// Ends a step: after a loss the shopper takes a breath, so that a dead shop is not hammered.
    pub async fn breathe(&mut self, step: Result<(), Lost>) {
        match step {
            Ok(()) => self.losses = 0,
            Err(Lost) => {
                self.losses += 1;
                self.run
                    .clock
                    .sleep(Duration::from_millis(100 * u64::from(self.losses)))
                    .await;
            }
        }
    }

    /// Counts a check.
    pub fn check(&self, what: &'static str, holds: bool, why: impl FnOnce() -> String) -> bool {
        self.run.tally.check(what, holds, why)
    }

    /// Makes a call when it is due by the pace of the run.
    pub async fn call(&mut self, kind: impl Into<Kind>, call: &Call) -> Result<Reply, Lost> {
        let due = self.run.pace.due(&self.run.clock).await;
        self.call_from(kind.into(), call, due).await
    }

    /// Makes a call at once, outside the pace: preparations, polls, verifications.
    pub async fn aside(&mut self, kind: impl Into<Kind>, call: &Call) -> Result<Reply, Lost> {
        let due = self.run.clock.instant();
        self.call_from(kind.into(), call, due).await
    }

    /// Makes a call once, now, and takes whatever the shop answers.
    pub async fn once(&mut self, kind: impl Into<Kind>, call: &Call) -> Result<Reply, Lost> {
        let (kind, due) = (kind.into(), self.run.clock.instant());
        let sent = self.client.send(call).await;
        self.run.tally.attempt(kind, ending(&sent));
        let took = self.run.clock.instant().saturating_duration_since(due);
        self.run.tally.latency(kind, took);
        match sent {
            Ok(answer) => {
                self.check_problem(kind, call, &answer);
                Ok(Reply {
                    answer,
                    due,
                    attempts: 1,
                })
            }
            Err(fault) => {
                self.check("answered", false, || {
                    format!("{kind} {}: {}", call.path(), chain(&fault))
                });
                Err(Lost)
            }
        }
    }

    async fn call_from(&mut self, kind: Kind, call: &Call, due: Instant) -> Result<Reply, Lost> {
        let run = Arc::clone(&self.run);
        let bound = run.clock.instant() + Duration::from_secs(run.args.survive_for);
        let mut attempts = 0;
        let mut asked_to_wait = 0;
        let outcome = loop {
            attempts += 1;
            let sent = self.client.send(call).await;
            run.tally.attempt(kind, ending(&sent));
            let trouble = match sent {
                Ok(answer) => {
                    self.check_problem(kind, call, &answer);
                    match verdict(&answer) {
                        Verdict::Final => {
                            break Ok(Reply {
                                answer,
                                due,
                                attempts,
                            });
                        }
                        Verdict::Wait(pause) if asked_to_wait < PATIENCE || run.args.survive => {
                            asked_to_wait += 1;
                            if run.clock.instant() + pause > bound {
                                break Err(format!("still {} after {attempts} attempts", answer.status));
                            }
                            run.clock.sleep(pause.max(Duration::from_millis(20))).await;
                            continue;
                        }
                        Verdict::Wait(_) | Verdict::Trouble => described(&answer),
                    }
                }
                Err(fault) => chain(&fault),
            };
            if !run.args.survive {
                break Err(trouble);
            }
            let back = run.ready_by(bound).await;
            if !back || run.clock.instant() >= bound {
                break Err(format!("{trouble}; not back within {} s", run.args.survive_for));
            }
            let pause = run
                .clock
                .backoff(attempts, Duration::from_millis(20), Duration::from_secs(1));
            run.clock.sleep(pause).await;
        };
        run.tally
            .latency(kind, run.clock.instant().saturating_duration_since(due));
        outcome.map_err(|trouble| {
            self.check("answered", false, || format!("{kind} {}: {trouble}", call.path()));
            Lost
        })
    }

    /// Every refusal must be a problem as the contract describes it.
    fn check_problem(&self, kind: Kind, call: &Call, answer: &Answer) {
        if answer.status.as_u16() < 400 {
            return;
        }
        let problem = answer.problem();
        let wrong = problem_fault(answer, problem.as_ref());
        self.check("problem", wrong.is_none(), || {
            format!(
                "{kind} {} {}: {}",
                call.path(),
                answer.status,
                wrong.unwrap_or_default()
            )
        });
    }

    /// Checks the status of a reply; another one ends the step.
    pub fn expect(&self, kind: impl Into<Kind>, reply: &Reply, status: u16) -> Result<(), Lost> {
        let found = reply.answer.status.as_u16();
        let kind = kind.into();
        let holds = self.check("status", found == status, || {
            format!("{kind}: expected {status}, found {}", described(&reply.answer))
        });
        holds.then_some(()).ok_or(Lost)
    }

    /// Reads the body; one of another shape ends the step.
    pub fn read<T: DeserializeOwned>(&self, kind: impl Into<Kind>, reply: &Reply) -> Result<T, Lost> {
        let read = reply.answer.json();
        let kind = kind.into();
        self.check("shape", read.is_ok(), || {
            let fault = read.as_ref().err().map(ToString::to_string).unwrap_or_default();
            format!("{kind}: {fault}")
        });
        read.map_err(|_| Lost)
    }

    /// The access token of this shopper's guest, who is made or renewed if need be.
    pub async fn token(&mut self) -> Result<Arc<str>, Lost> {
        let now = self.run.clock.instant();
        let call = match &self.guest {
            Some(guest) if guest.renew_at > now => return Ok(Arc::clone(&guest.access_token)),
            Some(guest) => (
                "POST refresh",
                200,
                "/v1/sessions/refresh",
                json!({"refresh_token": guest.refresh_token}),
            ),
            None => ("POST guest", 201, "/v1/guests", json!({})),
        };
        let (kind, status, path, body) = call;
        // Making a guest takes no body.
        let call = if status == 201 {
            Call::post(path)
        } else {
            Call::post(path).json(&body)
        };
        let reply = self.aside(kind, &call).await?;
        self.expect(kind, &reply, status)?;
        let credentials: Credentials = self.read(kind, &reply)?;
        let lives = Duration::from_secs(credentials.expires_in);
        let expires_at = self.run.clock.now().0 + i64::try_from(lives.as_millis()).unwrap_or(0);
        self.acknowledge(Ack {
            access_token: Some(credentials.access_token.clone()),
            expires_at: Some(expires_at),
            refresh_token: Some(credentials.refresh_token.clone()),
            ..self.ack(AckKind::Guest, &credentials.customer_id)
        })
        .await;
        let token: Arc<str> = credentials.access_token.into();
        self.guest = Some(Guest {
            customer_id: credentials.customer_id,
            access_token: Arc::clone(&token),
            refresh_token: credentials.refresh_token,
            renew_at: self.run.clock.instant() + lives.saturating_sub(RENEW_BEFORE),
        });
        Ok(token)
    }

    /// Who the shopper is; empty before the first [`Self::token`].
    #[must_use]
    pub fn customer_id(&self) -> &str {
        self.guest.as_ref().map_or("", |guest| &guest.customer_id)
    }

    /// Becomes somebody else on the next call: with a fresh cart.
    pub fn forget_guest(&mut self) {
        self.guest = None;
    }

    /// A line for the witness, about `customer_id`.
    #[must_use]
    pub fn ack(&self, kind: AckKind, customer_id: &str) -> Ack {
        Ack::new(kind, self.run.clock.now().0, customer_id)
    }

    /// Whether acknowledgements are written down, so that it is worth putting them together.
    #[must_use]
    pub fn witnessed(&self) -> bool {
        self.run.acks().is_some()
    }

    /// Waits until the line is on the disk.
    pub async fn acknowledge(&self, ack: Ack) {
        if let Some(log) = self.run.acks() {
            let written = log.write(&ack).await;
            self.check("witness", written.is_ok(), || {
                written.err().map(|fault| chain(&fault)).unwrap_or_default()
            });
        }
    }
}

enum Verdict {
    /// The shop has answered.
    Final,
    /// The shop asks to come back.
    Wait(Duration),
    /// The shop is in trouble, and the outcome unknown.
    Trouble,
}

fn verdict(answer: &Answer) -> Verdict {
    match (answer.status, answer.retry_after()) {
        (
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::CONFLICT,
            Some(pause),
        ) => Verdict::Wait(pause),
        (status, _) if status.is_server_error() => Verdict::Trouble,
        _ => Verdict::Final,
    }
}

fn ending(sent: &Result<Answer, CallFault>) -> Ending {
    match sent {
        Ok(answer) => Ending::Status(answer.status.as_u16()),
        Err(fault) => Ending::Word(fault.word()),
    }
}

fn problem_fault(answer: &Answer, problem: Option<&Problem>) -> Option<String> {
    let Some(problem) = problem else {
        return Some(format!("no problem details: {:?}", answer.header("content-type")));
    };
    let status = answer.status.as_u16();
    if !problem.kind.starts_with("/problems/") {
        return Some(format!("type {}", problem.kind));
    }
    if problem.status != status {
        return Some(format!("status {} in the body", problem.status));
    }
    if problem.title.is_empty() || problem.trace_id.is_empty() {
        return Some("no title or no trace_id".to_owned());
    }
    if status == 401 && answer.header("www-authenticate").is_none() {
        return Some("no WWW-Authenticate".to_owned());
    }
    if matches!(status, 429 | 503) && answer.retry_after().is_none() {
        return Some("no Retry-After in seconds".to_owned());
    }
    None
}

/// An answer in few words.
#[must_use]
pub fn described(answer: &Answer) -> String {
    match answer.problem() {
        Some(problem) => format!(
            "{} {} (trace {})",
            answer.status.as_u16(),
            problem.kind,
            problem.trace_id
        ),
        None => answer.status.to_string(),
    }
}

/// A fault with its causes.
#[must_use]
pub fn chain(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::HeaderMap;
    use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};

    use super::*;

    fn answer(status: u16, media: &'static str, body: &'static str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn only_what_says_when_to_come_back_is_waited_for() {
        for (status, after, expected) in [
            (200, None, "final"),
            (409, None, "final"),
            (409, Some("1"), "wait"),
            (429, Some("0"), "wait"),
            (503, Some("2"), "wait"),
            (503, None, "trouble"),
            (500, Some("2"), "trouble"),
        ] {
            let mut answer = answer(status, "text/plain", "");
            if let Some(after) = after {
                answer
                    .headers
                    .insert(RETRY_AFTER, HeaderValue::from_static(after));
            }
            let found = match verdict(&answer) {
                Verdict::Final => "final",
                Verdict::Wait(_) => "wait",
                Verdict::Trouble => "trouble",
            };
            assert_eq!(found, expected, "{status} {after:?}");
        }
    }

    #[test]
    fn a_refusal_must_be_a_whole_problem() {
        const JSON: &str = "application/problem+json";
        let good = answer(
            404,
            JSON,
            r#"{"type":"/problems/not-found","title":"x","status":404,"trace_id":"t"}"#,
        );
        assert_eq!(problem_fault(&good, good.problem().as_ref()), None);
        for (bad, told) in [
            (answer(404, "text/plain", "no"), "no problem details"),
            (
                answer(
                    404,
                    JSON,
                    r#"{"type":"about:blank","title":"x","status":404,"trace_id":"t"}"#,
                ),
                "type about",
            ),
            (
                answer(
                    404,
                    JSON,
                    r#"{"type":"/problems/x","title":"x","status":400,"trace_id":"t"}"#,
                ),
                "status 400",
            ),
            (
                answer(
                    404,
                    JSON,
                    r#"{"type":"/problems/x","title":"x","status":404,"trace_id":""}"#,
                ),
                "no title",
            ),
            (
                answer(
                    401,
                    JSON,
                    r#"{"type":"/problems/x","title":"x","status":401,"trace_id":"t"}"#,
                ),
                "no WWW",
            ),
            (
                answer(
                    429,
                    JSON,
                    r#"{"type":"/problems/x","title":"x","status":429,"trace_id":"t"}"#,
                ),
                "no Retry",
            ),
        ] {
            let fault = problem_fault(&bad, bad.problem().as_ref()).unwrap();
            assert!(fault.starts_with(told), "{fault}");
        }
    }
}
