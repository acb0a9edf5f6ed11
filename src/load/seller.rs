//! The seller behind a scenario: offers the one product that everybody wants.

use serde::Deserialize;
use serde_json::json;

use super::LoadFault;
use super::client::{Answer, Call, Client, encoded};
use super::shopper::{chain, described};
use super::wire::Money;
use crate::clock::Clock;

/// What the product of a scenario costs, minor units.
const PRICE: i64 = 4_900;

/// A product as its seller knows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Offer {
    /// What is put into carts.
    pub sku: String,
    /// Rises with every change; the next change names it.
    pub version: u64,
    /// What it costs.
    pub price: Money,
}

/// Creates a product that nobody has ever seen, with `units` in stock, and waits until the shop shows
/// it.
///
/// # Errors
/// When the shop refuses: the token is no seller's, for one.
pub async fn offer(
    client: &mut Client,
    clock: &Clock,
    token: &str,
    name: &str,
    units: u64,
) -> Result<Offer, LoadFault> {
    let sku = format!("LOAD-{}", clock.new_id().simple());
    let currency = currency(client).await?;
    let product = json!({"sku": sku, "name": name, "price": {"amount": PRICE, "currency": currency}});
    let create = Call::post("/v1/products").bearer(token).key(&sku).json(&product);
    let offer: Offer = read(&create, &ask(client, &create, 201).await?)?;
    if units > 0 {
        let delivery = json!({"delta": units, "reason": "the only delivery"});
        let adjust = Call::post(format!("/v1/stock/{}/adjustments", encoded(&sku)))
            .bearer(token)
            .key(&sku)
            .json(&delivery);
        ask(client, &adjust, 200).await?;
    }
    Ok(offer)
}

/// Reads a product that is there.
///
/// # Errors
/// When the shop refuses.
pub async fn find(client: &mut Client, token: &str, sku: &str) -> Result<Offer, LoadFault> {
    let call = Call::get(format!("/v1/seller/products/{}", encoded(sku))).bearer(token);
    read(&call, &ask(client, &call, 200).await?)
}

/// A new price for an offer.
#[must_use]
pub fn reprice(token: &str, offer: &Offer, amount: i64) -> Call {
    let price = Money {
        amount,
        currency: offer.price.currency.clone(),
    };
    Call::put(format!("/v1/products/{}/price", encoded(&offer.sku)))
        .bearer(token)
        .header(hyper::header::IF_MATCH, &format!("\"v{}\"", offer.version))
        .json(&price)
}

/// The shop's one currency, as an empty cart says it.
async fn currency(client: &mut Client) -> Result<String, LoadFault> {
    #[derive(Deserialize)]
    struct Entered {
        access_token: String,
    }
    #[derive(Deserialize)]
    struct EmptyCart {
        currency: String,
    }
    let enter = Call::post("/v1/guests");
    let entered: Entered = read(&enter, &ask(client, &enter, 201).await?)?;
    let look = Call::get("/v1/cart").bearer(&entered.access_token);
    let cart: EmptyCart = read(&look, &ask(client, &look, 200).await?)?;
    Ok(cart.currency)
}

async fn ask(client: &mut Client, call: &Call, status: u16) -> Result<Answer, LoadFault> {
    let answer = client.send(call).await.map_err(LoadFault::Unreachable)?;
    if answer.status.as_u16() == status {
        return Ok(answer);
    }
    Err(LoadFault::Unprepared(format!(
        "{}: {}",
        call.path(),
        described(&answer)
    )))
}

fn read<T: serde::de::DeserializeOwned>(call: &Call, answer: &Answer) -> Result<T, LoadFault> {
    answer
        .json()
        .map_err(|fault| LoadFault::Unprepared(format!("{}: {}", call.path(), chain(&fault))))
}
