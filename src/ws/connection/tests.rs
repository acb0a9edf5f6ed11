//! Every turn a connection can take, on a pipe and a paused clock.

use serde_json::{Value, json};
use std::time::Duration;

use axum::extract::ws::Message;

use crate::accounts::{Role, Roles};
use crate::domain::Millis;
use crate::domain::order::Command;
use crate::ws::fixture::{House, customer, viewer};
use crate::ws::viewer::{Turned, Viewer};

#[tokio::test(start_paused = true)]
async fn everybody_is_welcomed_once() {
    let house = House::open().await;
    let mut client = house.connect(64);
    client.say(&json!({"hello": {}})).await;
    let welcome = client.expect("welcome").await;
    assert_eq!(welcome["node"], "test");
    assert_eq!(welcome["limits"]["subscriptions"], 128);
    assert_eq!(welcome["session"].as_str().unwrap().len(), 32);
    client.say(&json!({"ping": {"t0": 12.5}})).await;
    let pong = client.expect("pong").await;
    assert_eq!(pong["t0"], 12.5);
    let age = house.clock.now().0 - pong["t1"].as_i64().unwrap();
    assert!((0..=10).contains(&age), "at most the pace of flushes ago: {age}");

    // Without a hello: before the answer to the first word, or after a moment of silence.
    let mut client = house.connect(64);
    client.say(&json!({"ping": {"t0": 1}})).await;
    client.expect("welcome").await;
    client.expect("pong").await;
    let mut client = house.connect(64);
    client.expect("welcome").await;
    client.say(&json!({"hello": {"token": "ada"}})).await;
    client.follow("cart", json!("snapshot")).await;
    client.expect("snap").await;
}

#[tokio::test(start_paused = true)]
async fn what_is_no_frame_ends_the_connection_and_no_other() {
    let house = House::open().await;
    house.window.set("TV-1", 100);
    let mut bystander = house.greet("ada").await;
    bystander.follow("product:TV-1", json!("snapshot")).await;
    bystander.expect("snap").await;
    bystander.expect("live").await;
    for bad in [
        Message::text("nonsense"),
        Message::text("{}"),
        Message::text(r#"{"sub": 5}"#),
        Message::text(r#"{"jump": {}}"#),
        Message::text(format!(r#"{{"auth": {{"token": "{}"}}}}"#, "x".repeat(70_000))),
        Message::binary(vec![1, 2, 3]),
    ] {
        let mut client = house.connect(64);
        client.send(bad).await;
        let bye = client.expect_bye().await;
        assert_eq!(
            (bye["code"].clone(), bye["retry"].clone()),
            (json!(4010), json!(false))
        );
    }
    let mut client = house.greet("ada").await;
    client.say(&json!({"hello": {}})).await;
    assert_eq!(client.expect_bye().await["code"], 4010);

    house.window.set("TV-1", 200);
    assert_eq!(bystander.expect("pub").await[0]["d"]["price"]["amount"], 200);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_judged_by_what_it_was() {
    let house = House::open().await;
    for (token, code) in [("late", 4001), ("forged", 4003)] {
        let mut client = house.connect(64);
        client.say(&json!({"hello": {"token": token}})).await;
        assert_eq!(client.expect_bye().await["code"], code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_product_begins_with_a_snap_and_goes_on_with_its_newest_value() {
    let house = House::open().await;
    house.window.set("TV-1", 100);
    let mut client = house.connect(64);
    client.say(&json!({"hello": {}})).await;
    client.expect("welcome").await;
    client.follow("product:TV-1", json!({"e": "state", "o": 1})).await;
    let snap = client.expect("snap").await;
    assert_eq!(snap["data"]["price"], json!({"amount": 100, "currency": "EUR"}));
    assert_eq!(snap["data"]["availability"], "in_stock");
    let live = client.expect("live").await;
    assert_eq!((&live["o"], &live["id"]), (&snap["o"], &json!(1)));
    assert_eq!(live["recovered"], false);

    house.window.set("TV-1", 300);
    let changed = client.expect("pub").await;
    assert_eq!(changed[0]["ch"], "product:TV-1");
    assert_eq!(changed[0]["d"]["price"]["amount"], 300);
    assert!(changed[0]["o"].as_u64() > snap["o"].as_u64());
    house.window.remove("TV-1");
    assert_eq!(client.expect("pub").await[0]["d"]["availability"], "out_of_stock");

    client.follow("product:TV-2", json!("snapshot")).await;
    assert_eq!(client.expect("err").await["status"], 404);
}

#[tokio::test(start_paused = true)]
async fn a_cart_follows_every_change_of_its_owner() {
    let house = House::open().await;
    house.window.set("TV-1", 100);
    house.set_line(customer(1), "TV-1", 1).await;
    let mut client = house.greet("ada").await;
    client.follow("cart", json!("snapshot")).await;
    assert_eq!(client.expect("snap").await["data"]["version"], 1);
    client.expect("live").await;
    house.set_line(customer(1), "TV-1", 2).await;
    house.set_line(customer(2), "TV-1", 9).await;
    assert_eq!(client.expect("pub").await[0]["d"]["lines"][0]["quantity"], 2);
    // What is in it got another price.
    house.window.set("TV-1", 200);
    assert_eq!(client.expect("pub").await[0]["ev"], "repriced");

    client.say(&json!({"unsub": [{"id": 1, "ch": "cart"}]})).await;
    client.say(&json!({"ping": {"t0": 1}})).await;
    client.expect("pong").await;
    house.set_line(customer(1), "TV-1", 5).await;
    house.clock.sleep(Duration::from_millis(200)).await;
    assert!(client.has_heard_nothing());
}

#[tokio::test(start_paused = true)]
async fn an_order_is_streamed_and_resumed() {
    let house = House::open().await;
    let id = house.place(1).await;
    let channel = format!("order:{id}");
    let mut client = house.greet("ada").await;
    client.follow(&channel, json!("snapshot")).await;
    let snap = client.expect("snap").await;
    assert_eq!(
        (&snap["o"], &snap["data"]["status"]),
        (&json!(1), &json!("pending"))
    );
    let epoch = snap["e"].clone();
    assert_eq!(client.expect("live").await["o"], 1);
    house.confirm(id).await;
    let confirmed = client.expect("pub").await;
    assert_eq!(
        (&confirmed[0]["o"], &confirmed[0]["ev"]),
        (&json!(2), &json!("confirmed"))
    );
    assert_eq!(confirmed[0]["d"]["status"], "confirmed");

    // From any position on, gapless.
    house.order(id, Command::Pack).await;
    client.expect("pub").await;
    let mut again = house.greet("ada").await;
    again.follow(&channel, json!({"e": epoch, "o": 1})).await;
    let missed = again.expect("pub").await;
    assert_eq!((&missed[0]["o"], &missed[1]["o"]), (&json!(2), &json!(3)));
    let live = again.expect("live").await;
    assert_eq!((&live["o"], &live["recovered"]), (&json!(3), &json!(true)));
    again.follow(&channel, json!({"e": epoch, "o": 3})).await;
    assert_eq!(again.expect("live").await["recovered"], true);
    again.follow(&channel, json!("live")).await;
    assert_eq!(again.expect("live").await["recovered"], false);

    // What cannot be a position of this stream is told so.
    for (position, reason) in [
        (json!({"e": epoch, "o": 4}), "unknown_position"),
        (json!({"e": epoch, "o": 1_u64 << 63}), "unknown_position"),
        (json!({"e": "other", "o": 1}), "epoch"),
    ] {
        again.follow(&channel, position).await;
        assert_eq!(again.expect("gap").await["reason"], reason);
        assert_eq!(again.expect("snap").await["o"], 3);
        assert_eq!(again.expect("live").await["recovered"], false);
    }
    for position in [json!({"e": epoch, "o": -1}), json!("all"), json!(3)] {
        again.follow(&channel, position).await;
        let problem = again.expect("err").await;
        assert_eq!(
            (&problem["status"], &problem["errors"][0]["pointer"]),
            (&json!(422), &json!("/from"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_is_for_its_owner_and_for_those_who_handle_it() {
    let house = House::open().await;
    let channel = format!("order:{}", house.place(1).await);
    for token in ["ada", "was-ada", "sam"] {
        let mut client = house.greet(token).await;
        client.follow(&channel, json!("snapshot")).await;
        client.expect("snap").await;
    }
    let mut eve = house.greet("eve").await;
    eve.follow(&channel, json!("snapshot")).await;
    let theirs = eve.expect("err").await;
    eve.follow(&channel, json!({"e": "00", "o": 0})).await;
    eve.expect("err").await;
    eve.follow("order:6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10", json!("snapshot"))
        .await;
    let absent = eve.expect("err").await;
    assert_eq!(theirs, absent, "another's is as if absent");
    assert_eq!(theirs["status"], 404);
    for nonsense in ["order:1", "sale:1", "ops:tree", "order:*", ""] {
        eve.follow(nonsense, json!("snapshot")).await;
        assert_eq!(eve.expect("err").await["problem"]["status"], 404);
    }

    let mut nobody = house.connect(64);
    nobody.say(&json!({"hello": {}})).await;
    nobody.expect("welcome").await;
    for channel in ["cart", &channel] {
        nobody.follow(channel, json!("snapshot")).await;
        assert_eq!(nobody.expect("err").await["status"], 401);
    }
    let mut sam = house.greet("sam").await;
    sam.follow("cart", json!("snapshot")).await;
    assert_eq!(sam.expect("err").await["status"], 403);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_reading_is_told_and_costs_nobody_else() {
    let house = House::open().await;
    house.window.set("TV-1", 100);
    let mut slow = house.connect(3);
    slow.follow("product:TV-1", json!("snapshot")).await;
    let mut quick = house.greet("ada").await;
    quick.follow("product:TV-1", json!("snapshot")).await;
    quick.expect("snap").await;
    quick.expect("live").await;
    for cents in 0..500 {
        house.window.set("TV-1", cents);
        quick.expect("pub").await;
    }
    // Of a state only the newest value waits: a late reader catches up in a few frames.
    let mut heard = 0;
    loop {
        let (name, body) = slow.hear().await;
        heard += 1;
        if name == "pub" && body[0]["d"]["price"]["amount"] == 499 {
            break;
        }
    }
    assert!(heard < 10, "{heard}");

    // Who reads nothing at all is let go.
    for cents in 0..10 {
        house.window.set("TV-1", cents);
        quick.expect("pub").await;
    }
    house.clock.sleep(Duration::from_secs(21)).await;
    assert_eq!(slow.expect_bye().await["code"], 4008);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_ends_the_connection_unless_a_fresh_one_comes() {
    let house = House::open().await;
    let until = |seconds| {
        let mut known: Viewer = viewer(1, Roles::SHOPPER, &[]);
        let mut caller = (*known.caller).clone();
        caller.expires_at = house.clock.now().plus_seconds(seconds);
        known.caller = caller.into();
        known
    };
    house.guestbook.write("short", Ok(until(30)));
    house.guestbook.write("longer", Ok(until(50)));
    house.guestbook.write("eves", Ok(viewer(2, Roles::SHOPPER, &[])));
    let mut one = house.greet("short").await;
    let mut other = house.greet("short").await;
    let mut third = house.greet("short").await;
    other.follow("cart", json!("snapshot")).await;
    other.expect("snap").await;
    other.expect("live").await;
    other.say(&json!({"auth": {"token": "longer"}})).await;
    third.follow("cart", json!("snapshot")).await;
    third.say(&json!({"auth": {"token": "eves"}})).await;
    assert_eq!(
        third.expect_bye().await["code"],
        4003,
        "a cart is not handed over"
    );

    let bye = one.expect_bye().await;
    assert_eq!((&bye["code"], &bye["retry"]), (&json!(4001), &json!(true)));
    let at = house.clock.now();
    assert_eq!(other.expect_bye().await["code"], 4001);
    assert!(house.clock.now().since(at) > 15_000);
}

#[tokio::test(start_paused = true)]
async fn changed_rights_reach_open_connections() {
    let house = House::open().await;
    let channel = format!("order:{}", house.place(1).await);
    let mut sam = house.greet("sam").await;
    sam.follow(&channel, json!("snapshot")).await;
    sam.expect("snap").await;
    sam.expect("live").await;
    house
        .guestbook
        .write("sam", Ok(viewer(4, Roles::SHOPPER.with(Role::Shopper), &[])));
    house.guestbook.changes.send(customer(4)).unwrap();
    assert_eq!(sam.expect("err").await["status"], 404, "no seller any more");

    let mut ada = house.greet("ada").await;
    house.guestbook.write("ada", Err(Turned::Ended));
    let before = house.clock.now();
    house.guestbook.changes.send(customer(1)).unwrap();
    assert_eq!(ada.expect_bye().await["code"], 4001);
    assert!(house.clock.now().since(before) < 5_000);
}

#[tokio::test(start_paused = true)]
async fn silence_is_asked_about_and_ends() {
    let house = House::open().await;
    house.window.set("TV-1", 100);
    let mut client = house.greet("ada").await;
    client.follow("product:TV-1", json!("snapshot")).await;
    let offset = client.expect("snap").await["o"].clone();
    client.expect("live").await;
    let began = house.clock.now();
    assert_eq!(client.expect("pos").await, json!([["product:TV-1", offset]]));
    assert_eq!(house.clock.now().since(began) / 1_000, 15);
    // Pongs are a sign of life; without them the connection is over after three pings.
    for _ in 0..10 {
        house.clock.sleep(Duration::from_secs(19)).await;
        client.say(&json!({"pong": {"t0": 1, "t1": 1}})).await;
    }
    let last = house.clock.now();
    assert_eq!(client.expect_bye().await["code"], 4008);
    assert_eq!(house.clock.now().since(last) / 1_000, 60);
}

#[tokio::test(start_paused = true)]
async fn one_connection_has_its_limits() {
    let house = House::open().await;
    let mut client = house.greet("ada").await;
    let items: Vec<Value> = (0..130)
        .map(|n| {
            house.window.set(&format!("P-{n}"), 100);
            json!({"id": n, "ch": format!("product:P-{n}"), "from": "snapshot"})
        })
        .collect();
    client.say(&json!({"sub": items})).await;
    let (mut live, mut refused) = (0, 0);
    while live + refused < 130 {
        match client.hear().await {
            (name, _) if name == "live" => live += 1,
            (name, body) if name == "err" => {
                assert_eq!(body["status"], 429);
                refused += 1;
            }
            _ => {}
        }
    }
    assert_eq!((live, refused), (128, 2));
    client
        .say(&json!({"unsub": [{"id": 0, "ch": "product:P-0"}]}))
        .await;
    client.follow("product:P-129", json!("snapshot")).await;
    assert_eq!(client.expect("snap").await["ch"], "product:P-129");

    for n in 0..1_001 {
        client.say(&json!({"pong": {"t0": n}})).await;
    }
    let bye = client.expect_bye().await;
    assert_eq!((&bye["code"], &bye["after_ms"]), (&json!(4029), &json!(10_000)));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_down_sends_everybody_away_at_different_times() {
    let house = House::open().await;
    let mut one = house.greet("ada").await;
    let mut other = house.greet("eve").await;
    let live = house.live.clone();
    let drained = tokio::spawn(async move {
        live.drain(Duration::from_secs(5), Duration::from_secs(10)).await;
    });
    let (first, second) = (one.expect_bye().await, other.expect_bye().await);
    assert_eq!((&first["code"], &first["retry"]), (&json!(4000), &json!(true)));
    assert_ne!(first["after_ms"], second["after_ms"]);
    drop((one, other));
    drained.await.unwrap();
    assert_eq!(house.live.connections(), 0);
    assert!(house.live.session([127, 0, 0, 1].into()).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_falls_over_comes_back() {
    let house = House::open().await;
    let mut client = house.greet("ada").await;
    client.follow("cart", json!("snapshot")).await;
    client.expect("snap").await;
    client.expect("live").await;
    house
        .faces
        .broken
        .store(true, std::sync::atomic::Ordering::SeqCst);
    house.set_line(customer(1), "TV-1", 1).await;
    assert_eq!(client.expect_bye().await["code"], 4000);
    house
        .faces
        .broken
        .store(false, std::sync::atomic::Ordering::SeqCst);
    house.clock.sleep(Duration::from_secs(1)).await;
    let mut client = house.greet("ada").await;
    client.follow("cart", json!("snapshot")).await;
    assert_eq!(client.expect("snap").await["data"]["version"], 1);
    let now = house.clock.instant();
    let hub = house
        .heart
        .spawner()
        .tree()
        .reading("test/live/0/hub/0", now)
        .unwrap();
    assert_eq!(hub.restarts, 1);
    assert_ne!(house.clock.now(), Millis(0));
}
