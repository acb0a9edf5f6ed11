//! What operators did, and why: a row for each action, kept for good.
//!
//! The row also remembers the answer. So the same request again is answered from it, and what was
//! begun and never ended (a node that died, a database that was away) is done anew.

use uuid::Uuid;

use super::Accounts;
use super::refusal::AccountError;
use crate::domain::Millis;
use crate::domain::id::CustomerId;

/// An action that is about to be taken.
#[derive(Clone, Debug)]
pub struct NewAction {
    /// The request's own id: the same request has the same.
    pub id: Uuid,
    /// SHA-256 of what is asked.
    pub body: [u8; 32],
    /// Who takes it.
    pub by: CustomerId,
    /// What is done, such as `dead_letter.redrive`.
    pub action: &'static str,
    /// To what.
    pub target: String,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// The trace of the request.
    pub trace_id: String,
}

/// What is known of an action when it is about to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BegunAction {
    /// It has not been taken, or has not come to an end.
    First,
    /// It was taken, and answered so.
    Answered(String),
    /// Something else was asked under the same key.
    Another,
}

/// An action as the audit shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its place in the order in which actions began.
    pub number: i64,
    /// Who took it.
    pub by: CustomerId,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// The trace of the request.
    pub trace_id: String,
    /// When it began.
    pub begun_at: Millis,
    /// When it ended; `None` while it is at work, or if its node did not live to end it.
    pub ended_at: Option<Millis>,
    /// What it came to.
    pub outcome: Option<String>,
}

impl Accounts {
    /// Writes down that an action begins, unless it was written down before.
    ///
    /// # Errors
    /// A fault.
    pub async fn begin_action(&self, new: &NewAction) -> Result<BegunAction, AccountError> {
        let now = self.clock.now();
        self.stored("write an action down", async {
            // The update changes nothing: it makes the row that was there before come back.
            let row = sqlx::query!(
                "insert into operator_action as known
                     (id, begun_at_ms, customer_id, body, action, target, reason, trace_id)
                 values ($1, $2, $3, $4, $5, $6, $7, $8)
                 on conflict (id) do update set body = known.body
                 returning body, answer",
                new.id,
                now.0,
                new.by.0,
                &new.body[..],
                new.action,
                new.target,
                new.reason.as_deref(),
                new.trace_id,
            )
            .fetch_one(&self.pool)
            .await?;
            Ok(match row.answer {
                _ if row.body != new.body => BegunAction::Another,
                Some(answer) => BegunAction::Answered(answer),
                None => BegunAction::First,
            })
        })
        .await
    }

    /// Writes down what an action came to; with the answer, if it went well.
    ///
    /// # Errors
    /// A fault.
    pub async fn end_action(
        &self,
        id: Uuid,
        outcome: &str,
        answer: Option<&str>,
    ) -> Result<(), AccountError> {
        let now = self.clock.now();
        self.stored("write an action's end down", async {
            sqlx::query!(
                "update operator_action set ended_at_ms = $2, outcome = $3, answer = $4 where id = $1",
                id,
                now.0,
                outcome,
                answer,
            )
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Actions, newest first, before one of them; at most `limit`.
    ///
    /// # Errors
    /// A fault.
    pub async fn actions(&self, before: Option<i64>, limit: u32) -> Result<Vec<Action>, AccountError> {
        let rows = self
            .stored("list actions", async {
                let rows = sqlx::query!(
                    "select number, begun_at_ms, ended_at_ms, customer_id, action, target, reason, trace_id, outcome
                     from operator_action where ($1::bigint is null or number < $1)
                     order by number desc limit $2",
                    before,
                    i64::from(limit),
                )
                .fetch_all(&self.pool)
                .await?;
                Ok(rows)
            })
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| Action {
                number: row.number,
                by: CustomerId(row.customer_id),
                action: row.action,
                target: row.target,
                reason: row.reason,
                trace_id: row.trace_id,
                begun_at: Millis(row.begun_at_ms),
                ended_at: row.ended_at_ms.map(Millis),
                outcome: row.outcome,
            })
            .collect())
    }
}
