//! The scenario `cart`: people who cannot make up their minds.
//!
//! Each shopper is a guest with one cart and the only writer of it, so every answer can be compared
//! with a model of the cart (see [`super::model`]): whatever was acknowledged must be there on the
//! next read, and nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::ack::{Ack, AckKind};
use super::catalogue::Catalogue;
use super::client::{Call, Client, encoded};
use super::model::{CartModel, Step};
use super::report::Report;
use super::run::Run;
use super::shopper::{Lost, Reply, Shopper};
use super::tally::Kind;
use super::wire;
use super::{LoadFault, Script};

/// How many different products one shopper hesitates between.
const TASTE: usize = 12;
/// A SKU no shop has.
const NO_SUCH_SKU: &str = "no-such-sku-in-any-shop";

/// What all shoppers know.
#[derive(Debug)]
pub struct Cart {
    skus: Vec<String>,
}

impl Cart {
    /// Looks around once; with `--sku` there is only that one.
    pub async fn prepare(client: &mut Client, sku: Option<&str>) -> Result<Arc<dyn Script>, LoadFault> {
        let skus = match sku {
            Some(sku) => vec![sku.to_owned()],
            None => Catalogue::look(client).await?.to_buy(),
        };
        Ok(Arc::new(Self { skus }))
    }
}

#[async_trait]
impl Script for Cart {
    async fn visit(&self, shopper: &mut Shopper) {
        let taste: Vec<String> = (0..TASTE)
            .filter_map(|_| shopper.pick(&self.skus).cloned())
            .collect();
        let mut cart = HeldCart::default();
        while shopper.in_the_mood() && shopper.run.open() {
            let step = cart.step(shopper, &taste).await;
            if step.is_err() {
                cart.abandon(shopper).await;
            }
            shopper.breathe(step).await;
        }
        // The last word: everything acknowledged is still there.
        if shopper.in_the_mood() && cart.id().is_some() {
            let last = cart.read(shopper, Step::Reads).await;
            shopper.breathe(last).await;
        }
    }

    async fn close(&self, _run: &Run, _report: &mut Report) {}
}

/// The cart of one shopper: the calls on it, the model of it, the witness of it.
#[derive(Debug, Default)]
pub struct HeldCart {
    model: CartModel,
    cart_id: Option<String>,
}

impl HeldCart {
    /// What it must hold.
    #[must_use]
    pub const fn model(&self) -> &CartModel {
        &self.model
    }

    /// Its id, once the shop has told it.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.cart_id.as_deref()
    }

    async fn step(&mut self, shopper: &mut Shopper, taste: &[String]) -> Result<(), Lost> {
        if shopper.chance(shopper.run.args.reads) {
            return self.read(shopper, Step::Reads).await;
        }
        let held: Vec<String> = self.model.lines().keys().cloned().collect();
        match (shopper.dice.random_below(100), shopper.pick(&held).cloned()) {
            (0..10, Some(sku)) => self.set(shopper, &sku, 0).await,
            (10..20, Some(sku)) => self.remove(shopper, &sku).await,
            (20..23, _) => self.empty(shopper).await,
            (23..25, _) => self.ask_amiss(shopper, taste).await,
            _ => {
                let quantity = u32::try_from(1 + shopper.dice.random_below(9)).unwrap_or(1);
                match shopper.pick(taste).cloned() {
                    Some(sku) => self.set(shopper, &sku, quantity).await,
                    None => Ok(()),
                }
            }
        }
    }

    /// `GET /v1/cart`: what was written is there. `since` is what happened to the version since the
    /// last answer.
    pub async fn read(&mut self, shopper: &mut Shopper, since: Step) -> Result<(), Lost> {
        let call = Call::get("/v1/cart").bearer(&shopper.token().await?);
        let reply = shopper.call("GET cart", &call).await?;
        self.take(shopper, "GET cart", &reply, since)?;
        Ok(())
    }

    /// `PUT /v1/cart/lines/{sku}`.
    pub async fn set(&mut self, shopper: &mut Shopper, sku: &str, quantity: u32) -> Result<(), Lost> {
        const KIND: &str = "PUT cart line";
        let call = Call::put(line_path(sku))
            .bearer(&shopper.token().await?)
            .json(&json!({"quantity": quantity}));
        let reply = shopper.call(KIND, &call).await?;
        let step = self.model.set(sku, quantity);
        let version = self.take(shopper, KIND, &reply, step)?;
        self.witness_line(shopper, &reply, sku, quantity, version).await;
        Ok(())
    }

    async fn remove(&mut self, shopper: &mut Shopper, sku: &str) -> Result<(), Lost> {
        const KIND: &str = "DELETE cart line";
        let call = Call::delete(line_path(sku)).bearer(&shopper.token().await?);
        let reply = shopper.call(KIND, &call).await?;
        let step = self.model.set(sku, 0);
        let version = self.take(shopper, KIND, &reply, step)?;
        self.witness_line(shopper, &reply, sku, 0, version).await;
        Ok(())
    }

    async fn empty(&mut self, shopper: &mut Shopper) -> Result<(), Lost> {
        const KIND: &str = "DELETE cart";
        let call = Call::delete("/v1/cart").bearer(&shopper.token().await?);
        let reply = shopper.call(KIND, &call).await?;
        let step = self.model.empty();
        let version = self.take(shopper, KIND, &reply, step)?;
        if shopper.witnessed() {
            let ack = shopper.ack(AckKind::CartEmptied, shopper.customer_id());
            shopper
                .acknowledge(Ack {
                    cart_id: self.cart_id.clone(),
                    version: Some(version),
                    position: position(&reply),
                    ..ack
                })
                .await;
        }
        Ok(())
    }

    /// What must be refused is refused, and changes nothing (the next answer shows it).
    async fn ask_amiss(&mut self, shopper: &mut Shopper, taste: &[String]) -> Result<(), Lost> {
        let kind = Kind {
            name: "PUT cart line",
            variant: "refused",
        };
        let (sku, quantity, status) = match taste.first() {
            Some(sku) if shopper.chance(50) => (sku.as_str(), 100, 422),
            _ => (NO_SUCH_SKU, 1, 404),
        };
        let call = Call::put(line_path(sku))
            .bearer(&shopper.token().await?)
            .json(&json!({"quantity": quantity}));
        let reply = shopper.call(kind, &call).await?;
        shopper.expect(kind, &reply, status)?;
        if status == 422 {
            let told = reply
                .answer
                .problem()
                .is_some_and(|problem| !problem.errors.is_empty());
            shopper.check("problem", told, || "422 without errors".to_owned());
        }
        Ok(())
    }

    /// Compares an answer with the model.
    fn take(
        &mut self,
        shopper: &Shopper,
        kind: &'static str,
        reply: &Reply,
        step: Step,
    ) -> Result<u64, Lost> {
        shopper.expect(kind, reply, 200)?;
        let cart: wire::Cart = shopper.read(kind, reply)?;
        // Sent twice, an earlier one may have raised the version before this one was answered.
        let expected = if reply.attempts > 1 && step == Step::Changes {
            Step::MayChange
        } else {
            step
        };
        let wrong = self.model.compare(&cart, expected);
        shopper.check("cart", wrong.is_empty(), || {
            format!("{kind} ({}): {}", cart.cart_id, wrong.join("; "))
        });
        if step == Step::Changes && kind != "GET cart" {
            shopper.check("position", position(reply).is_some(), || {
                format!("{kind}: no Position")
            });
        }
        self.cart_id.get_or_insert(cart.cart_id);
        Ok(cart.version)
    }

    async fn witness_line(&self, shopper: &Shopper, reply: &Reply, sku: &str, quantity: u32, version: u64) {
        if shopper.witnessed() {
            let ack = shopper.ack(AckKind::CartLine, shopper.customer_id());
            shopper
                .acknowledge(Ack {
                    cart_id: self.cart_id.clone(),
                    sku: Some(sku.to_owned()),
                    quantity: Some(quantity),
                    version: Some(version),
                    position: position(reply),
                    ..ack
                })
                .await;
        }
    }

    /// The lines are an order now.
    pub fn checked_out(&mut self) {
        self.model.empty();
    }

    /// After a loss nobody knows what the cart holds: somebody else goes on with another one.
    pub async fn abandon(&mut self, shopper: &mut Shopper) {
        if let Some(cart_id) = self.cart_id.take() {
            let ack = shopper.ack(AckKind::Unknown, shopper.customer_id());
            shopper
                .acknowledge(Ack {
                    cart_id: Some(cart_id),
                    ..ack
                })
                .await;
        }
        shopper.forget_guest();
        *self = Self::default();
    }
}

fn line_path(sku: &str) -> String {
    format!("/v1/cart/lines/{}", encoded(sku))
}

/// The `Position` header of a write.
#[must_use]
pub fn position(reply: &Reply) -> Option<String> {
    reply.answer.header("position").map(str::to_owned)
}
