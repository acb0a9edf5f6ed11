//! What stands outside: the mail server away, the payment provider away, an event nobody can read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use globalshop::clock::Clock;
use globalshop::domain::id::OrderId;
use globalshop::domain::{Shard, ShardCount};
use reqwest::Method;
use sqlx::Connection as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::node::Node;
use super::shoppers::Shoppers;
use super::tools::holds_for;
use crate::eventually::eventually;

/// A mail server that keeps what it takes, and that can be away.
struct MailServer {
    address: SocketAddr,
    /// By Message-ID: how often it came.
    taken: Arc<Mutex<BTreeMap<String, u32>>>,
    serving: Option<JoinHandle<()>>,
}

impl MailServer {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut server = Self {
            address: listener.local_addr().unwrap(),
            taken: Arc::default(),
            serving: None,
        };
        server.serve(listener);
        server
    }

    fn serve(&mut self, listener: TcpListener) {
        let taken = Arc::clone(&self.taken);
        self.serving = Some(tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that goes away in the middle has sent nothing.
                tokio::spawn(receive(stream, Arc::clone(&taken)));
            }
        }));
    }

    /// Nobody answers any more.
    fn go_away(&mut self) {
        self.serving.take().unwrap().abort();
    }

    async fn come_back(&mut self) {
        let address = self.address;
        let listener = eventually("the port is free again", async || {
            TcpListener::bind(address).await
        })
        .await;
        self.serve(listener);
    }

    fn taken(&self) -> BTreeMap<String, u32> {
        self.taken.lock().unwrap().clone()
    }
}

/// One connection: as many mails as the client has.
async fn receive(stream: TcpStream, taken: Arc<Mutex<BTreeMap<String, u32>>>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(b"220 test\r\n").await?;
    let (mut in_data, mut id) = (false, String::new());
    while let Some(line) = lines.next_line().await? {
        let answer: &[u8] = match line.as_str() {
            "." if in_data => {
                in_data = false;
                *taken.lock().unwrap().entry(std::mem::take(&mut id)).or_default() += 1;
                b"250 taken\r\n"
            }
            _ if in_data => {
                if let Some(named) = line.strip_prefix("Message-ID: ") {
                    named.clone_into(&mut id);
                }
                continue;
            }
            "DATA" => {
                in_data = true;
                b"354 go on\r\n"
            }
            "QUIT" => return writer.write_all(b"221 bye\r\n").await,
            _ => b"250 ok\r\n",
        };
        writer.write_all(answer).await?;
    }
    Ok(())
}

/// Orders do not wait for mail; mail waits for its server.
#[tokio::test(flavor = "multi_thread")]
async fn mail_that_cannot_be_sent_comes_later_and_none_is_lost() {
    let mut post = MailServer::open().await;
    let smtp = format!("smtp://{}", post.address);
    let mut node = Node::open(&[("mail.smtp", &smtp)]).await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    let first = node.check_out(&guest, &sku, "tok_approve").await;
    node.order_is(&guest, &first, "confirmed").await;
    eventually("the first two mails", async || match post.taken().len() {
        2 => Ok(()),
        other => Err(other),
    })
    .await;

    post.go_away();
    let mut orders = Vec::new();
    for _ in 0..5 {
        let order = node.check_out(&guest, &sku, "tok_approve").await;
        node.order_is(&guest, &order, "confirmed").await;
        orders.push(order);
    }
    assert_eq!(post.taken().len(), 2, "mail arrived at a server that is away");
    post.come_back().await;
    eventually("every mail", async || match post.taken().len() {
        12 => Ok(()),
        other => Err(other),
    })
    .await;
    node.audit(None).await;
    assert_eq!(dead_letters(&node).await, 0);
    node.stop().await;
}

/// How many dead letters there are.
async fn dead_letters(node: &Node) -> i64 {
    let mut admin = node.database().await;
    let count = sqlx::query_scalar("select count(*) from dead_letter")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    admin.close().await.unwrap();
    count
}

/// The provider's own books are shut: it answers nobody. Carts, checkouts and pages go on; orders end
/// when it is back, each charged once.
#[tokio::test(flavor = "multi_thread")]
async fn orders_end_when_the_payment_provider_is_back() {
    let mut node = Node::open(&[]).await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    let mut shoppers = Shoppers::enter(&node);
    shoppers.buy(30).await;
    let mut admin = node.database().await;
    let mut shut = admin.begin().await.unwrap();
    sqlx::query("lock table sandbox_intent in access exclusive mode")
        .execute(&mut *shut)
        .await
        .unwrap();
    let mut orders = Vec::new();
    holds_for(
        "no order ends without the provider",
        Duration::from_secs(12),
        async || {
            // A few of them, and then a look at all.
            if orders.len() < 12 {
                orders.push(node.check_out(&guest, &sku, "tok_approve").await);
            }
            let newest = orders.last().unwrap();
            let order = node.order(&guest, newest).await;
            assert_eq!(order["status"], "pending", "{order:#}");
            true
        },
    )
    .await;
    for order in &orders {
        assert_eq!(node.order(&guest, order).await["status"], "pending");
    }
    let clock = Clock::system();
    shut.rollback().await.unwrap();
    let back = clock.instant();
    for order in &orders {
        node.order_is(&guest, order, "confirmed").await;
    }
    println!(
        "{} orders confirmed within {:?}",
        orders.len(),
        clock.instant() - back
    );
    shoppers.buy(30).await;
    shoppers.leave().await;
    admin.close().await.unwrap();
    node.audit(Some(shoppers.acks())).await;
    assert_eq!(dead_letters(&node).await, 0);
    node.stop().await;
}

/// Somebody has written into the journal by hand, and what they wrote is no event: it becomes a dead
/// letter of every reader it concerns, and nothing waits behind it.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_nobody_can_read_becomes_a_dead_letter_and_others_go_on() {
    let order = OrderId(Clock::system().new_id()).entity();
    let payload = r#"{"event":"placed","at":"never"}"#;
    // Every reader of orders: the workers for stock, payment and mail, the order list, the ledger.
    let readers = ["ledger", "mail", "orders", "payment", "stock"];
    poison_is_buried(order.as_str(), payload, &readers).await;
}

/// What they wrote belongs to nobody: of an event without a readable name no reader can tell whether it
/// concerns it, so it is a dead letter of each, and nothing waits behind it.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_nobody_becomes_a_dead_letter_of_every_reader_and_others_go_on() {
    let readers = [
        "catalogue",
        "checkout",
        "ledger",
        "mail",
        "orders",
        "payment",
        "stock",
    ];
    poison_is_buried("ordr?0197", r#"{"event":"placed"}"#, &readers).await;
}

/// Writes an event under this name where its shard's next event would stand, and waits until these
/// readers, and no others, have a dead letter of it.
async fn poison_is_buried(name: &str, payload: &str, readers: &[&str]) {
    let mut node = Node::open(&[]).await;
    let mut shoppers = Shoppers::enter(&node);
    shoppers.buy(20).await;
    let mut admin = node.database().await;
    let shard = i16::try_from(Shard::of(name, ShardCount::DEFAULT).0).unwrap();
    // The node may be about to write there, too: then it is the node that learns of somebody else.
    eventually("a place in the journal", async || {
        sqlx::query(
            "insert into journal (position, sequence, epoch, recorded_at, shard, version, entity, payload)
             select coalesce(max(j.position), 0) + 1, 1, l.epoch, 0, l.shard, 1, $2, $3
             from shard_lease l left join journal j on j.shard = l.shard
             where l.shard = $1
             group by l.shard, l.epoch",
        )
        .bind(shard)
        .bind(name)
        .bind(payload.as_bytes())
        .execute(&mut admin)
        .await
        .map_err(|fault| fault.to_string())
    })
    .await;
    shoppers.buy(60).await;
    let letters = eventually("its dead letters", async || {
        let letters: Vec<(String, String)> =
            sqlx::query_as("select consumer, reason from dead_letter where entity = $1 order by consumer")
                .bind(name)
                .fetch_all(&mut admin)
                .await
                .unwrap();
        let whose: Vec<&str> = letters.iter().map(|(consumer, _)| consumer.as_str()).collect();
        if whose == readers {
            Ok(letters)
        } else {
            Err(letters)
        }
    })
    .await;
    println!("{letters:?}");
    admin.close().await.unwrap();
    shoppers.leave().await;
    // Each is listed for operators, by its name, and can be shown.
    let operator = node.token("operator");
    let listed = node
        .ask(Method::GET, "/ops/v1/dead-letters", Some(&operator), None)
        .await;
    let listed = listed["items"].as_array().unwrap();
    assert_eq!(listed.len(), readers.len());
    for letter in listed {
        assert_eq!(letter["entity"], name);
        let path = format!("/ops/v1/dead-letters/{}", letter["id"].as_str().unwrap());
        let shown = node.ask(Method::GET, &path, Some(&operator), None).await;
        assert_eq!(shown["consumer"], letter["consumer"]);
    }
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}
