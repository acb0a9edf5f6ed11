//! Waiting for a state instead of for time to pass.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{interval, timeout};

/// Asks until the answer is `Ok`, for at most 60 seconds; then fails with the last answer.
pub async fn eventually<T, E: Debug>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let mut last = None;
    let answered = timeout(Duration::from_secs(60), async {
        let mut poll = interval(Duration::from_millis(20));
        loop {
            poll.tick().await;
            match ask().await {
                Ok(answer) => return answer,
                Err(not_yet) => last = Some(not_yet),
            }
        }
    })
    .await;
    answered.unwrap_or_else(|_| panic!("{what}: not within 60 s; the last answer was {last:?}"))
}
