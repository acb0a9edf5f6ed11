//! The sandbox's books in PostgreSQL: one read and one write for each batch of calls.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use tokio::time::timeout;
use uuid::Uuid;

use super::Stage;
use super::books::{BooksFault, SandboxBooks, SandboxFigures};
use super::intent::Intent;
use crate::domain::id::OrderId;
use crate::domain::payment::{IntentId, RefundId};
use crate::domain::{Millis, Money};

/// How long the database may take for one call.
const LIMIT: Duration = Duration::from_secs(10);

/// The books that PostgreSQL keeps.
#[derive(Clone, Debug)]
pub struct PostgresBooks {
    pool: PgPool,
}

impl PostgresBooks {
    /// The books of a migrated database.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, BooksFault> {
    match timeout(LIMIT, work).await {
        Ok(result) => result.map_err(BooksFault::Database),
        Err(_) => Err(BooksFault::Late(LIMIT)),
    }
}

const STAGES: [(Stage, &str); 5] = [
    (Stage::RequiresAction, "requires_action"),
    (Stage::Authorised, "authorised"),
    (Stage::Captured, "captured"),
    (Stage::Declined, "declined"),
    (Stage::Voided, "voided"),
];

fn stage_name(stage: Stage) -> &'static str {
    STAGES
        .iter()
        .find(|(known, _)| *known == stage)
        .map_or("", |(_, name)| name)
}

fn stage_of(name: &str) -> Option<Stage> {
    STAGES
        .iter()
        .find(|(_, known)| *known == name)
        .map(|(stage, _)| *stage)
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[async_trait]
impl SandboxBooks for PostgresBooks {
    async fn read(&self, intents: &[IntentId]) -> Result<Vec<Intent>, BooksFault> {
        let ids: Vec<Uuid> = intents.iter().map(|id| id.0).collect();
        let rows = within(async {
            sqlx::query!(
                r#"select intent, order_id, amount, captured, version, errors, lost, currency, token, stage,
                          decline_code,
                          (select array_agg(refund order by created_at_ms, refund) from sandbox_refund
                           where sandbox_refund.intent = sandbox_intent.intent) as refunds,
                          (select array_agg(amount order by created_at_ms, refund) from sandbox_refund
                           where sandbox_refund.intent = sandbox_intent.intent) as refunded
                   from sandbox_intent where intent = any($1)"#,
                &ids,
            )
            .fetch_all(&self.pool)
            .await
        })
        .await?;
        rows.into_iter()
            .map(|row| {
                let bad = |what: &str| BooksFault::Unreadable(format!("intent {}: {what}", row.intent));
                let currency = row.currency.parse().map_err(|_| bad("its currency"))?;
                let stage = match &row.stage {
                    None => None,
                    Some(name) => Some(stage_of(name).ok_or_else(|| bad("its stage"))?),
                };
                let refunds = row.refunds.unwrap_or_default().into_iter().map(RefundId);
                Ok(Intent {
                    id: IntentId(row.intent),
                    order: row.order_id.map(OrderId),
                    token: row.token,
                    amount: Money::new(row.amount, currency),
                    stage,
                    captured: row.captured,
                    refunds: refunds.zip(row.refunded.unwrap_or_default()).collect(),
                    decline_code: row.decline_code,
                    errors: row.errors.unsigned_abs(),
                    lost: row.lost.unsigned_abs(),
                    version: row.version,
                })
            })
            .collect()
    }

    async fn write(&self, intents: &[Intent], now: Millis) -> Result<Vec<IntentId>, BooksFault> {
        let mut rows: Vec<&Intent> = intents.iter().collect();
        rows.sort_unstable_by_key(|intent| intent.id);
        let ids: Vec<Uuid> = rows.iter().map(|intent| intent.id.0).collect();
        let orders: Vec<Option<Uuid>> = rows
            .iter()
            .map(|intent| intent.order.map(|order| order.0))
            .collect();
        let amounts: Vec<i64> = rows.iter().map(|intent| intent.amount.amount).collect();
        let captured: Vec<i64> = rows.iter().map(|intent| intent.captured).collect();
        let versions: Vec<i64> = rows.iter().map(|intent| intent.version).collect();
        let errors: Vec<i32> = rows.iter().map(|intent| count(intent.errors)).collect();
        let lost: Vec<i32> = rows.iter().map(|intent| count(intent.lost)).collect();
        let currencies: Vec<String> = rows
            .iter()
            .map(|intent| intent.amount.currency.to_string())
            .collect();
        let tokens: Vec<String> = rows.iter().map(|intent| intent.token.replace('\0', "")).collect();
        let stages: Vec<Option<String>> = rows
            .iter()
            .map(|intent| intent.stage.map(|stage| stage_name(stage).to_owned()))
            .collect();
        let codes: Vec<Option<String>> = rows.iter().map(|intent| intent.decline_code.clone()).collect();
        let refunds: Vec<(Uuid, Uuid, i64)> = rows
            .iter()
            .flat_map(|intent| {
                let refunds = intent.refunds.iter();
                refunds.map(|(refund, amount)| (intent.id.0, refund.0, *amount))
            })
            .collect();
        let refund_intents: Vec<Uuid> = refunds.iter().map(|(intent, _, _)| *intent).collect();
        let refund_ids: Vec<Uuid> = refunds.iter().map(|(_, refund, _)| *refund).collect();
        let refund_amounts: Vec<i64> = refunds.iter().map(|(_, _, amount)| *amount).collect();
        let written = within(async {
            sqlx::query_scalar!(
                r#"with written as (
                       insert into sandbox_intent as known
                           (intent, order_id, amount, captured, version, errors, lost, currency, token, stage,
                            decline_code, changed_at_ms)
                       select intent, order_id, amount, captured, version, errors, lost, currency, token, stage,
                              decline_code, $12
                       from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[],
                                   $7::int[], $8::text[], $9::text[], $10::text[], $11::text[])
                           as new (intent, order_id, amount, captured, version, errors, lost, currency, token,
                                   stage, decline_code)
                       on conflict (intent) do update
                           set order_id = excluded.order_id, amount = excluded.amount,
                               captured = excluded.captured, version = excluded.version,
                               errors = excluded.errors, lost = excluded.lost, currency = excluded.currency,
                               token = excluded.token, stage = excluded.stage,
                               decline_code = excluded.decline_code, changed_at_ms = excluded.changed_at_ms
                           where known.version = excluded.version - 1
                       returning known.intent
                   ), refunded as (
                       insert into sandbox_refund (intent, refund, amount, created_at_ms)
                       select refund.intent, refund.refund, refund.amount, $12
                       from unnest($13::uuid[], $14::uuid[], $15::bigint[]) as refund (intent, refund, amount)
                       join written on written.intent = refund.intent
                       on conflict (intent, refund) do nothing
                   )
                   select intent as "intent!" from written"#,
                &ids,
                &orders as &[Option<Uuid>],
                &amounts,
                &captured,
                &versions,
                &errors,
                &lost,
                &currencies,
                &tokens,
                &stages as &[Option<String>],
                &codes as &[Option<String>],
                now.0,
                &refund_intents,
                &refund_ids,
                &refund_amounts,
            )
            .fetch_all(&self.pool)
            .await
        })
        .await?;
        Ok(written.into_iter().map(IntentId).collect())
    }

    async fn figures(&self) -> Result<Vec<SandboxFigures>, BooksFault> {
        let (captures, refunds) = within(async {
            let captures = sqlx::query!(
                r#"select currency, count(*) as "captures!", sum(captured)::bigint as "captured!"
                   from sandbox_intent where captured > 0 group by currency order by currency"#
            )
            .fetch_all(&self.pool)
            .await?;
            let refunds = sqlx::query!(
                r#"select currency, count(*) as "refunds!", sum(sandbox_refund.amount)::bigint as "refunded!"
                   from sandbox_refund join sandbox_intent using (intent) group by currency"#
            )
            .fetch_all(&self.pool)
            .await?;
            Ok((captures, refunds))
        })
        .await?;
        let by_currency: HashMap<String, (i64, i64)> = refunds
            .into_iter()
            .map(|row| (row.currency, (row.refunds, row.refunded)))
            .collect();
        captures
            .into_iter()
            .map(|row| {
                let (refunds, refunded) = by_currency.get(&row.currency).copied().unwrap_or_default();
                Ok(SandboxFigures {
                    currency: row
                        .currency
                        .parse()
                        .map_err(|_| BooksFault::Unreadable(row.currency.clone()))?,
                    captures: row.captures.unsigned_abs(),
                    captured: row.captured,
                    refunds: refunds.unsigned_abs(),
                    refunded,
                })
            })
            .collect()
    }
}
