//! How a view that keeps rows follows the journal, and writes them: the news of many shards in one
//! transaction, each with its position.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{PgConnection, Postgres, Transaction};

use super::course::{Course, Turn, row_shard};
use super::fault::{ViewFault, WRITE_LIMIT, within};
use crate::domain::{Kind, Shard};
use crate::journal::group::{Group, Together};
use crate::journal::{Position, Recorded};
use crate::relay::{ReadFault, View};

/// What one shard has for a view, and where that brings it.
#[derive(Debug)]
pub(super) struct Part<C> {
    /// The shard.
    pub(super) shard: Shard,
    /// What to write.
    pub(super) changes: C,
    from: Position,
    through: Position,
}

impl<C> Part<C> {
    /// Whether there is something for the database; else it is for memory alone.
    fn is_new(&self) -> bool {
        self.through > self.from
    }
}

/// The shards that want something written.
pub(super) type Parts<C> = Group<Part<C>, ViewFault>;

/// A view that keeps rows. With this it is a [`View`].
pub(super) trait Rows: Send + Sync + Sized + 'static {
    /// What events of one shard change.
    type Changes: Send + Sync;
    /// What it is doing, for those who read of a failure.
    const ACTION: &'static str;

    /// Whether events of this kind concern it.
    fn wants(kind: Kind) -> bool;

    /// Where it is.
    fn course(&self) -> &Course;

    /// Who waits to write.
    fn parts(&self) -> &Parts<Self::Changes>;

    /// What these events change.
    fn read(&self, events: &[&Recorded]) -> impl Future<Output = Result<Self::Changes, ViewFault>> + Send;

    /// About how many rows that changes.
    fn count(changes: &Self::Changes) -> usize;

    /// Writes what these shards have.
    fn write(
        parts: &[&Part<Self::Changes>],
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// It is committed. Called by one caller at a time.
    fn written(&self, parts: &[&Part<Self::Changes>]) {
        let _ = parts;
    }

    /// Follows one shard: [`follow`], and whatever has to stand around it.
    fn follow_in(
        &self,
        shard: Shard,
        events: &[Arc<Recorded>],
        through: Position,
    ) -> impl Future<Output = Result<(), ViewFault>> + Send {
        follow(self, shard, events, through)
    }
}

#[async_trait]
impl<V: Rows> View for V {
    fn name(&self) -> &'static str {
        self.course().view
    }

    fn wants(&self, kind: Kind) -> bool {
        V::wants(kind)
    }

    async fn position(&self, shard: Shard) -> Result<Position, ReadFault> {
        Ok(self.course().position(shard).await?)
    }

    async fn fallen(&self) -> Result<Vec<Shard>, ReadFault> {
        Ok(self.course().fallen().await?)
    }

    async fn follow(
        &self,
        shard: Shard,
        events: &[Arc<Recorded>],
        through: Position,
    ) -> Result<(), ReadFault> {
        Ok(self.follow_in(shard, events, through).await?)
    }
}

/// Reads what is new of these events, writes it, and shows it.
pub(super) async fn follow<V: Rows>(
    view: &V,
    shard: Shard,
    events: &[Arc<Recorded>],
    through: Position,
) -> Result<(), ViewFault> {
    let mut turn = view.course().turn(shard).await?;
    let changes = view.read(&turn.new_of(events)).await?;
    if turn.takes_a_write(V::count(&changes) > 0, through) {
        turn.write(view, changes, through).await?;
    }
    turn.show(through);
    Ok(())
}

impl Turn<'_> {
    /// Writes `changes` and moves the rows' position, together with what other shards have for this view. Readers
    /// see it after [`Turn::show`].
    pub(super) async fn write<V: Rows>(
        &mut self,
        view: &V,
        changes: V::Changes,
        through: Position,
    ) -> Result<(), ViewFault> {
        let part = Part {
            shard: self.shard(),
            changes,
            from: self.position,
            through,
        };
        view.parts()
            .join(part, &Writing(view))
            .await
            .map_err(|_| ViewFault::Abandoned { action: V::ACTION })??;
        self.position = self.position.max(through);
        Ok(())
    }
}

/// How the parts of a view are written.
struct Writing<'a, V>(&'a V);

impl<V: Rows> Together<Part<V::Changes>> for Writing<'_, V> {
    type Fault = ViewFault;

    async fn write(&self, parts: &[&Part<V::Changes>]) -> Result<(), ViewFault> {
        let Self(view) = self;
        let mut new: Vec<&Part<V::Changes>> = parts.iter().copied().filter(|part| part.is_new()).collect();
        // Always in the same order, so that two transactions never wait for each other.
        new.sort_unstable_by_key(|part| part.shard);
        if !new.is_empty() {
            let course = view.course();
            within(V::ACTION, WRITE_LIMIT, async {
                let mut transaction = course.begin().await?;
                V::write(&new, &mut transaction).await?;
                move_positions(course.view, &new, &mut transaction).await?;
                transaction.commit().await
            })
            .await?;
        }
        view.written(parts);
        Ok(())
    }

    fn is_of_one(fault: &ViewFault) -> bool {
        fault.is_in_the_rows()
    }

    fn rows(part: &Part<V::Changes>) -> usize {
        V::count(&part.changes)
    }
}

/// Each from where its turn began.
async fn move_positions<C>(
    view: &str,
    parts: &[&Part<C>],
    transaction: &mut Transaction<'static, Postgres>,
) -> Result<(), sqlx::Error> {
    let moved = sqlx::query!(
        "update view_position as place set position = part.through
         from unnest($2::smallint[], $3::bigint[], $4::bigint[]) as part (shard, origin, through)
         where place.view = $1 and place.shard = part.shard and place.position = part.origin",
        view,
        &parts.iter().map(|part| row_shard(part.shard)).collect::<Vec<_>>(),
        &parts.iter().map(|part| part.from.0).collect::<Vec<_>>(),
        &parts.iter().map(|part| part.through.0).collect::<Vec<_>>(),
    )
    .execute(&mut **transaction)
    .await?;
    if usize::try_from(moved.rows_affected()) != Ok(parts.len()) {
        // Another writer was here. Nothing of this is kept; the next try reads where things are.
        return Err(sqlx::Error::RowNotFound);
    }
    Ok(())
}
