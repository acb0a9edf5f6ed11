//! A shop without an edge: entities, relay, workers and the sandbox provider, over any journal.

use std::sync::Arc;
use std::time::Duration;

use globalshop::accounts::SigningKey;
use globalshop::actors::heart::{self, Heart, HeartArguments};
use globalshop::actors::tenure::Tenure;
use globalshop::clock::Clock;
use globalshop::cluster::{Ask, AskError, Region};
use globalshop::domain::Money;
use globalshop::domain::address::Address;
use globalshop::domain::cart::{self, Cart};
use globalshop::domain::id::{CartId, CustomerId, OrderId, Sku};
use globalshop::domain::order::{self, Draft, Line, Order, Phase, Placed};
use globalshop::domain::payment::{IntentId, Method, Status};
use globalshop::domain::quote::Tariff;
use globalshop::domain::stock::{self, Levels, Stock};
use globalshop::journal::{Journal, Takeover};
use globalshop::provider::{
    PaymentProvider, Providers, Sandbox, SandboxBooks, WebhookKey, WebhookSink, Webhooks, sandbox,
};
use globalshop::relay::book::Book;
use globalshop::relay::{Consumer, Relay, RelayArguments, Tails, View};
use globalshop::workers::mail::{Letterhead, Post};
use globalshop::workers::{CheckoutWorker, MailWorker, PaymentNotices, PaymentWorker, StockWorker};
use tokio::time::interval;

/// How long a test waits for a state: more than the longest of the shop's own deadlines.
const PATIENCE: Duration = Duration::from_secs(1_200);
/// What everything costs in the shops of tests, in cents.
pub const PRICE: i64 = 2_000;
/// How often it looks.
const BEAT: Duration = Duration::from_millis(5);

/// What outlives a node.
#[derive(Clone)]
pub struct World {
    pub journal: Arc<dyn Journal>,
    pub book: Arc<dyn Book>,
    pub books: Arc<dyn SandboxBooks>,
    pub post: Arc<dyn Post>,
    pub clock: Clock,
}

/// Stands between a shop's real parts and what drives them. By itself it lets everything through.
pub trait Between {
    /// A consumer, as the relay gets it.
    fn consumer(&self, consumer: Arc<dyn Consumer>) -> Arc<dyn Consumer> {
        consumer
    }

    /// The payment provider, as the payment worker gets it.
    fn provider(&self, provider: Arc<dyn PaymentProvider>) -> Arc<dyn PaymentProvider> {
        provider
    }

    /// Who deals with the provider's webhooks, as their door gets it.
    fn notices(&self, notices: Arc<dyn WebhookSink>) -> Arc<dyn WebhookSink> {
        notices
    }
}

/// Nothing stands between.
struct Plain;

impl Between for Plain {}

/// A node without an edge.
pub struct Shop {
    pub heart: Heart,
    pub relay: Relay,
    pub sandbox: Arc<Sandbox>,
    pub region: Region,
    pub clock: Clock,
}

impl Shop {
    /// Starts a node in this world.
    pub async fn open(world: &World) -> Self {
        Self::open_with(world, vec![], vec![]).await
    }

    /// Starts a node with views, and with more consumers than the shop's own.
    pub async fn open_with(world: &World, views: Vec<Arc<dyn View>>, more: Vec<Arc<dyn Consumer>>) -> Self {
        Self::open_behind(&Plain, world, views, more).await
    }

    /// Starts a node whose parts are reached through `between`.
    pub async fn open_behind(
        between: &impl Between,
        world: &World,
        views: Vec<Arc<dyn View>>,
        more: Vec<Arc<dyn Consumer>>,
    ) -> Self {
        let World {
            journal,
            book,
            books,
            post,
            clock,
        } = world.clone();
        let directories = heart::directories(&journal, &clock);
        let region = Region::new(Arc::clone(&directories));
        let tails = Tails::new(journal.shards());
        let webhooks = Webhooks::new(
            vec![(sandbox::NAME, WebhookKey::fresh(&clock))],
            between.notices(Arc::new(PaymentNotices::new(region.clone()))),
            clock.clone(),
        );
        let sandbox = Arc::new(Sandbox::open(books, Some(webhooks), clock.clone()));
        let letterhead = Arc::new(Letterhead {
            shop: "GlobalShop".to_owned(),
            from: "GlobalShop <shop@localhost>".to_owned(),
            public_url: "http://localhost:8080".to_owned(),
            links: SigningKey::ephemeral(&clock).unwrap().order_links(),
        });
        let mut consumers: Vec<Arc<dyn Consumer>> = vec![
            Arc::new(CheckoutWorker::new(region.clone())),
            Arc::new(StockWorker::new(region.clone())),
            Arc::new(PaymentWorker::new(
                region.clone(),
                Providers::new(vec![between.provider(sandbox.clone())]),
                clock.clone(),
            )),
            Arc::new(MailWorker::new(region.clone(), letterhead, post)),
        ];
        consumers.extend(more);
        let consumers = consumers
            .into_iter()
            .map(|consumer| between.consumer(consumer))
            .collect();
        let relay = Relay::new(RelayArguments {
            book,
            journal: Arc::clone(&journal),
            tails: tails.clone(),
            clock: clock.clone(),
            views,
            consumers,
        });
        let heart = Heart::start(HeartArguments {
            node: "node-1".into(),
            owner: "shop/1".into(),
            takeover: Takeover::AtOnce,
            tenure: Some(Tenure::endless(&clock)),
            journal,
            clock: clock.clone(),
            tails,
            directories,
            residents: relay.residents(),
        })
        .await
        .unwrap();
        assert!(heart.ready(Duration::from_secs(30)).await, "the shards open");
        Self {
            heart,
            relay,
            sandbox,
            region,
            clock,
        }
    }

    /// Stops the node as if it were killed: nothing is finished, nothing saved.
    pub async fn kill(self) {
        self.heart.stop(Duration::ZERO).await;
    }

    /// Puts units of a SKU on the shelf.
    pub async fn stock_up(&self, sku: &str, units: i64) {
        let command = stock::Command::Adjust {
            delta: units,
            reason: "delivery".to_owned(),
        };
        let sku: Sku = sku.parse().unwrap();
        self.region
            .ask::<Stock>(&sku.stock(), Ask::new(command))
            .await
            .unwrap();
    }

    /// The figures of a SKU.
    pub async fn levels(&self, sku: &str) -> Levels {
        let sku: Sku = sku.parse().unwrap();
        self.region.read::<Stock>(&sku.stock()).await.unwrap().view
    }

    /// Checks a fresh cart out: one unit of each SKU, at 20.00 EUR. The checkout worker places the order.
    pub async fn check_out(&self, skus: &[&str], token: &str) -> OrderId {
        let customer = CustomerId(self.clock.new_id());
        let cart = CartId::of(customer);
        let price = Money::eur(PRICE);
        for sku in skus {
            let command = cart::Command::SetLine {
                sku: sku.parse().unwrap(),
                quantity: 1,
                quoted: price,
            };
            self.ask_cart(cart, command).await;
        }
        let draft = Self::draft(customer, skus, token);
        let command = cart::Command::CheckOut {
            version: u64::try_from(skus.len()).unwrap(),
            draft: Box::new(draft),
        };
        self.ask_cart(cart, command).await
    }

    /// What a checkout of one unit of each SKU seals, at 20.00 EUR each.
    pub fn draft(customer: CustomerId, skus: &[&str], token: &str) -> Draft {
        let cart = CartId::of(customer);
        let price = Money::eur(PRICE);
        let lines: Vec<Line> = skus
            .iter()
            .map(|sku| Line {
                sku: sku.parse().unwrap(),
                name: format!("Thing {sku}"),
                quantity: 1,
                unit_price: price,
                line_total: price,
            })
            .collect();
        let subtotal = lines.iter().map(|line| line.line_total.amount).sum();
        Draft {
            customer,
            cart,
            email: "ada@example.org".to_owned(),
            shipping_address: Address {
                name: "Ada".to_owned(),
                ..Address::default()
            },
            totals: Tariff::default().totals(subtotal, Default::default()),
            lines,
            payment: Method {
                provider: sandbox::NAME.to_owned(),
                token: token.to_owned(),
            },
            ..Draft::default()
        }
    }

    /// Asks until the cart has answered, as a shopper with a retry button would; a checkout says
    /// which order it makes.
    async fn ask_cart(&self, cart: CartId, command: cart::Command) -> OrderId {
        let mut beat = interval(BEAT);
        loop {
            beat.tick().await;
            match self
                .region
                .ask::<Cart>(&cart.entity(), Ask::new(command.clone()))
                .await
            {
                Ok(_) => return OrderId::derive(cart, 1),
                // The answer of the first try was lost, and it had gone through.
                Err(AskError::Refused(cart::Refusal::Empty)) => return OrderId::derive(cart, 1),
                Err(AskError::Refused(refusal)) => panic!("{refusal}"),
                Err(_) => {}
            }
        }
    }

    /// Asks an order, again until it answers.
    pub async fn ask(&self, order: OrderId, command: order::Command) -> Result<(), order::Refusal> {
        let mut beat = interval(BEAT);
        loop {
            beat.tick().await;
            match self
                .region
                .ask::<Order>(&order.entity(), Ask::new(command.clone()))
                .await
            {
                Ok(_) => return Ok(()),
                Err(AskError::Refused(refusal)) => return Err(refusal),
                Err(_) => {}
            }
        }
    }

    /// Waits until an order is as `is` says.
    pub async fn until(&self, order: OrderId, what: &str, is: impl Fn(&Placed) -> bool) -> Placed {
        let mut seen = None;
        let deadline = self.clock.instant() + PATIENCE;
        let mut beat = interval(BEAT);
        while self.clock.instant() < deadline {
            beat.tick().await;
            let answer = self.region.read::<Order>(&order.entity()).await;
            if let Ok(Order::Placed(placed)) = answer.map(|answer| answer.view) {
                if is(&placed) {
                    return *placed;
                }
                seen = Some(placed);
            }
        }
        panic!(
            "order {order} never came to be {what}; it is {seen:#?}; {:#?}",
            self.relay.figures().await
        );
    }

    /// Waits until every consumer has handled everything.
    pub async fn settled(&self) {
        let deadline = self.clock.instant() + PATIENCE;
        let mut beat = interval(BEAT);
        while self.relay.readers().iter().any(|reader| reader.lag > 0) {
            beat.tick().await;
            assert!(
                self.clock.instant() < deadline,
                "the consumers do not catch up: {:?}",
                self.relay.readers()
            );
        }
    }

    /// What the provider took and gave back for an order, minor units.
    pub async fn money(&self, order: OrderId) -> (i64, i64) {
        let state = self.sandbox.query(IntentId::of(order)).await.unwrap();
        state.map_or((0, 0), |state| {
            let back = state.refunds.iter().map(|(_, amount)| amount.amount).sum();
            (state.captured.amount, back)
        })
    }

    /// Every row of the table of tokens, from checkout to its end.
    pub async fn every_token_ends_as_the_table_says(&self) {
        self.stock_up("TOKENS", 100).await;
        let approved = [
            "tok_approve",
            "tok_slow_5s",
            "tok_error_twice",
            "tok_duplicate_webhook",
            "tok_timeout_charged",
            "tok_timeout_not_charged",
        ];
        let declined = ["tok_decline", "tok_insufficient_funds"];
        let mut orders = Vec::new();
        for token in approved.iter().chain(&declined) {
            orders.push((*token, self.check_out(&["TOKENS"], token).await));
        }
        let total = 2_490; // 20.00 and standard shipping
        for (token, order) in orders {
            if approved.contains(&token) {
                let placed = self
                    .until(order, "confirmed", |placed| placed.phase == Phase::Confirmed)
                    .await;
                assert_eq!(placed.payment.status, Status::Captured, "{token}");
                assert_eq!(self.money(order).await, (total, 0), "{token}");
            } else {
                let placed = self
                    .until(order, "cancelled", |placed| placed.phase == Phase::Cancelled)
                    .await;
                assert_eq!(placed.cancel_reason(), Some("payment_declined"), "{token}");
                assert_eq!(placed.payment.status, Status::Declined, "{token}");
                assert_eq!(self.money(order).await, (0, 0), "{token}");
            }
        }
        self.settled().await;
        let levels = self.levels("TOKENS").await;
        assert_eq!((levels.on_hand, levels.held, levels.sold), (100, 0, 6));
        self.no_dead_letters().await;
    }

    pub async fn no_dead_letters(&self) {
        let letters = self
            .relay
            .dead_letters()
            .list(&Default::default(), None, 10)
            .await
            .unwrap();
        assert_eq!(letters, vec![]);
    }
}
