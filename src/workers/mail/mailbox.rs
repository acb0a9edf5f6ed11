//! The local mailbox: where mail ends that does not leave the house, to be read at `/dev/mail`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use tokio::time::timeout;

use super::post::{Mail, Post, PostFault};
use crate::domain::Millis;
use crate::journal::group::{Abandoned, Group, Together, is_refusal};

/// How many mails are kept: the newest.
const KEPT: i64 = 20_000;
/// After how many mails the oldest are dropped.
const SWEEP_EVERY: u64 = 1_000;
/// How long the database may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The mailbox. It stands in for a mail server, so it keeps its own rows (`docs/adr/0002`).
#[derive(Debug)]
pub struct Mailbox {
    pool: PgPool,
    taken: AtomicU64,
    arriving: Group<Mail, PostFault>,
}

/// A mail in the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMail {
    /// Its number: rising.
    pub number: i64,
    /// The mail.
    pub mail: Mail,
}

struct Row {
    number: i64,
    sent_at_ms: i64,
    message_id: String,
    sender: String,
    recipient: String,
    subject: String,
    body_text: String,
    body_html: String,
}

impl From<Row> for StoredMail {
    fn from(row: Row) -> Self {
        Self {
            number: row.number,
            mail: Mail {
                message_id: row.message_id,
                from: row.sender,
                to: row.recipient,
                subject: row.subject,
                text: row.body_text,
                html: row.body_html,
                at: Millis(row.sent_at_ms),
            },
        }
    }
}

fn within<T>(
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> impl Future<Output = Result<T, PostFault>> {
    // Boxed: taking a connection may mean opening one, and every future around this one would carry
    // the room for that.
    let work = Box::pin(work);
    async move {
        match timeout(LIMIT, work).await {
            Ok(result) => result.map_err(|error| PostFault::Failed(error.into())),
            Err(late) => Err(PostFault::Failed(late.into())),
        }
    }
}

impl Mailbox {
    /// The mailbox of a migrated database.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            pool,
            taken: AtomicU64::new(0),
            arriving: Group::default(),
        }
    }

    /// The newest mails, of one addressee if one is named, below `before` if that is given.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(
        &self,
        to: Option<&str>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredMail>, PostFault> {
        let rows = within(async {
            sqlx::query_as!(
                Row,
                "select number, sent_at_ms, message_id, sender, recipient, subject, body_text, body_html
                 from mailbox_mail
                 where ($1::text is null or lower(recipient) = lower($1)) and ($2::bigint is null or number < $2)
                 order by number desc limit $3",
                to,
                before,
                i64::from(limit),
            )
            .fetch_all(&self.pool)
            .await
        })
        .await?;
        Ok(rows.into_iter().map(StoredMail::from).collect())
    }

    /// One mail.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn get(&self, number: i64) -> Result<Option<StoredMail>, PostFault> {
        let row = within(async {
            sqlx::query_as!(
                Row,
                "select number, sent_at_ms, message_id, sender, recipient, subject, body_text, body_html
                 from mailbox_mail where number = $1",
                number,
            )
            .fetch_optional(&self.pool)
            .await
        })
        .await?;
        Ok(row.map(StoredMail::from))
    }

    async fn sweep(&self) {
        let swept = within(async {
            sqlx::query!(
                "delete from mailbox_mail where number <= (select max(number) from mailbox_mail) - $1",
                KEPT
            )
            .execute(&self.pool)
            .await
        });
        if let Err(fault) = swept.await {
            tracing::warn!(%fault, "old mails stay in the mailbox for now");
        }
    }
}

impl Together<Mail> for Mailbox {
    type Fault = PostFault;

    async fn write(&self, mails: &[&Mail]) -> Result<(), PostFault> {
        // A mail is text: what a row cannot hold is left out.
        let texts = |of: fn(&Mail) -> &str| -> Vec<String> {
            mails.iter().map(|mail| of(mail).replace('\0', "")).collect()
        };
        within(async {
            // Nobody waits for the disk: a crash that loses this mail also loses the position that
            // came after it, so it is written again.
            let mut transaction = self
                .pool
                .begin_with("begin; set local synchronous_commit = off")
                .await?;
            sqlx::query!(
                "insert into mailbox_mail (sent_at_ms, message_id, sender, recipient, subject, body_text, body_html)
                 select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                                      $7::text[])
                 on conflict (message_id) do nothing",
                &mails.iter().map(|mail| mail.at.0).collect::<Vec<_>>(),
                &texts(|mail| &mail.message_id),
                &texts(|mail| &mail.from),
                &texts(|mail| &mail.to),
                &texts(|mail| &mail.subject),
                &texts(|mail| &mail.text),
                &texts(|mail| &mail.html),
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        })
        .await
    }

    /// Any of them may be what a row cannot hold.
    fn is_of_one(fault: &PostFault) -> bool {
        let PostFault::Failed(source) = fault else {
            return true;
        };
        source.downcast_ref().is_some_and(is_refusal)
    }

    fn rows(_: &Mail) -> usize {
        // Some kilobytes, where others' rows are some hundred bytes.
        20
    }
}

#[async_trait]
impl Post for Mailbox {
    async fn send(&self, mail: &Mail) -> Result<(), PostFault> {
        let given_up = |fault: Abandoned| PostFault::Failed(fault.into());
        self.arriving.join(mail.clone(), self).await.map_err(given_up)??;
        if self.taken.fetch_add(1, Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.sweep().await;
        }
        Ok(())
    }
}
