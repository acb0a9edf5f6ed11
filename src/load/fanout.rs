//! The scenario `fanout`: one product, watched on many live sockets while a seller changes its price.
//!
//! Each change is a price that never was before, so a socket knows which change it is told of and how
//! long ago the seller asked for it. `product:{id}` is a state channel: frames may be conflated, but
//! offsets and changes only rise, nothing is told that nobody set, and in the end every socket has seen
//! the last change (see `API.md`).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{Call, Client};
use super::live::{Live, LiveFault};
use super::process::{self, Usage};
use super::report::Report;
use super::run::Run;
use super::seller::{self, Offer};
use super::shopper::{Shopper, chain};
use super::tally::{Quantiles, histogram, micros, per_second};
use super::wire::{Credentials, Money};
use super::{LoadFault, Script};
use crate::clock::Clock;

/// How many sockets are opened at once.
const OPENED_AT_ONCE: usize = 64;
/// How many histograms the listeners share, so that they seldom wait for each other.
const DIALS: usize = 16;

/// The audience and the seller.
pub struct Fanout {
    token: String,
    offer: Mutex<Offer>,
    shared: Arc<Shared>,
    last: watch::Sender<Option<u64>>,
    audience: Mutex<JoinSet<Heard>>,
    idle: Option<(Usage, Usage)>,
}

/// What the listeners share.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    channel: String,
    /// The price before the first change; change `n` makes it `n` more.
    base: i64,
    /// When each change was asked for.
    asked: RwLock<Vec<Instant>>,
    delays: Vec<Mutex<Histogram<u64>>>,
}

/// What the live feed delivered, for the report.
#[derive(Clone, Debug, Serialize)]
pub struct Delivered {
    /// Sockets that watched.
    pub sockets: u64,
    /// Changes that were made.
    pub changes: u64,
    /// Changes that were told to sockets, over all of them.
    pub messages: u64,
    /// That many a second, from the first change to the last socket.
    pub messages_per_second: f64,
    /// Of 1, how many of the changes each socket was told on average: the rest were conflated.
    pub told: f64,
    /// From the seller's call to the socket: the commit, the fan-out and the way.
    pub delay_ms: Quantiles,
    /// Memory of the server for each socket that watches and hears nothing, bytes; its own side only.
    /// `None` where it cannot be told: the node is elsewhere, or used memory of earlier work again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_idle_socket: Option<u64>,
}

impl fmt::Display for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "fanout: {} sockets, {} changes, {} messages delivered ({}/s, {:.0} % of all; the rest conflated)",
            self.sockets,
            self.changes,
            self.messages,
            self.messages_per_second,
            self.told * 100.0
        )?;
        let Quantiles { p50, p99, max, .. } = self.delay_ms;
        writeln!(
            f,
            "from the seller's call to the socket: p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms"
        )?;
        match self.bytes_per_idle_socket {
            Some(bytes) => writeln!(
                f,
                "memory of the server: {bytes} bytes a socket that only listens"
            ),
            None => writeln!(
                f,
                "memory of the server: not seen: it used what earlier work had left, or does not tell"
            ),
        }
    }
}

/// What one socket heard.
#[derive(Debug)]
struct Heard {
    messages: u64,
    last: u64,
    at: Instant,
    fault: Option<String>,
}

impl Fanout {
    /// Offers a product or finds it, opens every socket, and counts what they cost while nothing is said.
    pub async fn prepare(client: &mut Client, run: &Run) -> Result<Arc<dyn Script>, LoadFault> {
        let args = &run.args;
        let Some(token) = args.stock_token() else {
            return Err(LoadFault::Usage(
                "fanout changes the price of a product as a seller: give it --data or --seller-token"
                    .to_owned(),
            ));
        };
        let offer = match &args.sku {
            Some(sku) => seller::find(client, token, sku).await?,
            None => seller::offer(client, &run.clock, token, "The thing that everybody watches", 1).await?,
        };
        let shared = Arc::new(Shared::of(&offer, &run.clock)?);
        let guest = guest(client).await?;
        let before = process::look(args.pid, client).await?;
        let last = watch::Sender::new(None);
        let audience = gather(run, &guest, &shared, &last).await?;
        let after = process::look(args.pid, client).await?;
        Ok(Arc::new(Self {
            token: token.to_owned(),
            offer: Mutex::new(offer),
            shared,
            last,
            audience: Mutex::new(audience),
            idle: before.zip(after),
        }))
    }

    /// Makes change `n`; says whether the shop took it.
    async fn change(&self, shopper: &mut Shopper, n: u64) -> bool {
        const KIND: &str = "PUT price";
        let offer = self.offer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let amount = self.shared.base + i64::try_from(n).unwrap_or(i64::MAX);
        let call = seller::reprice(&self.token, &offer, amount);
        self.shared
            .asked
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(shopper.run.clock.instant());
        let Ok(reply) = shopper.call(KIND, &call).await else {
            return false;
        };
        let changed = shopper
            .expect(KIND, &reply, 200)
            .and_then(|()| shopper.read::<Offer>(KIND, &reply));
        match changed {
            Ok(changed) => {
                *self.offer.lock().unwrap_or_else(PoisonError::into_inner) = changed;
                true
            }
            Err(_) => false,
        }
    }
}

#[async_trait]
impl Script for Fanout {
    async fn visit(&self, shopper: &mut Shopper) {
        // There is one seller; further shoppers have nothing to do.
        if shopper.index > 0 {
            return;
        }
        let mut changes = 0;
        while shopper.run.open() && self.change(shopper, changes + 1).await {
            changes += 1;
        }
        self.last.send_replace(Some(changes));
    }

    async fn close(&self, run: &Run, report: &mut Report) {
        let changes = self.last.borrow().unwrap_or(0);
        run.tally
            .check("changes", changes > 0, || "no change was made".to_owned());
        let mut audience = std::mem::take(&mut *self.audience.lock().unwrap_or_else(PoisonError::into_inner));
        let sockets = audience.len() as u64;
        let (mut messages, mut last_heard) = (0, run.start());
        while let Some(heard) = audience.join_next().await {
            let Ok(heard) = heard else {
                run.tally
                    .check("socket", false, || "a listener crashed".to_owned());
                continue;
            };
            messages += heard.messages;
            last_heard = last_heard.max(heard.at);
            run.tally.check("socket", heard.fault.is_none(), || {
                heard.fault.clone().unwrap_or_default()
            });
            run.tally.check("final state", heard.last == changes, || {
                format!("a socket knows of change {}, the last was {changes}", heard.last)
            });
        }
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let told = messages as f64 / (sockets.max(1) * changes.max(1)) as f64;
        report.fanout = Some(Delivered {
            sockets,
            changes,
            messages,
            messages_per_second: per_second(messages, last_heard.saturating_duration_since(run.start())),
            told: (told * 1_000.0).round() / 1_000.0,
            delay_ms: self.shared.delays(),
            bytes_per_idle_socket: self.idle.and_then(|(before, after)| {
                let grown = after.resident.checked_sub(before.resident)?;
                (grown > 0).then(|| grown / sockets.max(1))
            }),
        });
    }
}

impl Shared {
    fn of(offer: &Offer, clock: &Clock) -> Result<Self, LoadFault> {
        let delays: Vec<_> = (0..DIALS).filter_map(|_| histogram()).map(Mutex::new).collect();
        if delays.is_empty() {
            return Err(LoadFault::Unprepared("no histogram can be made".to_owned()));
        }
        Ok(Self {
            clock: clock.clone(),
            channel: format!("product:{}", offer.sku),
            base: offer.price.amount,
            asked: RwLock::default(),
            delays,
        })
    }

    /// Takes in that a socket was told a price; says which change that is.
    fn told(&self, price: i64, dial: usize) -> Result<u64, String> {
        let n = u64::try_from(price - self.base).map_err(|_| format!("a price nobody set: {price}"))?;
        if n == 0 {
            return Ok(0);
        }
        let asked = {
            let asked = self.asked.read().unwrap_or_else(PoisonError::into_inner);
            let index = usize::try_from(n - 1).unwrap_or(usize::MAX);
            *asked
                .get(index)
                .ok_or_else(|| format!("a price nobody set: {price}"))?
        };
        let delay = self.clock.instant().saturating_duration_since(asked);
        if let Some(dial) = self.delays.get(dial % self.delays.len()) {
            dial.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .saturating_record(micros(delay));
        }
        Ok(n)
    }

    fn delays(&self) -> Quantiles {
        let mut all = self
            .delays
            .iter()
            .map(|dial| dial.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let Some(mut sum) = all.next() else {
            return Quantiles::default();
        };
        for dial in all {
            sum += dial;
        }
        Quantiles::of(&sum)
    }
}

/// Somebody who may listen.
async fn guest(client: &mut Client) -> Result<String, LoadFault> {
    let answer = client
        .send(&Call::post("/v1/guests"))
        .await
        .map_err(LoadFault::Unreachable)?;
    let guest: Credentials = answer
        .json()
        .map_err(|fault| LoadFault::Unprepared(format!("POST /v1/guests: {}", chain(&fault))))?;
    Ok(guest.access_token)
}

/// Opens the sockets and waits until each has its snapshot.
async fn gather(
    run: &Run,
    token: &str,
    shared: &Arc<Shared>,
    last: &watch::Sender<Option<u64>>,
) -> Result<JoinSet<Heard>, LoadFault> {
    let gate = Arc::new(Semaphore::new(OPENED_AT_ONCE));
    let mut opening = JoinSet::new();
    for number in 0..run.args.sockets {
        let (gate, shared) = (Arc::clone(&gate), Arc::clone(shared));
        let (target, token, limit) = (run.target.clone(), token.to_owned(), run.limit());
        opening.spawn(async move {
            let _place = gate.acquire().await;
            let live = Live::open(&target, &token, limit).await?;
            Listener::open(live, shared, usize::try_from(number).unwrap_or(0), limit).await
        });
    }
    let mut audience = JoinSet::new();
    while let Some(opened) = opening.join_next().await {
        let listener = opened.map_err(LoadFault::Shopper)?.map_err(|fault| {
            LoadFault::Unprepared(format!("a socket of {}: {}", run.args.sockets, chain(&fault)))
        })?;
        let (last, limit) = (last.subscribe(), run.limit());
        audience.spawn(listener.listen(last, limit));
    }
    Ok(audience)
}

/// One socket.
struct Listener {
    live: Live,
    shared: Arc<Shared>,
    number: usize,
    offset: Option<u64>,
    heard: Heard,
}

/// The frames a listener understands; others are none of its business.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Frame {
    snap: Option<Snap>,
    #[serde(rename = "pub")]
    published: Option<Vec<Publication>>,
    pos: Option<Vec<(String, u64)>>,
    ping: Option<Value>,
    gap: Option<Value>,
    err: Option<Value>,
    bye: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Snap {
    ch: String,
    o: u64,
    data: Face,
}

#[derive(Debug, Deserialize)]
struct Publication {
    ch: String,
    o: u64,
    /// The whole state.
    d: Option<Face>,
    /// Or what of it has changed since the last frame (RFC 7396).
    p: Option<Patch>,
}

#[derive(Debug, Deserialize)]
struct Face {
    price: Money,
}

#[derive(Debug, Deserialize)]
struct Patch {
    price: Option<PricePatch>,
}

#[derive(Debug, Deserialize)]
struct PricePatch {
    amount: Option<i64>,
}

impl Listener {
    /// Subscribes and waits for the snapshot.
    async fn open(
        live: Live,
        shared: Arc<Shared>,
        number: usize,
        limit: Duration,
    ) -> Result<Self, LiveFault> {
        let at = shared.clock.instant();
        let mut listener = Self {
            live,
            shared,
            number,
            offset: None,
            heard: Heard {
                messages: 0,
                last: 0,
                at,
                fault: None,
            },
        };
        let channel = listener.shared.channel.clone();
        listener.live.watch(&channel).await?;
        let snapshot = async {
            while listener.offset.is_none() {
                listener.hear().await?;
            }
            Ok(())
        };
        tokio::time::timeout(limit, snapshot)
            .await
            .unwrap_or(Err(LiveFault::Silent))?;
        Ok(listener)
    }

    /// Listens until it knows of the last change, or has had `limit` to learn of it.
    async fn listen(mut self, mut last: watch::Receiver<Option<u64>>, limit: Duration) -> Heard {
        // Which the last change is, is known once the seller has left.
        let mut until = None;
        loop {
            let done = last.borrow().is_some_and(|last| self.heard.last >= last);
            if done {
                return self.heard;
            }
            let deadline = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = self.hear() => if let Err(fault) = heard {
                    self.heard.fault = Some(chain(&fault));
                    return self.heard;
                },
                left = last.changed(), if until.is_none() => {
                    until = Some(self.shared.clock.instant() + limit);
                    if left.is_err() {
                        return self.heard;
                    }
                }
                () = deadline => return self.heard,
            }
        }
    }

    /// Hears one frame. An error is the end of the socket, or of the promise.
    async fn hear(&mut self) -> Result<(), LiveFault> {
        let text = self.live.hear_text().await?;
        let wrong = |fault: String| LiveFault::Wrong(format!("{}: {fault}", self.shared.channel));
        let frame: Frame =
            serde_json::from_str(&text).map_err(|fault| wrong(format!("{fault}: {text:.200}")))?;
        if let Some(snap) = frame.snap.filter(|snap| snap.ch == self.shared.channel) {
            self.take(snap.o, Some(snap.data.price.amount))?;
        }
        for publication in frame.published.unwrap_or_default() {
            if publication.ch == self.shared.channel {
                let whole = publication.d.map(|face| face.price.amount);
                let patch = publication.p.and_then(|patch| patch.price?.amount);
                self.heard.messages += 1;
                self.take(publication.o, whole.or(patch))?;
            }
        }
        if let Some(answer) = frame.ping {
            let pong = json!({"pong": {"t0": answer.get("t0"), "t1": self.shared.clock.now()}});
            self.live.say(&pong).await?;
        }
        if let Some(ahead) = frame.pos {
            let known = self.offset;
            if ahead
                .iter()
                .any(|(channel, offset)| *channel == self.shared.channel && Some(*offset) > known)
            {
                // A reconnect or a subscription takes a new snapshot; what was heard stays heard.
                let channel = self.shared.channel.clone();
                self.offset = None;
                self.live.watch(&channel).await?;
            }
        }
        for (name, ended) in [("gap", frame.gap), ("err", frame.err), ("bye", frame.bye)] {
            if let Some(ended) = ended {
                return Err(LiveFault::Wrong(format!(
                    "{}: {name} {ended}",
                    self.shared.channel
                )));
            }
        }
        Ok(())
    }

    /// Takes in the state at an offset: both only rise.
    fn take(&mut self, offset: u64, price: Option<i64>) -> Result<(), LiveFault> {
        let wrong = |fault: String| LiveFault::Wrong(format!("{}: {fault}", self.shared.channel));
        if self.offset.is_some_and(|known| offset <= known) {
            return Err(wrong(format!("offset {offset} after {:?}", self.offset)));
        }
        self.offset = Some(offset);
        let Some(price) = price else { return Ok(()) };
        let change = self.shared.told(price, self.number).map_err(wrong)?;
        if change < self.heard.last {
            return Err(wrong(format!("change {change} after {}", self.heard.last)));
        }
        self.heard.last = change;
        self.heard.at = self.shared.clock.instant();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_price_that_was_asked_for_can_be_told() {
        let offer = Offer {
            sku: "A".to_owned(),
            version: 1,
            price: Money {
                amount: 4_900,
                currency: "EUR".to_owned(),
            },
        };
        let clock = Clock::system();
        let shared = Shared::of(&offer, &clock).unwrap();
        assert_eq!(shared.told(4_900, 0), Ok(0));
        assert!(shared.told(4_901, 0).unwrap_err().contains("nobody set"));
        assert!(shared.told(4_899, 0).is_err());
        shared.asked.write().unwrap().push(clock.instant());
        assert_eq!(shared.told(4_901, 3), Ok(1));
        assert!(shared.delays().max < 60_000.0);
    }

    #[test]
    fn frames_of_a_state_are_read_whole_or_as_a_patch() {
        let read = |text: &str| serde_json::from_str::<Frame>(text).unwrap();
        let whole = read(
            r#"{"pub": [{"ch": "product:A", "o": 7, "t": "…", "ev": "price",
                "d": {"id": "A", "price": {"amount": 1, "currency": "EUR"}, "availability": "low", "version": 2}}]}"#,
        );
        let publication = &whole.published.unwrap()[0];
        assert_eq!(
            (publication.o, publication.d.as_ref().unwrap().price.amount),
            (7, 1)
        );
        let patch = read(r#"{"pub": [{"ch": "product:A", "o": 8, "p": {"price": {"amount": 2}}}]}"#);
        assert!(patch.published.unwrap()[0].p.is_some());
        assert!(read(r#"{"live": {"id": 1}}"#).snap.is_none());
        assert!(read(r#"{"ping": {"t0": 5}}"#).ping.is_some());
    }
}
