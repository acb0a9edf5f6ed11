//! How much is worked on at once: a bound for the whole edge, of which each class may use a part.
//!
//! When the shop is full, sellers' lists wait before shoppers who look around, and those before
//! shoppers who pay. Who is refused is refused before a byte of the body is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::problem::{Problem, kind};

/// What a request is for, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Whether the shop is alive: always answered.
    Probe,
    /// Carts, checkouts, orders and what the payment provider tells us.
    Checkout,
    /// Looking around and signing in.
    Browse,
    /// Everything else.
    Rest,
}

impl Class {
    /// The class of an address.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let under = |roots: &[&str]| {
            roots.iter().any(|root| {
                path.strip_prefix(root)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        if under(&["/healthz", "/readyz", "/metrics"]) {
            Self::Probe
        } else if under(&[
            "/v1/cart",
            "/v1/orders",
            "/v1/webhooks",
            "/cart",
            "/checkout",
            "/orders",
        ]) {
            Self::Checkout
        } else if under(&[
            "/v1/seller",
            "/v1/stock",
            "/v1/imports",
            "/seller",
            "/ops",
            "/docs",
            "/dev",
        ]) {
            Self::Rest
        } else {
            Self::Browse
        }
    }

    /// How many hundredths of the room this class may fill.
    const fn share(self) -> usize {
        match self {
            Self::Probe => usize::MAX,
            Self::Checkout => 100,
            Self::Browse => 75,
            Self::Rest => 50,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Checkout => "checkout",
            Self::Browse => "browse",
            Self::Rest => "rest",
        }
    }
}

/// The room there is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Room {
    limit: usize,
    taken: Arc<AtomicUsize>,
}

impl Room {
    /// Room for `limit` requests at once.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: Arc::default(),
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// A 503 when the class has none left.
    pub fn enter(&self, class: Class) -> Result<Place, Problem> {
        let ceiling = match class {
            Class::Probe => usize::MAX,
            _ => (self.limit * class.share() / 100).max(1),
        };
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        // Made at once, so that a refusal gives the place back too.
        let place = Place(Arc::clone(&self.taken));
        if before < ceiling {
            return Ok(place);
        }
        metrics::counter!("http_refused_total", "class" => class.name()).increment(1);
        Err(Problem::new(&kind::OVERLOADED).retry_after(Duration::from_secs(1)))
    }

    /// How many are being worked on.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_pays_is_refused_last() {
        let room = Room::new(4);
        let mut places = vec![room.enter(Class::Rest).unwrap(), room.enter(Class::Rest).unwrap()];
        assert!(room.enter(Class::Rest).is_err());
        places.push(room.enter(Class::Browse).unwrap());
        assert!(room.enter(Class::Browse).is_err());
        places.push(room.enter(Class::Checkout).unwrap());
        assert_eq!(room.enter(Class::Checkout).unwrap_err().status(), 503);
        drop(room.enter(Class::Probe).unwrap());
        assert_eq!(room.taken(), 4);
        drop(places);
        assert_eq!(room.taken(), 0);
    }

    #[test]
    fn classes_follow_addresses() {
        assert_eq!(Class::of("/v1/cart"), Class::Checkout);
        assert_eq!(Class::of("/v1/cart/checkout"), Class::Checkout);
        assert_eq!(Class::of("/v1/cartography"), Class::Browse);
        assert_eq!(Class::of("/v1/seller/orders"), Class::Rest);
        assert_eq!(Class::of("/healthz"), Class::Probe);
        assert_eq!(Class::of("/p/a-tv"), Class::Browse);
    }
}
