//! A shop whose mail server refuses some, and whose journal holds an order nobody can read.

use std::process::Output;
use std::time::Duration;

use globalshop::clock::Clock;
use globalshop::domain::id::OrderId;
use globalshop::journal::{Journal as _, PostgresJournal, PostgresSettings, Takeover, contract};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::database;
use crate::edge::{Answer, Call, Shop, start_on};
use crate::eventually::eventually;
use crate::mail_server::MailServer;

/// What nobody may see of a letter.
const PERSONAL: [&str; 6] = ["Lovelace", "Linden", "Berlin", "10117", "@example", "tok_"];

/// A shop with an outside mail server, and an order in its journal that cannot be read.
pub struct Clinic {
    pub shop: Shop,
    pub mail: MailServer,
    /// The entity of the order that cannot be read.
    pub poison: String,
}

pub async fn clinic() -> &'static Clinic {
    static CLINIC: OnceCell<Clinic> = OnceCell::const_new();
    CLINIC
        .get_or_init(|| async {
            let database = database::fresh_options().await;
            let poison = poison(&database).await;
            let mail = MailServer::start();
            let url = mail.url();
            let shop = start_on(database, |plan| {
                plan.settings.mail.smtp = Some(url);
                plan.listen = Some("127.0.0.1:0".parse().unwrap());
            })
            .await;
            Clinic { shop, mail, poison }
        })
        .await
}

/// Writes an order whose first event is JSON and no event, and whose second is not even that.
async fn poison(database: &PgConnectOptions) -> String {
    let clock = Clock::system();
    let settings = PostgresSettings::new("before");
    let journal = PostgresJournal::open(database.clone(), settings, clock.clone())
        .await
        .unwrap();
    let order = OrderId(clock.new_id()).entity();
    let lease = journal
        .claim(order.shard(journal.shards()), "before", Takeover::AtOnce)
        .await
        .unwrap();
    let payloads = [r#"{"event": "placed", "at": "Ada Lovelace"}"#, "no event"];
    let append = contract::append(lease, &order, 0, &payloads);
    let fenced = journal.write(&contract::batch(lease, vec![append])).await;
    assert_eq!(fenced.unwrap(), []);
    order.to_string()
}

impl Clinic {
    pub async fn get(&self, path: &str) -> Value {
        self.shop
            .ask(Call::get(format!("/ops/v1{path}")).by(&self.shop.operator))
            .await
            .expect(200)
    }

    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        let call = Call::post(format!("/ops/v1{path}")).by(&self.shop.operator);
        self.shop.ask(call.key(key).json(body)).await
    }

    /// Asks for something once, under a key of its own.
    pub async fn once(&self, path: &str, body: &Value) -> Value {
        let key = self.shop.fresh("once");
        self.post(path, &key, body).await.expect(200)
    }

    /// Buys something for `email`; the order, once it is confirmed.
    pub async fn buy(&self, email: &str) -> String {
        let shop = &self.shop;
        let (token, sku) = (shop.guest().await, shop.product(1_000, 1).await);
        shop.put(&token, &sku, 1).await.expect(200);
        let body = json!({
            "email": email,
            "shipping_address": {
                "name": "Ada Lovelace", "line1": "Unter den Linden 1", "city": "Berlin",
                "postal_code": "10117", "country": "DE",
            },
            "payment": {"provider": "sandbox", "token": "tok_approve"},
        });
        let checkout = Call::post("/v1/cart/checkout").by(&token).key(&sku).json(&body);
        let placed = shop.ask(checkout).await.expect(202);
        let order = placed["order_id"].as_str().unwrap().to_owned();
        shop.order_in(&token, &order, "confirmed").await;
        order
    }

    /// Buys for an address the mail server refuses; the order's entity and its two letters, of the
    /// mails that say it was received and confirmed.
    pub async fn sick(&self, email: &str) -> (String, Vec<Value>) {
        self.mail.refuse(email);
        let entity = format!("order/{}", self.buy(email).await);
        (entity.clone(), self.letters_of(&entity, "mail", 2).await)
    }

    /// Waits until an entity has so many letters of a consumer.
    pub async fn letters_of(&self, entity: &str, consumer: &str, count: usize) -> Vec<Value> {
        let path = format!("/dead-letters?entity={}&consumer={consumer}", path_safe(entity));
        eventually(
            &format!("{count} letters of {consumer} about {entity}"),
            async || {
                let items = items(&self.get(&path).await);
                if items.len() == count {
                    Ok(items)
                } else {
                    Err(items)
                }
            },
        )
        .await
    }

    pub async fn cli(&self, token: &str, args: &[&str]) -> Output {
        let url = format!("http://{}", self.shop.address.unwrap());
        let command = Command::new(env!("CARGO_BIN_EXE_globalshop"))
            .arg("dead-letters")
            .args(args)
            .args(["--url", &url, "--token", token])
            .kill_on_drop(true)
            .output();
        timeout(Duration::from_secs(60), command).await.unwrap().unwrap()
    }
}

pub fn items(page: &Value) -> Vec<Value> {
    page["items"].as_array().unwrap().clone()
}

pub fn id(letter: &Value) -> &str {
    letter["id"].as_str().unwrap()
}

pub fn path_safe(entity: &str) -> String {
    entity.replace('/', "%2F")
}

#[track_caller]
pub fn expect_nothing_personal(text: &str) {
    for personal in PERSONAL {
        assert!(!text.contains(personal), "{personal} in {text}");
    }
}
