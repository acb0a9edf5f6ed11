//! How far a view has come in every shard, in the database and as seen by readers who wait.
//!
//! **Invariant:** a view's rows and its position change in one transaction (`super::rows`), and only from
//! the position that its turn began at. Commits are asynchronous (a view can be derived again), so
//! a crash of the database may take the last of them back, rows and position together; a view that
//! finds itself further back than it was refuses to follow until it was asked for its position. Where
//! nothing happens any more nobody would notice, so [`Course::fallen`] is asked now and then.

use std::sync::Arc;

use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::fault::{READ_LIMIT, ViewFault, within};
use crate::domain::{Shard, ShardCount};
use crate::journal::{Position, Recorded};

/// One view's place in every shard.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) view: &'static str,
    answers: Answers,
    pool: PgPool,
    places: Box<[Place]>,
}

/// What a view's readers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// Rows: whoever wrote them.
    FromRows,
    /// This node's memory, which every event has to pass through.
    FromMemory,
}

#[derive(Debug)]
struct Place {
    stored: Mutex<Stored>,
    reached: watch::Sender<Position>,
}

/// What this node knows of the position in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    /// It is this.
    At(Position),
    /// A write ended badly or was abandoned: it has to be read. It was at least this.
    Unsure(Position),
    /// It went back. Following goes on only after somebody asked where from.
    Fallen,
}

/// The right to move a view in one shard. Dropped before [`Turn::show`] it leaves the position to be
/// read again.
pub(super) struct Turn<'a> {
    course: &'a Course,
    shard: Shard,
    stored: MutexGuard<'a, Stored>,
    /// Where the rows in the database are.
    pub(super) position: Position,
}

/// Rows are found by their keys: a plan that was made while a table was empty must not go on reading all of
/// it until the server's statistics have caught up.
const BEGIN: &str = "begin; set local synchronous_commit = off; set local enable_seqscan = off";
/// How far readers may be shown ahead of the rows' position where there is nothing to write.
const UNWRITTEN_LIMIT: i64 = 1_000;

impl Course {
    /// Reads where `view` is in each shard, and makes a place for shards it has not seen.
    pub(super) async fn open(
        view: &'static str,
        answers: Answers,
        pool: PgPool,
        shards: ShardCount,
    ) -> Result<Self, ViewFault> {
        let last = i16::try_from(shards.get()).unwrap_or(i16::MAX) - 1;
        within("make room for positions", READ_LIMIT, async {
            sqlx::query!(
                "insert into view_position (view, shard, position)
                 select $1, shard, 0 from generate_series(0, $2::smallint) as shard
                 on conflict (view, shard) do nothing",
                view,
                last,
            )
            .execute(&pool)
            .await
        })
        .await?;
        let mut positions = vec![Position(0); usize::from(shards.get())];
        let rows = within("read positions", READ_LIMIT, async {
            sqlx::query!("select shard, position from view_position where view = $1", view)
                .fetch_all(&pool)
                .await
        })
        .await?;
        for row in rows {
            if let Some(position) = usize::try_from(row.shard)
                .ok()
                .and_then(|at| positions.get_mut(at))
            {
                *position = Position(row.position);
            }
        }
        let places = positions
            .into_iter()
            .map(|position| Place {
                stored: Mutex::new(Stored::At(position)),
                reached: watch::Sender::new(position),
            })
            .collect();
        Ok(Self {
            view,
            answers,
            pool,
            places,
        })
    }

    fn place(&self, shard: Shard) -> Result<&Place, ViewFault> {
        self.places.get(usize::from(shard.0)).ok_or(ViewFault::Moved {
            view: self.view,
            shard: shard.0,
        })
    }

    /// What readers see of a shard. Moves after the commit.
    pub(super) fn reached(&self, shard: Shard) -> Position {
        self.place(shard)
            .map_or(Position(0), |place| *place.reached.borrow())
    }

    /// Tells of every move in a shard.
    pub(super) fn watch(&self, shard: Shard) -> Option<watch::Receiver<Position>> {
        Some(self.place(shard).ok()?.reached.subscribe())
    }

    /// Every shard with what readers see of it.
    pub(super) fn all_reached(&self) -> Vec<Position> {
        self.places.iter().map(|place| *place.reached.borrow()).collect()
    }

    /// Where following starts: after the rows in the database, or, for a view that also keeps its
    /// answers in memory, after what this node's memory has.
    pub(super) async fn position(&self, shard: Shard) -> Result<Position, ViewFault> {
        let place = self.place(shard)?;
        let mut stored = place.stored.lock().await;
        let position = self.read(shard).await?;
        *stored = Stored::At(position);
        let start = match self.answers {
            Answers::FromRows => position,
            Answers::FromMemory => position.min(*place.reached.borrow()),
        };
        place
            .reached
            .send_if_modified(|reached| std::mem::replace(reached, start) != start);
        Ok(start)
    }

    /// Takes the turn to move in a shard.
    pub(super) async fn turn(&self, shard: Shard) -> Result<Turn<'_>, ViewFault> {
        let place = self.place(shard)?;
        let mut stored = place.stored.lock().await;
        let position = match *stored {
            Stored::At(position) => position,
            Stored::Unsure(known) => {
                let position = self.read(shard).await?;
                if position < known {
                    *stored = Stored::Fallen;
                    return Err(self.moved(shard));
                }
                position
            }
            Stored::Fallen => return Err(self.moved(shard)),
        };
        *stored = Stored::Unsure(position);
        Ok(Turn {
            course: self,
            shard,
            stored,
            position,
        })
    }

    /// Shards whose position in the database is behind what it was a moment ago. One that is moving
    /// right now is left out: whoever moves it will see.
    pub(super) async fn fallen(&self) -> Result<Vec<Shard>, ViewFault> {
        let known: Vec<Option<Position>> = self
            .places
            .iter()
            .map(|place| match *place.stored.try_lock().ok()? {
                Stored::At(position) | Stored::Unsure(position) => Some(position),
                Stored::Fallen => None,
            })
            .collect();
        let rows = within("read positions", READ_LIMIT, async {
            sqlx::query!(
                "select shard, position from view_position where view = $1",
                self.view
            )
            .fetch_all(&self.pool)
            .await
        })
        .await?;
        let fallen = rows.into_iter().filter_map(|row| {
            let known = (*known.get(usize::try_from(row.shard).ok()?)?)?;
            (row.position < known.0).then_some(Shard(u16::try_from(row.shard).ok()?))
        });
        Ok(fallen.collect())
    }

    /// Starts a transaction that writes rows and positions.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.pool.begin_with(BEGIN).await
    }

    const fn moved(&self, shard: Shard) -> ViewFault {
        ViewFault::Moved {
            view: self.view,
            shard: shard.0,
        }
    }

    async fn read(&self, shard: Shard) -> Result<Position, ViewFault> {
        let position = within("read a position", READ_LIMIT, async {
            sqlx::query_scalar!(
                "select position from view_position where view = $1 and shard = $2",
                self.view,
                row_shard(shard),
            )
            .fetch_optional(&self.pool)
            .await
        })
        .await?;
        Ok(Position(position.unwrap_or(0)))
    }
}

impl Turn<'_> {
    pub(super) const fn shard(&self) -> Shard {
        self.shard
    }

    /// Whether following through there takes a write. News that change no row of this view move only what
    /// readers see; the rows' position follows now and then, and with the next change. After a restart those
    /// positions are read again, which costs a little time and nothing else.
    pub(super) const fn takes_a_write(&self, changes: bool, through: Position) -> bool {
        let ahead = through.0 - self.position.0;
        match self.course.answers {
            Answers::FromRows if changes => ahead > 0,
            // Also where the rows are there already: memory may lack what they say.
            Answers::FromMemory if changes => true,
            _ => ahead >= UNWRITTEN_LIMIT,
        }
    }

    /// The events that are not among the view's answers yet.
    pub(super) fn new_of<'e>(&self, events: &'e [Arc<Recorded>]) -> Vec<&'e Recorded> {
        let has = match self.course.answers {
            Answers::FromRows => self.position,
            Answers::FromMemory => self.course.reached(self.shard),
        };
        events
            .iter()
            .map(AsRef::as_ref)
            .filter(|event| event.position > has)
            .collect()
    }

    /// Ends the turn: readers who wait for `through` have it.
    pub(super) fn show(mut self, through: Position) {
        *self.stored = Stored::At(self.position);
        if let Ok(place) = self.course.place(self.shard) {
            place.reached.send_if_modified(|reached| {
                let forward = through > *reached;
                *reached = through.max(*reached);
                forward
            });
        }
    }
}

/// A shard as its column holds it.
pub(super) fn row_shard(shard: Shard) -> i16 {
    i16::try_from(shard.0).unwrap_or(i16::MAX)
}
