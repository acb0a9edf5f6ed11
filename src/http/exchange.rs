//! One request and its answer: what is known of it from the first byte to the last log line.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::http::Extensions;
use tokio::time::Instant;

use super::limit::Allowance;
use super::trace::Trace;
use crate::domain::id::CustomerId;

/// The address at the other end of the connection; put beside each request by [`super::serve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// What is known of one request. Cheap to clone; everybody on the request's way has the same.
#[derive(Clone, Debug)]
pub struct Exchange(Arc<Known>);

#[derive(Debug)]
struct Known {
    trace: Trace,
    address: IpAddr,
    near: bool,
    started: Instant,
    caller: OnceLock<CustomerId>,
    allowance: Mutex<Option<Allowance>>,
}

impl Exchange {
    /// A request that has just come in. `near`: whoever sent it sits at this machine.
    #[must_use]
    pub fn begin(trace: Trace, address: IpAddr, near: bool, started: Instant) -> Self {
        Self(Arc::new(Known {
            trace,
            address,
            near,
            started,
            caller: OnceLock::new(),
            allowance: Mutex::new(None),
        }))
    }

    /// The exchange of a request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Its trace.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// Where it comes from.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Whether whoever sent it sits at this machine.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.0.near
    }

    /// When it came in.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.0.started
    }

    /// Notes who calls, for the log.
    pub fn note_caller(&self, caller: CustomerId) {
        let _ = self.0.caller.set(caller);
    }

    /// Who calls, once that is known.
    #[must_use]
    pub fn caller(&self) -> Option<CustomerId> {
        self.0.caller.get().copied()
    }

    /// Notes what is left of a limit, for the answer's headers. The last limit noted counts: it is
    /// the closest to the caller, or the one that refused.
    pub fn note_allowance(&self, allowance: Allowance) {
        *self.0.allowance.lock().unwrap_or_else(PoisonError::into_inner) = Some(allowance);
    }

    /// What is left of a limit, if one was asked.
    #[must_use]
    pub fn allowance(&self) -> Option<Allowance> {
        *self.0.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
