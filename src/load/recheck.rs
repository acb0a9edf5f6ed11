//! After a crash: does the shop still keep what it acknowledged (invariant I1)?
//!
//! [`Promises`] folds the witness's lines into what must be true; [`recheck`] asks a live shop, as
//! the guests themselves. A guest's access token lives 15 minutes; after that its refresh token is
//! used, and the new pair is appended to the witness, because a refresh token is good for one use.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::json;

use super::LoadFault;
use super::ack::{Ack, AckFault, AckKind, AckLog, body_hash, read_acks};
use super::client::{Answer, Call, Client, Target, encoded};
use super::shopper::{chain, described};
use super::wire::{Cart, Credentials, Order};
use crate::clock::Clock;

/// How many customers are asked about at once.
const AT_ONCE: usize = 8;
/// How long each call may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How many findings are told in full.
const TOLD: usize = 20;
/// An access token with less than this left is renewed, in milliseconds.
const RENEW_BEFORE_MS: i64 = 30_000;

/// What a shop has promised, by customer.
#[derive(Debug, Default)]
pub struct Promises {
    customers: BTreeMap<String, Customer>,
    /// Lines that were read.
    pub lines: u64,
    /// Damaged lines, and promises that contradict each other.
    pub contradictions: Vec<String>,
    keys: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Customer {
    access_token: String,
    refresh_token: String,
    expires_at: i64,
    carts: BTreeMap<String, PromisedCart>,
    orders: BTreeMap<String, PromisedOrder>,
}

/// A cart as its last acknowledged write left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PromisedCart {
    lines: BTreeMap<String, u32>,
    version: u64,
    /// A write without an answer came last, or a checkout, whose version is not told.
    unsure: Unsure,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Unsure {
    #[default]
    No,
    /// The version is higher than the last one told; the lines are known.
    Version,
    /// Only the lower bound of the version is known.
    Lines,
}

#[derive(Clone, Debug)]
struct PromisedOrder {
    total: Option<i64>,
    key: Option<String>,
    body: Option<String>,
    body_hash: Option<String>,
}

impl Promises {
    /// Reads a witness file.
    pub fn read(path: &Path) -> Result<Self, AckFault> {
        let mut promises = Self::default();
        for ack in read_acks(path)? {
            match ack {
                Ok(ack) => promises.take(ack),
                Err(fault @ AckFault::Damaged { .. }) => promises.contradictions.push(fault.to_string()),
                Err(fault) => return Err(fault),
            }
        }
        Ok(promises)
    }

    /// How many orders were acknowledged.
    #[must_use]
    pub fn orders(&self) -> usize {
        self.customers
            .values()
            .map(|customer| customer.orders.len())
            .sum()
    }

    /// How many carts were acknowledged.
    #[must_use]
    pub fn carts(&self) -> usize {
        self.customers.values().map(|customer| customer.carts.len()).sum()
    }

    fn take(&mut self, ack: Ack) {
        self.lines += 1;
        if ack.kind == AckKind::Checkout {
            self.note_key(&ack);
        }
        let customer = self.customers.entry(ack.customer_id).or_default();
        if ack.kind == AckKind::Guest {
            customer.access_token = ack.access_token.unwrap_or_default();
            customer.refresh_token = ack.refresh_token.unwrap_or_default();
            customer.expires_at = ack.expires_at.unwrap_or(0);
            return;
        }
        if let Some(cart_id) = ack.cart_id {
            let cart = customer.carts.entry(cart_id.clone()).or_default();
            if let Some(version) = ack.version {
                if version < cart.version {
                    let told = format!(
                        "cart {cart_id}: version {version} acknowledged after {}",
                        cart.version
                    );
                    self.contradictions.push(told);
                }
                cart.version = version;
                // A later answer tells the whole cart again.
                cart.unsure = Unsure::No;
            }
            match (ack.kind, ack.sku, ack.quantity) {
                (AckKind::CartLine, Some(sku), Some(0)) => drop(cart.lines.remove(&sku)),
                (AckKind::CartLine, Some(sku), Some(quantity)) => drop(cart.lines.insert(sku, quantity)),
                (AckKind::CartEmptied, ..) => cart.lines.clear(),
                (AckKind::Checkout, ..) => {
                    cart.lines.clear();
                    cart.unsure = Unsure::Version;
                }
                _ => cart.unsure = Unsure::Lines,
            }
        }
        if let (AckKind::Checkout, Some(order_id)) = (ack.kind, ack.order_id) {
            let order = PromisedOrder {
                total: ack.total,
                key: ack.idempotency_key,
                body: ack.body.map(|body| body.get().to_owned()),
                body_hash: ack.body_hash,
            };
            customer.orders.insert(order_id, order);
        }
    }

    /// One key, one order (invariant I4).
    fn note_key(&mut self, ack: &Ack) {
        if let (Some(key), Some(order_id)) = (&ack.idempotency_key, &ack.order_id) {
            let before = self.keys.insert(order_id.clone(), key.clone());
            if let Some(before) = before.filter(|before| before != key) {
                self.contradictions
                    .push(format!("order {order_id} answered two keys: {before} and {key}"));
            }
        }
    }
}

impl PromisedCart {
    /// What is wrong with the cart the shop shows.
    fn fault(&self, cart: &Cart) -> Option<String> {
        let low = match self.unsure {
            Unsure::Version => cart.version <= self.version,
            Unsure::No | Unsure::Lines => cart.version < self.version,
        };
        if low {
            return Some(format!(
                "version {}, acknowledged {} ({:?})",
                cart.version, self.version, self.unsure
            ));
        }
        let found: BTreeMap<String, u32> = cart
            .lines
            .iter()
            .map(|line| (line.sku.clone(), line.quantity))
            .collect();
        let known = self.unsure != Unsure::Lines;
        (known && found != self.lines).then(|| format!("lines {found:?}, acknowledged {:?}", self.lines))
    }
}

/// What came of asking.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recheck {
    /// Lines of the witness.
    pub lines: u64,
    /// Carts that were compared.
    pub carts: u64,
    /// Orders that were found.
    pub orders: u64,
    /// Of those, still pending.
    pub pending: u64,
    /// Checkouts that were sent again and gave the same answer.
    pub replayed: u64,
    /// Acknowledged and not kept.
    pub broken: u64,
    /// Could not be asked about, with a reason among the findings.
    pub unasked: u64,
    /// The first of both.
    pub findings: Vec<String>,
}

impl Recheck {
    /// Whether everything that could be asked about is kept, and everything could.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.broken == 0 && self.unasked == 0
    }

    fn broken(&mut self, finding: String) {
        self.broken += 1;
        self.tell(finding);
    }

    fn unasked(&mut self, finding: String) {
        self.unasked += 1;
        self.tell(finding);
    }

    fn tell(&mut self, finding: String) {
        if self.findings.len() < TOLD {
            self.findings.push(finding);
        }
    }

    fn add(&mut self, other: Self) {
        self.carts += other.carts;
        self.orders += other.orders;
        self.pending += other.pending;
        self.replayed += other.replayed;
        self.broken += other.broken;
        self.unasked += other.unasked;
        for finding in other.findings {
            self.tell(finding);
        }
    }
}

/// How a shop is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Where it is.
    pub target: Target,
    /// A seller's or operator's token, for orders whose guest cannot sign in any more.
    pub token: Option<String>,
    /// Whether each acknowledged checkout is sent once more with its key: it must give the same
    /// bytes. Only for tests: in a shop that has lost the key this may place a second order.
    pub replay: bool,
    /// Time.
    pub clock: Clock,
}

/// Confronts a live shop with the witness at `path`.
pub async fn recheck(path: &Path, question: &Question) -> Result<Recheck, LoadFault> {
    let promises = Promises::read(path)?;
    let log = AckLog::open(path)?;
    let mut outcome = Recheck {
        lines: promises.lines,
        ..Recheck::default()
    };
    for contradiction in promises.contradictions {
        outcome.broken(contradiction);
    }
    let mut asked = futures_util::stream::iter(promises.customers)
        .map(|(id, customer)| ask(question, &log, id, customer))
        .buffer_unordered(AT_ONCE);
    while let Some(found) = asked.next().await {
        outcome.add(found);
    }
    Ok(outcome)
}

async fn ask(question: &Question, log: &AckLog, id: String, mut customer: Customer) -> Recheck {
    let mut found = Recheck::default();
    let mut client = Client::new(question.target.clone(), LIMIT);
    let mut signed_in = sign_in(question, log, &mut client, &id, &mut customer).await;
    if signed_in.is_ok() {
        signed_in = ask_cart(&mut client, &customer, &mut found).await;
    }
    let token = match &signed_in {
        Ok(()) => Some(customer.access_token.clone()),
        Err(why) => {
            // What only the guest can see stays unasked.
            found.unasked += customer.carts.len() as u64;
            found.unasked(format!("customer {id}: {why}"));
            question.token.clone()
        }
    };
    for (order_id, order) in &customer.orders {
        let Some(token) = &token else {
            found.unasked(format!("order {order_id}: its guest cannot sign in"));
            continue;
        };
        ask_order(&mut client, token, order_id, order, &mut found).await;
        if question.replay && signed_in.is_ok() {
            replay(&mut client, token, order_id, order, &mut found).await;
        }
    }
    found
}

/// Renews the access token if it has run out.
async fn sign_in(
    question: &Question,
    log: &AckLog,
    client: &mut Client,
    id: &str,
    customer: &mut Customer,
) -> Result<(), String> {
    let now = question.clock.now().0;
    if customer.expires_at - now > RENEW_BEFORE_MS {
        return Ok(());
    }
    let call = Call::post("/v1/sessions/refresh").json(&json!({"refresh_token": customer.refresh_token}));
    let answer = client.send(&call).await.map_err(|fault| chain(&fault))?;
    if answer.status.as_u16() != 200 {
        return Err(format!("refresh: {}", described(&answer)));
    }
    let new: Credentials = answer.json().map_err(|fault| chain(&fault))?;
    customer.access_token = new.access_token.clone();
    let expires_at = now + i64::try_from(new.expires_in).unwrap_or(0) * 1_000;
    let ack = Ack {
        access_token: Some(new.access_token),
        refresh_token: Some(new.refresh_token),
        expires_at: Some(expires_at),
        ..Ack::new(AckKind::Guest, now, id)
    };
    log.write(&ack).await.map_err(|fault| chain(&fault))
}

/// Compares the cart; an error says that the guest is not known (any more) or the shop in trouble.
async fn ask_cart(client: &mut Client, customer: &Customer, found: &mut Recheck) -> Result<(), String> {
    let shown: Cart = get(client, "/v1/cart", &customer.access_token)
        .await
        .map_err(|why| format!("cart: {why}"))?;
    for (cart_id, promised) in &customer.carts {
        found.carts += 1;
        if *cart_id != shown.cart_id {
            found.broken(format!(
                "cart {cart_id}: the customer's cart is {}",
                shown.cart_id
            ));
        } else if let Some(fault) = promised.fault(&shown) {
            found.broken(format!("cart {cart_id}: {fault}"));
        }
    }
    Ok(())
}

async fn ask_order(
    client: &mut Client,
    token: &str,
    id: &str,
    promised: &PromisedOrder,
    found: &mut Recheck,
) {
    let order: Order = match get(client, &format!("/v1/orders/{}", encoded(id)), token).await {
        Ok(order) => order,
        Err(Refused::Absent) => return found.broken(format!("order {id}: acknowledged and gone")),
        Err(why) => return found.unasked(format!("order {id}: {why}")),
    };
    found.orders += 1;
    if order.status == "pending" {
        found.pending += 1;
    }
    if order.order_id != id || promised.total.is_some_and(|total| total != order.total.amount) {
        found.broken(format!(
            "order {id}: {} over {:?}, acknowledged {promised:?}",
            order.order_id, order.total
        ));
    }
}

async fn replay(client: &mut Client, token: &str, id: &str, promised: &PromisedOrder, found: &mut Recheck) {
    let (Some(key), Some(body), Some(hash)) = (&promised.key, &promised.body, &promised.body_hash) else {
        return;
    };
    let Ok(body) = serde_json::from_str::<serde_json::Value>(body) else {
        return found.unasked(format!("order {id}: its body is damaged"));
    };
    let call = Call::post("/v1/cart/checkout").bearer(token).key(key).json(&body);
    match client.send(&call).await {
        Ok(answer) if answer.status.as_u16() == 202 && body_hash(&answer.body) == *hash => {
            found.replayed += 1;
        }
        Ok(answer) => found.broken(format!("order {id}: its key now answers {}", described(&answer))),
        Err(fault) => found.unasked(format!("order {id}: {}", chain(&fault))),
    }
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("404")]
    Absent,
    #[error("{0}")]
    Other(String),
}

async fn get<T: serde::de::DeserializeOwned>(
    client: &mut Client,
    path: &str,
    token: &str,
) -> Result<T, Refused> {
    let sent = client.send(&Call::get(path).bearer(token)).await;
    let answer: Answer = sent.map_err(|fault| Refused::Other(chain(&fault)))?;
    match answer.status.as_u16() {
        200 => answer.json().map_err(|fault| Refused::Other(fault.to_string())),
        404 => Err(Refused::Absent),
        _ => Err(Refused::Other(described(&answer))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sku: &str, quantity: u32, version: u64) -> Ack {
        Ack {
            cart_id: Some("c".to_owned()),
            sku: Some(sku.to_owned()),
            quantity: Some(quantity),
            version: Some(version),
            ..Ack::new(AckKind::CartLine, 1, "g")
        }
    }

    fn about_cart(kind: AckKind) -> Ack {
        Ack {
            cart_id: Some("c".to_owned()),
            ..Ack::new(kind, 1, "g")
        }
    }

    fn checkout(order: &str, key: &str) -> Ack {
        Ack {
            order_id: Some(order.to_owned()),
            idempotency_key: Some(key.to_owned()),
            ..about_cart(AckKind::Checkout)
        }
    }

    fn shown(version: u64, lines: &[(&str, u32)]) -> Cart {
        let money = json!({"amount": 1, "currency": "EUR"});
        let lines: Vec<_> = lines
            .iter()
            .map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity, "unit_price": money, "line_total": money}))
            .collect();
        serde_json::from_value(
            json!({"cart_id": "c", "version": version, "lines": lines, "subtotal": money, "currency": "EUR"}),
        )
        .unwrap()
    }

    fn fault(acks: &[Ack], cart: &Cart) -> Option<String> {
        let mut promises = Promises::default();
        acks.iter().for_each(|ack| promises.take(ack.clone()));
        assert_eq!((promises.carts(), promises.contradictions.len()), (1, 0));
        promises.customers["g"].carts["c"].fault(cart)
    }

    #[test]
    fn a_cart_must_be_as_its_last_acknowledged_write_left_it() {
        let acks = [line("A", 2, 1), line("B", 1, 2), line("A", 0, 3)];
        assert_eq!(fault(&acks, &shown(3, &[("B", 1)])), None);
        assert!(
            fault(&acks, &shown(2, &[("A", 2), ("B", 1)]))
                .unwrap()
                .starts_with("version 2")
        );
        assert!(
            fault(&acks, &shown(3, &[("A", 2), ("B", 1)]))
                .unwrap()
                .starts_with("lines")
        );
    }

    #[test]
    fn after_a_checkout_the_cart_is_empty_and_its_version_higher() {
        let acks = [line("A", 2, 1), checkout("o", "k")];
        assert_eq!(fault(&acks, &shown(2, &[])), None);
        assert!(fault(&acks, &shown(1, &[])).is_some());
        assert!(fault(&acks, &shown(2, &[("A", 2)])).is_some());
        let more = [line("A", 2, 1), checkout("o", "k"), line("B", 1, 3)];
        assert_eq!(fault(&more, &shown(3, &[("B", 1)])), None);
    }

    #[test]
    fn a_write_without_an_answer_leaves_only_the_version_to_check() {
        let acks = [line("A", 2, 4), about_cart(AckKind::Unknown)];
        assert_eq!(fault(&acks, &shown(4, &[("A", 2)])), None);
        assert_eq!(fault(&acks, &shown(5, &[("A", 9)])), None);
        assert!(fault(&acks, &shown(3, &[("A", 2)])).is_some());
    }

    #[test]
    fn contradictions_are_told() {
        let mut promises = Promises::default();
        for ack in [
            checkout("o", "k1"),
            checkout("o", "k2"),
            line("A", 1, 5),
            line("A", 1, 4),
        ] {
            promises.take(ack);
        }
        assert_eq!(promises.contradictions.len(), 2, "{:?}", promises.contradictions);
        assert_eq!(promises.orders(), 1);
    }
}
