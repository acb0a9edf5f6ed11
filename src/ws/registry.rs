//! The open connections of this node: how many, whose, and how to reach all of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::figures::Figures;
use super::outbox::Outbox;
use super::protocol::Close;
use crate::clock::Clock;
use crate::domain::id::CustomerId;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// On this node.
    pub total: usize,
    /// From one address; loopback counts only if told so.
    pub per_address: usize,
    /// Whether loopback addresses count as addresses.
    pub count_loopback: bool,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: 50_000,
            per_address: 256,
            count_loopback: false,
        }
    }
}

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The node is going down.
    Draining,
    /// The node has as many as it takes.
    Node,
    /// The address has as many as it may have.
    Address,
}

/// See the module.
#[derive(Debug)]
pub struct Registry {
    limits: ConnectionLimits,
    clock: Clock,
    figures: Figures,
    open: Mutex<Open>,
    next: AtomicU64,
    draining: AtomicBool,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, Connection>,
    addresses: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Connection {
    outbox: Arc<Outbox>,
    customer: Option<CustomerId>,
    address: Option<IpAddr>,
}

/// A connection's entry; gone when dropped.
#[derive(Debug)]
pub struct Entry {
    registry: Arc<Registry>,
    outbox: Arc<Outbox>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(limits: ConnectionLimits, clock: Clock, figures: Figures) -> Self {
        Self {
            limits,
            clock,
            figures,
            open: Mutex::default(),
            next: AtomicU64::new(1),
            draining: AtomicBool::new(false),
            emptied: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in and gives it its outbox.
    ///
    /// # Errors
    /// [`Full`].
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Entry, Full> {
        let mut open = self.lock();
        if self.draining.load(Relaxed) {
            return Err(Full::Draining);
        }
        if open.connections.len() >= self.limits.total {
            return Err(Full::Node);
        }
        let counts = self.limits.count_loopback || !address.to_canonical().is_loopback();
        let counted = counts.then(|| network(address));
        if let Some(address) = counted {
            let count = open.addresses.entry(address).or_default();
            if *count >= self.limits.per_address {
                return Err(Full::Address);
            }
            *count += 1;
        }
        let number = self.next.fetch_add(1, Relaxed);
        let trace = self.clock.new_id().simple().to_string().into();
        let outbox = Arc::new(Outbox::new(number, trace, self.figures.clone()));
        open.connections.insert(
            number,
            Connection {
                outbox: Arc::clone(&outbox),
                customer: None,
                address: counted,
            },
        );
        Ok(Entry {
            registry: Arc::clone(self),
            outbox,
        })
    }

    /// How many connections are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().connections.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets the gauges.
    pub fn count(&self) {
        let open = self.lock();
        let outboxes = || open.connections.values().map(|connection| &connection.outbox);
        self.figures.connections.set(open.connections.len() as f64);
        self.figures
            .subscriptions
            .set(outboxes().map(|outbox| outbox.subscriptions()).sum::<usize>() as f64);
        self.figures
            .queued
            .set(outboxes().map(|outbox| outbox.bytes()).sum::<usize>() as f64);
    }

    /// Has every connection of a customer look again at who is there; of everybody, if that is not
    /// known.
    pub fn recheck(&self, customer: Option<CustomerId>) {
        for connection in self.lock().connections.values() {
            if connection.customer.is_some() && (customer.is_none() || connection.customer == customer) {
                connection.outbox.recheck();
            }
        }
    }

    /// Ends every connection, each with its own moment to come back within `spread`.
    pub fn end_all(&self, close: Close, spread: Duration) {
        let millis = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        for connection in self.lock().connections.values() {
            let after = Duration::from_millis(self.clock.random_below(millis.saturating_add(1)));
            connection.outbox.end(close.after(after));
        }
    }

    /// Lets nobody in any more and ends every connection; returns when all are gone, or after `limit`.
    pub async fn drain(&self, close: Close, spread: Duration, limit: Duration) {
        self.draining.store(true, Relaxed);
        self.end_all(close, spread);
        let all_gone = async {
            loop {
                let emptied = self.emptied.notified();
                if self.is_empty() {
                    return;
                }
                emptied.await;
            }
        };
        if tokio::time::timeout(limit, all_gone).await.is_err() {
            tracing::warn!(
                left = self.len(),
                "connections of the live feed did not end in time"
            );
        }
    }
}

impl Entry {
    /// The connection's outbox.
    #[must_use]
    pub const fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Notes who is there.
    pub fn is_of(&self, customer: Option<CustomerId>) {
        if let Some(connection) = self.registry.lock().connections.get_mut(&self.outbox.number()) {
            connection.customer = customer;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = self.registry.lock();
        let Some(gone) = open.connections.remove(&self.outbox.number()) else {
            return;
        };
        if let Some(address) = gone.address
            && let Some(count) = open.addresses.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                open.addresses.remove(&address);
            }
        }
        if open.connections.is_empty() {
            self.registry.emptied.notify_waiters();
        }
    }
}

/// What counts as one address: an IPv4 address, or a network of IPv6 (/64).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Millis;
    use crate::ws::protocol::CloseCode;

    fn registry(limits: ConnectionLimits) -> Arc<Registry> {
        let clock = Clock::simulated(1, Millis(0));
        Arc::new(Registry::new(limits, clock, Figures::new()))
    }

    #[tokio::test]
    async fn an_address_has_its_share_and_gives_it_back() {
        let registry = registry(ConnectionLimits {
            total: 4,
            per_address: 2,
            count_loopback: false,
        });
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let same_network: IpAddr = "2001:db8::2".parse().unwrap();
        let first = registry.enter(one).unwrap();
        let _second = registry.enter(same_network).unwrap();
        assert_eq!(registry.enter(one).unwrap_err(), Full::Address);
        drop(first);
        let _third = registry.enter(one).unwrap();
        let home: IpAddr = "127.0.0.1".parse().unwrap();
        let _others = [registry.enter(home).unwrap(), registry.enter(home).unwrap()];
        assert_eq!(registry.enter(home).unwrap_err(), Full::Node);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_waits_until_all_are_gone() {
        let registry = registry(ConnectionLimits::default());
        let home: IpAddr = "127.0.0.1".parse().unwrap();
        let entry = registry.enter(home).unwrap();
        let leaving = tokio::spawn(async move {
            entry.outbox().ready().await;
            entry.outbox().take(&mut vec![], 1).end.unwrap()
        });
        let close = Close::new(CloseCode::Drain, "going down");
        registry
            .drain(close, Duration::from_secs(3), Duration::from_secs(9))
            .await;
        assert!(leaving.await.unwrap().after <= Duration::from_secs(3));
        assert_eq!(registry.enter(home).unwrap_err(), Full::Draining);
    }
}
