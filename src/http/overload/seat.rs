//! The place of a call, left while the call waits for its own client.
//!
//! A client that sends its body slowly, or never, keeps its connection busy and nothing else: held through
//! that, a few dozen half bodies would close the shop to everybody.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;

use super::{Class, Place, Room, Shed};
use crate::http::problem::Problem;

/// A call's seat: its place, unless it has stepped aside. Cheap to clone; all clones are the same seat.
#[derive(Clone, Debug)]
pub struct Seat {
    room: Room,
    class: Class,
    place: Arc<Mutex<Option<Place>>>,
}

/// What a call stepped aside for did not come to anything.
#[derive(Debug)]
pub enum Aside<E> {
    /// It failed.
    Failed(E),
    /// It came, and there was no place any more.
    Shed(Shed),
}

impl Seat {
    /// A seat of this class.
    ///
    /// # Errors
    /// [`Shed`] when there is no place for it.
    pub async fn take(room: &Room, class: Class) -> Result<Self, Shed> {
        let place = room.enter(class).await?;
        Ok(Self {
            room: room.clone(),
            class,
            place: Arc::new(Mutex::new(Some(place))),
        })
    }

    /// Waits for what the client still has to send, and holds no place meanwhile. What is there already
    /// costs nothing. How many wait so is bounded by the connections there may be.
    ///
    /// # Errors
    /// [`Aside`]; there is no place any more in either case.
    pub async fn aside<T, E>(&self, arrival: impl Future<Output = Result<T, E>>) -> Result<T, Aside<E>> {
        let mut arrival = pin!(arrival);
        if let std::task::Poll::Ready(arrived) = futures_util::poll!(arrival.as_mut()) {
            return arrived.map_err(Aside::Failed);
        }
        self.leave();
        let arrived = arrival.await.map_err(Aside::Failed)?;
        let place = self.room.enter(self.class).await.map_err(Aside::Shed)?;
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        Ok(arrived)
    }

    /// Notes how the call was answered, and gives the place back.
    pub fn answered(&self, status: StatusCode, problem: Option<&Problem>) {
        if let Some(mut place) = self.leave() {
            place.answered(status, problem);
        }
    }

    fn leave(&self) -> Option<Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
