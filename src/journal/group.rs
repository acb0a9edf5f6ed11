//! Group commit: what many hand in while a transaction is under way is written together by the next.
//!
//! For rows that are derived (views, the mailbox); the append has its own writer, which knows about
//! epochs. Nobody waits for company: whoever comes while nobody writes, writes at once. One thing
//! that cannot be written does not take the others with it: they are tried again one by one.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;
use tokio::sync::{Mutex as AsyncMutex, oneshot};

/// How to write things of one kind.
pub trait Together<T> {
    /// Why they could not be written.
    type Fault: Send;

    /// Writes all of them or none, within a deadline of its own.
    fn write(&self, things: &[&T]) -> impl Future<Output = Result<(), Self::Fault>> + Send;

    /// Whether one of the things may be to blame, so that the others are worth trying without it.
    fn is_of_one(fault: &Self::Fault) -> bool;

    /// How many rows this is, about: a transaction takes no more than [`ROWS`], or one thing.
    fn rows(thing: &T) -> usize;
}

/// About how many rows a transaction of a group has at most.
pub const ROWS: usize = 2_000;
/// How many may fail by themselves, each of which may mean waiting for a lock, before the rest is left for the next
/// transaction.
const FAILURES: usize = 2;

/// Whether a database that is well refuses what it was given: a value (22), a constraint (23), a row that was changed or
/// is locked by somebody else (21, 40, 55), a position that is not where it was.
pub(crate) fn is_refusal(fault: &sqlx::Error) -> bool {
    match fault {
        sqlx::Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default();
            ["21", "22", "23", "40", "55"]
                .iter()
                .any(|class| code.starts_with(class))
        }
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        sqlx::Error::RowNotFound => true,
        _ => false,
    }
}

/// Those who want something written, and the one of them who is writing. It holds as many things as there are
/// callers: bounding those is theirs.
#[derive(Debug)]
pub struct Group<T, F> {
    waiting: Mutex<Vec<Waiting<T, F>>>,
    writer: AsyncMutex<()>,
}

#[derive(Debug)]
struct Waiting<T, F> {
    thing: T,
    answer: oneshot::Sender<Result<(), F>>,
}

/// Whoever wrote for this caller gave up before it was its turn, or in the middle: perhaps it was written and perhaps not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transaction this was to be part of was given up")]
pub struct Abandoned;

impl<T, F> Default for Group<T, F> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            writer: AsyncMutex::default(),
        }
    }
}

impl<T: Send + Sync, F: Send> Group<T, F> {
    /// Has `thing` written, by this caller or by another; what `with` does must be the same for all.
    ///
    /// # Errors
    /// [`Abandoned`] when another caller's transaction ended badly; then whether it was written is not known.
    /// Else what the writing said.
    pub async fn join<W>(&self, thing: T, with: &W) -> Result<Result<(), F>, Abandoned>
    where
        W: Together<T, Fault = F> + Sync,
    {
        let (answer, mut answered) = oneshot::channel();
        self.lock().push(Waiting { thing, answer });
        loop {
            let turn = tokio::select! {
                biased;
                result = &mut answered => return result.map_err(|_| Abandoned),
                turn = self.writer.lock() => turn,
            };
            let together = self.take::<W>();
            if !together.is_empty() {
                write(together, with).await;
            }
            drop(turn);
        }
    }

    /// The first of those who still wait for an answer, as many as a transaction takes.
    fn take<W: Together<T>>(&self) -> Vec<Waiting<T, F>> {
        let mut waiting = self.lock();
        waiting.retain(|one| !one.answer.is_closed());
        let mut rows = 0;
        let fits = waiting.iter().take_while(|one| {
            let first = rows == 0;
            rows += W::rows(&one.thing).max(1);
            first || rows <= ROWS
        });
        let count = fits.count();
        waiting.drain(..count).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting<T, F>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of them, or, if one may be to blame, each by itself. Who gets no answer knows that it is not known.
async fn write<T, W>(together: Vec<Waiting<T, W::Fault>>, with: &W)
where
    T: Send + Sync,
    W: Together<T> + Sync,
{
    let things: Vec<&T> = together.iter().map(|one| &one.thing).collect();
    match attempt(&things, with).await {
        Some(Ok(())) => together.into_iter().for_each(|one| tell(one.answer, Ok(()))),
        Some(Err(fault)) if together.len() == 1 || !W::is_of_one(&fault) => {
            // The first of them hears why; it is the same for the others.
            if let Some(first) = together.into_iter().next() {
                tell(first.answer, Err(fault));
            }
        }
        Some(Err(_)) | None if together.len() > 1 => apart(together, with).await,
        Some(Err(_)) | None => {}
    }
}

async fn apart<T, W>(things: Vec<Waiting<T, W::Fault>>, with: &W)
where
    T: Send + Sync,
    W: Together<T> + Sync,
{
    let mut failures = 0;
    for Waiting { thing, answer } in things {
        let result = attempt(&[&thing], with).await;
        let goes_on = match &result {
            Some(Ok(())) => true,
            Some(Err(fault)) => {
                failures += 1;
                W::is_of_one(fault)
            }
            None => {
                failures += 1;
                true
            }
        };
        if let Some(result) = result {
            tell(answer, result);
        }
        if !goes_on || failures >= FAILURES {
            return;
        }
    }
}

/// Nothing if it panicked, which is the trouble of whatever made it do so.
async fn attempt<T, W>(things: &[&T], with: &W) -> Option<Result<(), W::Fault>>
where
    T: Send + Sync,
    W: Together<T> + Sync,
{
    AssertUnwindSafe(with.write(things)).catch_unwind().await.ok()
}

/// A caller who has left in the meantime finds out by itself how far it is.
fn tell<F>(answer: oneshot::Sender<Result<(), F>>, result: Result<(), F>) {
    drop(answer.send(result));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Fault {
        OfOne,
        OfAll,
    }

    /// Refuses what is negative; fails altogether at 1000. Writes only as often as it is let.
    struct Book {
        allowed: Semaphore,
        written: Mutex<Vec<Vec<i32>>>,
        tries: AtomicUsize,
    }

    impl Book {
        fn new(allowed: usize) -> Arc<Self> {
            Arc::new(Self {
                allowed: Semaphore::new(allowed),
                written: Mutex::default(),
                tries: AtomicUsize::new(0),
            })
        }
    }

    impl Together<i32> for Book {
        type Fault = Fault;

        async fn write(&self, things: &[&i32]) -> Result<(), Fault> {
            self.allowed.acquire().await.unwrap().forget();
            self.tries.fetch_add(1, Relaxed);
            let things: Vec<i32> = things.iter().map(|thing| **thing).collect();
            assert!(!things.contains(&666), "the number of the beast");
            if things.contains(&1000) {
                return Err(Fault::OfAll);
            }
            if things.iter().any(|thing| *thing < 0) {
                return Err(Fault::OfOne);
            }
            self.written.lock().unwrap().push(things);
            Ok(())
        }

        fn is_of_one(fault: &Fault) -> bool {
            *fault == Fault::OfOne
        }

        fn rows(thing: &i32) -> usize {
            match thing {
                900..1000 => ROWS / 2 + 1,
                _ => 1,
            }
        }
    }

    type Answers = Vec<Result<Result<(), Fault>, Abandoned>>;

    /// The first of them begins at once; the others come while it writes.
    async fn hand_in(book: &Arc<Book>, things: &[i32]) -> Answers {
        let group = Group::default();
        let callers = things.iter().map(|thing| group.join(*thing, &**book));
        let all = join_all(callers);
        let go = async {
            tokio::task::yield_now().await;
            book.allowed.add_permits(1_000);
        };
        tokio::join!(all, go).0
    }

    #[tokio::test]
    async fn what_comes_while_one_writes_is_written_together() {
        let book = Book::new(0);
        let answers = hand_in(&book, &[1, 2, 3, 4]).await;
        assert_eq!(answers, vec![Ok(Ok(())); 4]);
        assert_eq!(*book.written.lock().unwrap(), [vec![1], vec![2, 3, 4]]);
    }

    #[tokio::test]
    async fn one_that_cannot_be_written_does_not_take_the_others_with_it() {
        let book = Book::new(0);
        let answers = hand_in(&book, &[1, 2, -3, 4]).await;
        assert_eq!(
            answers,
            [Ok(Ok(())), Ok(Ok(())), Ok(Err(Fault::OfOne)), Ok(Ok(()))]
        );
        assert_eq!(*book.written.lock().unwrap(), [vec![1], vec![2], vec![4]]);
    }

    #[tokio::test]
    async fn nor_does_one_that_makes_the_writing_panic() {
        let book = Book::new(0);
        let answers = hand_in(&book, &[1, 2, 666, 4]).await;
        assert_eq!(answers, [Ok(Ok(())), Ok(Ok(())), Err(Abandoned), Ok(Ok(()))]);
    }

    #[tokio::test]
    async fn after_two_that_fail_the_rest_is_left_for_later() {
        let book = Book::new(0);
        let answers = hand_in(&book, &[1, -2, 3, -4, 5]).await;
        let refused = || Ok(Err(Fault::OfOne));
        assert_eq!(
            answers,
            [Ok(Ok(())), refused(), Ok(Ok(())), refused(), Err(Abandoned)]
        );
    }

    #[tokio::test]
    async fn what_fails_for_all_is_not_tried_for_each() {
        let book = Book::new(0);
        let answers = hand_in(&book, &[1, 2, 1000, 4]).await;
        assert_eq!(
            answers,
            [Ok(Ok(())), Ok(Err(Fault::OfAll)), Err(Abandoned), Err(Abandoned)]
        );
        assert_eq!(book.tries.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn a_transaction_has_a_size() {
        let book = Book::new(0);
        let answers = hand_in(&book, &[1, 900, 2, 901, 902]).await;
        assert_eq!(answers, vec![Ok(Ok(())); 5]);
        assert_eq!(
            *book.written.lock().unwrap(),
            [vec![1], vec![900, 2], vec![901], vec![902]]
        );
    }

    #[tokio::test]
    async fn when_the_writer_leaves_another_goes_on() {
        let book = Book::new(0);
        let group = Arc::new(Group::default());
        let join = |thing: i32| {
            let (group, book) = (Arc::clone(&group), Arc::clone(&book));
            tokio::spawn(async move { group.join(thing, &*book).await })
        };
        let first = join(1);
        tokio::task::yield_now().await;
        let others = [join(2), join(3)];
        tokio::task::yield_now().await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        book.allowed.add_permits(10);
        for other in others {
            assert_eq!(other.await.unwrap(), Ok(Ok(())));
        }
        assert_eq!(*book.written.lock().unwrap(), [vec![2, 3]]);
    }
}
