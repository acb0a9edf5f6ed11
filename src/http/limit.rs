//! How fast one address and one principal may go: token buckets.
//!
//! An address is limited before anything is looked at, a principal once it is known, and sensitive
//! calls (signing in, registering, resetting) once more by address. Loopback addresses are not
//! counted unless configured; a network of IPv6 addresses (/64) is one address.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::Edge;
use super::exchange::Exchange;
use super::problem::{Problem, kind};
use crate::domain::id::CustomerId;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// After this many questions the buckets that are full again are forgotten.
const TIDY_EVERY: u32 = 16_384;

/// How fast anybody may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Requests a second of one address.
    pub address_per_second: u32,
    /// Requests of one address at once, after it was quiet.
    pub address_burst: u32,
    /// Requests a second of one principal; 20 at least.
    pub principal_per_second: u32,
    /// Sensitive calls a minute of one address.
    pub sensitive_per_minute: u32,
    /// Whether loopback addresses count as addresses.
    pub count_loopback: bool,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            address_per_second: 200,
            address_burst: 200,
            principal_per_second: 500,
            sensitive_per_minute: 60,
            count_loopback: false,
        }
    }
}

/// What is left of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    name: &'static str,
    quota: u32,
    window: u64,
    left: u32,
    reset: u64,
}

impl Allowance {
    /// An allowance that somebody else keeps and that is used up.
    #[must_use]
    pub(super) const fn spent(name: &'static str, quota: u32, window: u64, reset: u64) -> Self {
        Self {
            name,
            quota,
            window,
            left: 0,
            reset,
        }
    }

    /// Writes the headers of draft-ietf-httpapi-ratelimit-headers, unless the answer has them.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let Self {
            name,
            quota,
            window,
            left,
            reset,
        } = self;
        let policy = format!("\"{name}\";q={quota};w={window}");
        let limit = format!("\"{name}\";r={left};t={reset}");
        for (header, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, limit)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.entry(header).or_insert(value);
            }
        }
    }
}

type Buckets<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// One limit, with a bucket for each key.
#[derive(Debug)]
struct Limit<K: Hash + Eq + Clone> {
    name: &'static str,
    /// How long an empty bucket takes to fill.
    window: Duration,
    quota: NonZeroU32,
    buckets: Buckets<K>,
    asked: AtomicU32,
}

impl<K: Hash + Eq + Clone> Limit<K> {
    /// `quota` at once, and as many in each `window`.
    fn new(name: &'static str, quota: u32, window: Duration) -> Self {
        let quota = NonZeroU32::new(quota).unwrap_or(NonZeroU32::MIN);
        let rate = Quota::with_period(window / quota.get())
            .unwrap_or(Quota::per_second(quota))
            .allow_burst(quota);
        Self {
            name,
            window,
            quota,
            buckets: RateLimiter::dashmap(rate).with_middleware(),
            asked: AtomicU32::new(0),
        }
    }

    fn take(&self, key: &K) -> Result<Allowance, (Allowance, Duration)> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.buckets.retain_recent();
        }
        match self.buckets.check_key(key) {
            Ok(state) => Ok(self.allowance(state.remaining_burst_capacity())),
            Err(not_until) => {
                let pause = not_until.wait_time_from(DefaultClock::default().now());
                Err((self.allowance(0), pause))
            }
        }
    }

    fn allowance(&self, left: u32) -> Allowance {
        let spent = self.quota.get().saturating_sub(left);
        let reset = self.window / self.quota.get() * spent;
        Allowance {
            name: self.name,
            quota: self.quota.get(),
            window: self.window.as_secs().max(1),
            left,
            reset: reset.as_secs() + u64::from(reset.subsec_nanos() > 0),
        }
    }
}

/// Every limit of the edge.
#[derive(Debug)]
pub struct Limits {
    address: Limit<IpAddr>,
    principal: Limit<CustomerId>,
    sensitive: Limit<IpAddr>,
    count_loopback: bool,
}

impl Limits {
    /// The slowest a principal can be limited to: part of the contract.
    const PRINCIPAL_MIN: u32 = 20;

    /// Limits with full buckets.
    #[must_use]
    pub fn new(settings: &LimitSettings) -> Self {
        let second = Duration::from_secs(1);
        let principal = settings.principal_per_second.max(Self::PRINCIPAL_MIN);
        Self {
            // A bucket of the burst that is full again after as long as the rate takes to fill it.
            address: Limit::new(
                "address",
                settings.address_burst,
                second * settings.address_burst.max(1) / settings.address_per_second.max(1),
            ),
            principal: Limit::new("principal", principal, second),
            sensitive: Limit::new("sensitive", settings.sensitive_per_minute, second * 60),
            count_loopback: settings.count_loopback,
        }
    }

    /// Takes one request of an address; nothing for an address that is not counted.
    ///
    /// # Errors
    /// A 429 when the bucket is empty, as for the others.
    pub fn address(&self, address: IpAddr) -> Result<Option<Allowance>, Refused> {
        self.counted(&self.address, address)
    }

    /// Takes one sensitive call of an address.
    ///
    /// # Errors
    /// A 429.
    pub fn sensitive(&self, address: IpAddr) -> Result<Option<Allowance>, Refused> {
        self.counted(&self.sensitive, address)
    }

    /// Takes one request of a principal.
    ///
    /// # Errors
    /// A 429.
    pub fn principal(&self, principal: CustomerId) -> Result<Allowance, Refused> {
        self.principal.take(&principal).map_err(Refused::new)
    }

    fn counted(&self, limit: &Limit<IpAddr>, address: IpAddr) -> Result<Option<Allowance>, Refused> {
        let address = network(address);
        if address.is_loopback() && !self.count_loopback {
            return Ok(None);
        }
        limit.take(&address).map(Some).map_err(Refused::new)
    }
}

/// A call that is worth guessing at, or that costs more than others: limited once more by address.
#[derive(Clone, Copy, Debug)]
pub struct Sensitive;

impl FromRequestParts<Edge> for Sensitive {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        if let Some(exchange) = Exchange::of(&parts.extensions) {
            match edge.limits.sensitive(exchange.address()) {
                Ok(Some(allowance)) => exchange.note_allowance(allowance),
                Ok(None) => {}
                Err(refused) => {
                    exchange.note_allowance(refused.allowance);
                    return Err(*refused.problem);
                }
            }
        }
        Ok(Self)
    }
}

/// The bucket is empty.
#[derive(Debug)]
pub struct Refused {
    /// What the headers say.
    pub allowance: Allowance,
    /// The answer.
    pub problem: Box<Problem>,
}

impl Refused {
    fn new((allowance, pause): (Allowance, Duration)) -> Self {
        Self {
            allowance,
            problem: Box::new(Problem::new(&kind::TOO_MANY).retry_after(pause)),
        }
    }
}

/// An address as it is counted: a household's IPv6 network is one, and so is an IPv4 address
/// however it is written.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        counted => counted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_principal_may_always_make_twenty_a_second() {
        let limits = Limits::new(&LimitSettings {
            principal_per_second: 1,
            ..LimitSettings::default()
        });
        let me = CustomerId(Uuid::from_u128(1));
        for _ in 0..20 {
            limits.principal(me).unwrap();
        }
        let refused = (0..20).find_map(|_| limits.principal(me).err()).unwrap();
        assert_eq!(refused.problem.status(), 429);
        assert_eq!(refused.allowance.left, 0);
        assert!(limits.principal(CustomerId(Uuid::from_u128(2))).is_ok());
    }

    #[test]
    fn loopback_counts_only_when_configured() {
        let mut settings = LimitSettings {
            address_per_second: 1,
            address_burst: 1,
            ..LimitSettings::default()
        };
        let here: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let limits = Limits::new(&settings);
        for _ in 0..10 {
            assert_eq!(limits.address(here).unwrap(), None);
        }
        settings.count_loopback = true;
        let limits = Limits::new(&settings);
        assert!(limits.address(here).unwrap().is_some());
        assert!(limits.address(here).is_err());
    }

    #[test]
    fn a_burst_is_let_in_at_once_and_then_the_rate_counts() {
        let limits = Limits::new(&LimitSettings {
            address_per_second: 1,
            address_burst: 3,
            ..LimitSettings::default()
        });
        let far: IpAddr = "192.0.2.1".parse().unwrap();
        let left = [(); 3].map(|()| limits.address(far).unwrap().unwrap());
        assert_eq!(left.map(|allowance| allowance.left), [2, 1, 0]);
        assert_eq!((left[0].quota, left[0].window), (3, 3));
        assert_eq!(limits.address(far).unwrap_err().problem.status(), 429);
    }

    #[test]
    fn a_network_is_one_address() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::5"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::5"), of("2001:db8:1:3::5"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn the_headers_say_policy_and_rest() {
        let limits = Limits::new(&LimitSettings::default());
        let mut headers = HeaderMap::new();
        limits
            .principal(CustomerId(Uuid::nil()))
            .unwrap()
            .write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"principal\";q=500;w=1");
        assert_eq!(headers["ratelimit"], "\"principal\";r=499;t=1");
    }
}
