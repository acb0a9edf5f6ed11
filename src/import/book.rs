//! The rows about imports: what was asked, how far it is, what was refused.
//!
//! Ordinary rows, not events: an import changes the catalogue through the products it writes.

use sqlx::PgPool;
use uuid::Uuid;

use super::Rejection;
use crate::domain::Millis;

/// How many refused rows of one import are kept in full.
pub const REJECTIONS_KEPT: i64 = 10_000;

/// An import as its row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow {
    /// Its id.
    pub id: Uuid,
    /// SHA-256 of the file and what was asked of it.
    pub body: Vec<u8>,
    /// `queued`, `running`, `done` or `failed`.
    pub status: String,
    /// The format named, if one was.
    pub format: Option<String>,
    /// The currency of prices that name none.
    pub currency: String,
    /// Units for new SKUs whose stock the file does not say.
    pub stock: Option<i64>,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// How far it is.
    pub tally: Tally,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was asked for.
    pub created_at: Millis,
    /// When it ended.
    pub ended_at: Option<Millis>,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// Rows read.
    pub rows: i64,
    /// Products that are new.
    pub created: i64,
    /// Products that changed.
    pub changed: i64,
    /// Products that were so already.
    pub unchanged: i64,
    /// Rows that were refused.
    pub rejected: i64,
    /// Bytes read.
    pub bytes_read: i64,
    /// Bytes in all.
    pub bytes_total: i64,
}

/// The rows.
#[derive(Clone, Debug)]
pub struct ImportBook(PgPool);

impl ImportBook {
    /// On a migrated database.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    /// Enters an import; `false` if one of this id is there already.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn enter(&self, row: &ImportRow) -> Result<bool, sqlx::Error> {
        let done = sqlx::query!(
            "insert into import (id, body, status, format, currency, stock, dry_run, bytes_total, created_at)
             values ($1, $2, 'queued', $3, $4, $5, $6, $7, $8)
             on conflict on constraint import_pk do nothing",
            row.id,
            &row.body,
            row.format.as_deref(),
            row.currency,
            row.stock,
            row.dry_run,
            row.tally.bytes_total,
            row.created_at.0,
        )
        .execute(&self.0)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The import of an id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find(&self, id: Uuid) -> Result<Option<ImportRow>, sqlx::Error> {
        let row = sqlx::query!("select * from import where id = $1", id)
            .fetch_optional(&self.0)
            .await?;
        Ok(row.map(|row| ImportRow {
            id: row.id,
            body: row.body,
            status: row.status,
            format: row.format,
            currency: row.currency,
            stock: row.stock,
            dry_run: row.dry_run,
            tally: Tally {
                rows: row.rows,
                created: row.created,
                changed: row.changed,
                unchanged: row.unchanged,
                rejected: row.rejected,
                bytes_read: row.bytes_read,
                bytes_total: row.bytes_total,
            },
            error: row.error,
            created_at: Millis(row.created_at),
            ended_at: row.ended_at.map(Millis),
        }))
    }

    /// Imports that have not ended, oldest first: what a restart goes on with.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn open(&self) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar!("select id from import where ended_at is null order by created_at limit 1000")
            .fetch_all(&self.0)
            .await
    }

    /// An import begins (again): what was counted before is counted anew.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin(&self, id: Uuid) -> Result<(), sqlx::Error> {
        let mut transaction = self.0.begin().await?;
        sqlx::query!("delete from import_rejection where import = $1", id)
            .execute(&mut *transaction)
            .await?;
        sqlx::query!("update import set status = 'running' where id = $1", id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    /// Notes how far an import is, and the rows refused since.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn note(&self, id: Uuid, tally: &Tally, refused: &[Rejection]) -> Result<(), sqlx::Error> {
        let mut transaction = self.0.begin().await?;
        sqlx::query!(
            "update import
             set rows = $2, created = $3, changed = $4, unchanged = $5, rejected = $6, bytes_read = $7, bytes_total = $8
             where id = $1",
            id,
            tally.rows,
            tally.created,
            tally.changed,
            tally.unchanged,
            tally.rejected,
            tally.bytes_read,
            tally.bytes_total,
        )
        .execute(&mut *transaction)
        .await?;
        if tally.rejected - i64::try_from(refused.len()).unwrap_or(0) < REJECTIONS_KEPT {
            let rows: Vec<i64> = refused
                .iter()
                .map(|one| i64::try_from(one.row).unwrap_or(i64::MAX))
                .collect();
            let column = |text: fn(&Rejection) -> &String| -> Vec<String> {
                // PostgreSQL's text has no room for NUL.
                refused
                    .iter()
                    .map(|one| text(one).replace('\0', "\u{fffd}"))
                    .collect()
            };
            sqlx::query!(
                "insert into import_rejection (import, row, place, reason, remedy, excerpt)
                 select $1, r.* from unnest($2::int8[], $3::text[], $4::text[], $5::text[], $6::text[])
                   as r (row, place, reason, remedy, excerpt)",
                id,
                &rows,
                &column(|one| &one.place),
                &column(|one| &one.reason),
                &column(|one| &one.remedy),
                &column(|one| &one.excerpt),
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }

    /// An import has ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end(&self, id: Uuid, error: Option<&str>, at: Millis) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "update import
             set status = case when $2::text is null then 'done' else 'failed' end, error = $2, ended_at = $3
             where id = $1",
            id,
            error,
            at.0,
        )
        .execute(&self.0)
        .await?;
        Ok(())
    }

    /// Refused rows of an import, in the order of the file, after a row.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rejections(&self, id: Uuid, after: i64, limit: i64) -> Result<Vec<Rejection>, sqlx::Error> {
        let rows = sqlx::query!(
            "select row, place, reason, remedy, excerpt from import_rejection
             where import = $1 and row > $2 order by row limit $3",
            id,
            after,
            limit,
        )
        .fetch_all(&self.0)
        .await?;
        let rejection = |row: i64, place, reason, remedy, excerpt| Rejection {
            row: u64::try_from(row).unwrap_or(0),
            place,
            reason,
            remedy,
            excerpt,
        };
        Ok(rows
            .into_iter()
            .map(|r| rejection(r.row, r.place, r.reason, r.remedy, r.excerpt))
            .collect())
    }
}
