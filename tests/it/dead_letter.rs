//! Dead letters as operators have them: over HTTP and from the command line.

use axum::http::Method;
use serde_json::{Value, json};

use crate::clinic::{clinic, expect_nothing_personal, id, items, path_safe};
use crate::edge::Call;
use crate::eventually::eventually;

#[tokio::test]
async fn a_poison_event_is_a_letter_and_the_others_go_on() {
    let clinic = clinic().await;
    let (entity, letters) = clinic.sick("sick@example.org").await;
    // Somebody else's mail goes out although it was refused once for the moment, and leaves no letter.
    clinic.mail.busy_once("well@example.org");
    let well = format!("order/{}", clinic.buy("well@example.org").await);
    eventually("the mails of the other order", async || {
        let taken = clinic.mail.taken("well@example.org");
        if taken.len() == 2 { Ok(()) } else { Err(taken) }
    })
    .await;
    clinic.letters_of(&well, "mail", 0).await;

    for letter in &letters {
        assert_eq!(
            (&letter["state"], &letter["remedy"]),
            (&json!("waiting"), &json!("redrive"))
        );
        assert_eq!(
            (&letter["attempts"], &letter["redrives"]),
            (&json!(1), &json!(0)),
            "it was refused for good"
        );
        assert_eq!(letter["blocks"], false);
        let reason = letter["reason"].as_str().unwrap();
        assert!(
            reason.contains("a mail was refused") && reason.contains("550"),
            "{reason}"
        );
        let trace = letter["trace_id"].as_str().unwrap();
        assert!(
            trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit()),
            "{trace}"
        );
    }
    assert_ne!(
        letters[0]["trace_id"], letters[1]["trace_id"],
        "each delivery has its own"
    );
    let first = letters.iter().find(|letter| letter["sequence"] == 1).unwrap();
    let shown = clinic.get(&format!("/dead-letters/{}", id(first))).await;
    assert_eq!(shown["entity"], entity);
    let payload = &shown["event"]["payload"];
    assert_eq!(payload["event"], "placed");
    assert_eq!(payload["draft"]["email"], "[masked]");
    assert_eq!(payload["draft"]["lines"][0]["quantity"], 1);
    expect_nothing_personal(&shown.to_string());
}

#[tokio::test]
async fn what_cannot_be_read_is_a_letter_of_everybody_and_views_are_rebuilt() {
    let clinic = clinic().await;
    let poison = &clinic.poison;
    for consumer in ["stock", "payment", "mail"] {
        let letters = clinic.letters_of(poison, consumer, 2).await;
        let first = letters.iter().find(|letter| letter["sequence"] == 1).unwrap();
        assert_eq!(first["remedy"], "redrive");
        let shown = clinic.get(&format!("/dead-letters/{}", id(first))).await;
        assert_eq!(
            shown["event"]["payload"],
            json!({"event": "placed", "at": "[masked]"})
        );
        expect_nothing_personal(&shown.to_string());
        let second = letters.iter().find(|letter| letter["sequence"] == 2).unwrap();
        let shown = clinic.get(&format!("/dead-letters/{}", id(second))).await;
        assert_eq!(
            (&shown["event"]["payload"], &shown["event"]["bytes"]),
            (&Value::Null, &json!(8))
        );
        let again = clinic
            .once(&format!("/dead-letters/{}/redrive", id(first)), &json!({}))
            .await;
        assert_eq!(again["outcome"], "failed");
        expect_nothing_personal(&again.to_string());
    }

    let all = clinic
        .get(&format!("/dead-letters?entity={}&limit=100", path_safe(poison)))
        .await;
    let consumers = items(&clinic.get("/consumers").await);
    let of_views: Vec<Value> = items(&all)
        .into_iter()
        .filter(|letter| letter["remedy"] == "rebuild")
        .collect();
    assert!(!of_views.is_empty(), "the list of orders cannot take it either");
    for letter in of_views {
        let consumer = consumers
            .iter()
            .find(|one| one["name"] == letter["consumer"])
            .unwrap();
        assert_eq!(consumer["view"], true);
        assert!(consumer["dead_letters"].as_u64().unwrap() >= 1, "{consumer}");
        let redriven = clinic
            .once(&format!("/dead-letters/{}/redrive", id(&letter)), &json!({}))
            .await;
        assert_eq!(redriven["outcome"], "skipped");
        assert!(
            redriven["reason"].as_str().unwrap().contains("rebuilt"),
            "{redriven}"
        );
    }
}

#[tokio::test]
async fn one_is_redriven_under_a_key_and_the_audit_says_who_and_why() {
    let clinic = clinic().await;
    let (entity, letters) = clinic.sick("once@example.org").await;
    let letter = id(&letters[0]);
    let path = format!("/dead-letters/{letter}/redrive");
    let redrives = async || {
        let letter = clinic.get(&format!("/dead-letters/{letter}")).await;
        letter["redrives"].as_u64().unwrap()
    };

    let dry = json!({"dry_run": true});
    let (key, other) = (clinic.shop.fresh("key"), clinic.shop.fresh("key"));
    let first = clinic.post(&path, &key, &dry).await;
    assert_eq!(first.expect(200), json!({"id": letter, "outcome": "would_try"}));
    assert_eq!(redrives().await, 0, "nothing was tried");
    clinic
        .post(&path, &key, &json!({"dry_run": false}))
        .await
        .expect_problem(422, "idempotency-key-reused");

    let body = json!({"reason": "was the mailbox made?"});
    let first = clinic.post(&path, &other, &body).await;
    let said = first.expect(200);
    assert_eq!(said["outcome"], "failed");
    assert!(said["reason"].as_str().unwrap().contains("550"), "{said}");
    expect_nothing_personal(&said.to_string());
    assert_eq!((redrives().await, first.header("idempotent-replayed")), (1, None));

    // The same again is answered and not done: not even now, when it would go well.
    clinic.mail.accept("once@example.org");
    let again = clinic.post(&path, &other, &body).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.bytes, first.bytes);
    assert_eq!(
        (redrives().await, clinic.mail.taken("once@example.org").len()),
        (1, 0)
    );

    let done = clinic.once(&path, &json!({"reason": "it was"})).await;
    assert_eq!(done, json!({"id": letter, "outcome": "done"}));
    assert_eq!(clinic.mail.taken("once@example.org").len(), 1);
    let shown = clinic.get(&format!("/dead-letters/{letter}")).await;
    assert_eq!(
        (&shown["state"], &shown["remedy"]),
        (&json!("done"), &json!("nothing"))
    );
    let skipped = clinic.once(&path, &json!({})).await;
    assert_eq!(skipped["outcome"], "skipped");
    assert_eq!(
        clinic.mail.taken("once@example.org").len(),
        1,
        "nobody gets it twice"
    );
    let waiting = clinic
        .get(&format!(
            "/dead-letters?state=waiting&entity={}",
            path_safe(&entity)
        ))
        .await;
    assert_eq!(items(&waiting).len(), 1, "the other one still waits");

    let mut mine = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = clinic.get(&format!("/audit?limit=3{cursor}")).await;
        assert!(items(&page).len() <= 3);
        mine.extend(
            items(&page)
                .into_iter()
                .filter(|action| action["target"] == letter),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let me = clinic
        .shop
        .ask(Call::get("/v1/me").by(&clinic.shop.operator))
        .await
        .expect(200);
    let told: Vec<_> = mine
        .iter()
        .map(|action| {
            assert_eq!(action["customer_id"], me["customer_id"]);
            assert!(action["ended_at"].is_string() && action["trace_id"].is_string());
            (
                action["action"].as_str().unwrap(),
                action["reason"].as_str(),
                action["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("dead_letter.redrive", None, "skipped"),
            ("dead_letter.redrive", Some("it was"), "done"),
            ("dead_letter.redrive", Some("was the mailbox made?"), "failed"),
            ("dead_letter.redrive.dry_run", None, "would_try"),
        ],
        "newest first, and each once"
    );
}

#[tokio::test]
async fn many_are_redriven_until_they_are_parked_and_then_only_by_name() {
    let clinic = clinic().await;
    let (entity, letters) = clinic.sick("many@example.org").await;
    let filter = json!({"consumer": "mail", "entity": entity});
    let outcomes = |answer: &Value| -> Vec<String> {
        let items = items(answer);
        items
            .iter()
            .map(|item| item["outcome"].as_str().unwrap().to_owned())
            .collect()
    };
    let many = async |body: &Value| clinic.once("/dead-letters/redrive", body).await;

    let dry = many(&json!({"consumer": "mail", "entity": entity, "dry_run": true})).await;
    assert_eq!(outcomes(&dry), ["would_try", "would_try"]);
    assert_eq!(dry["more"], false);
    let sequences: Vec<u64> = items(&dry)
        .iter()
        .map(|item| {
            let letter = letters.iter().find(|letter| letter["id"] == item["id"]).unwrap();
            letter["sequence"].as_u64().unwrap()
        })
        .collect();
    assert!(sequences.is_sorted(), "in the order of their events");

    for _ in 1..5 {
        assert_eq!(outcomes(&many(&filter).await), ["failed", "failed"]);
    }
    assert_eq!(
        outcomes(&many(&filter).await),
        ["parked", "parked"],
        "the fifth time is the last"
    );
    clinic.mail.accept("many@example.org");
    assert_eq!(
        outcomes(&many(&filter).await),
        [""; 0],
        "nobody redrives in a circle"
    );
    let parked = clinic
        .get(&format!(
            "/dead-letters?state=parked&entity={}",
            path_safe(&entity)
        ))
        .await;
    assert_eq!(items(&parked).len(), 2);
    assert!(items(&parked).iter().all(|letter| letter["redrives"] == 5));
    assert_eq!(clinic.mail.taken("many@example.org").len(), 0);
    for letter in &letters {
        let one = clinic
            .once(&format!("/dead-letters/{}/redrive", id(letter)), &json!({}))
            .await;
        assert_eq!(one["outcome"], "done");
    }
    assert_eq!(clinic.mail.taken("many@example.org").len(), 2);

    // A page at a time gives the same letters as all at once.
    let all = items(&clinic.get("/dead-letters?state=done&limit=100").await);
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = clinic
            .get(&format!("/dead-letters?state=done&limit=1{cursor}"))
            .await;
        paged.extend(items(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let ids: Vec<&str> = paged.iter().map(id).collect();
    assert!(ids.len() >= all.len(), "others are redriven meanwhile");
    assert!(all.iter().all(|letter| ids.contains(&id(letter))));
    assert!(letters.iter().all(|letter| ids.contains(&id(letter))));
}

#[tokio::test]
async fn a_paused_consumer_waits_for_an_operator() {
    let clinic = clinic().await;
    let checkout = async || {
        let consumers = items(&clinic.get("/consumers").await);
        consumers
            .into_iter()
            .find(|one| one["name"] == "checkout")
            .unwrap()
    };
    let reason = json!({"reason": "looking at something"});
    assert_eq!(
        clinic.once("/consumers/checkout/pause", &reason).await,
        json!({"name": "checkout", "paused": true})
    );
    assert_eq!(checkout().await["paused"], true);
    assert_eq!(
        clinic.once("/consumers/checkout/resume", &reason).await,
        json!({"name": "checkout", "paused": false})
    );
    assert_eq!(checkout().await["paused"], false);
    let key = clinic.shop.fresh("key");
    clinic
        .post("/consumers/checkout/pause", &key, &json!({}))
        .await
        .expect_problem(422, "invalid-input");
    for unknown in ["nobody", "orders", "catalogue"] {
        let path = format!("/consumers/{unknown}/pause");
        clinic
            .post(&path, &key, &reason)
            .await
            .expect_problem(404, "not-found");
    }
    let audit = items(&clinic.get("/audit?limit=100").await);
    let said = |action: &str| {
        let found = audit
            .iter()
            .find(|one| one["action"] == action && one["target"] == "checkout")
            .unwrap_or_else(|| panic!("no {action} in {audit:?}"));
        (found["reason"].clone(), found["outcome"].clone())
    };
    assert_eq!(
        said("consumer.pause"),
        (reason["reason"].clone(), json!("paused"))
    );
    assert_eq!(
        said("consumer.resume"),
        (reason["reason"].clone(), json!("resumed"))
    );
}

#[tokio::test]
async fn only_operators_get_in_and_bad_input_is_told() {
    let clinic = clinic().await;
    let shop = &clinic.shop;
    let guest = shop.guest().await;
    let letter = id(&clinic.letters_of(&clinic.poison, "mail", 2).await[0]).to_owned();
    let calls = [
        (Method::GET, "/dead-letters".to_owned()),
        (Method::GET, format!("/dead-letters/{letter}")),
        (Method::POST, format!("/dead-letters/{letter}/redrive")),
        (Method::POST, "/dead-letters/redrive".to_owned()),
        (Method::GET, "/consumers".to_owned()),
        (Method::POST, "/consumers/mail/pause".to_owned()),
        (Method::POST, "/consumers/mail/resume".to_owned()),
        (Method::GET, "/audit".to_owned()),
    ];
    for (method, path) in calls {
        let call = || Call::new(method.clone(), format!("/ops/v1{path}")).key("stranger");
        shop.ask(call()).await.expect_problem(401, "unauthenticated");
        for token in [&guest, &shop.seller] {
            shop.ask(call().by(token)).await.expect_problem(403, "forbidden");
        }
        if method == Method::POST {
            let without = Call::post(format!("/ops/v1{path}")).by(&shop.operator);
            shop.ask(without)
                .await
                .expect_problem(400, "idempotency-key-missing");
            let odd = json!({"reason": "x", "state": "waiting"});
            clinic
                .post(&path, "odd", &odd)
                .await
                .expect_problem(422, "invalid-input");
            let blank = json!({"reason": "  "});
            clinic
                .post(&path, "odd", &blank)
                .await
                .expect_problem(422, "invalid-input");
        }
    }
    let nobody = "0197f0a4-3c1e-7000-8000-0d5e3c0fde31";
    for unknown in [nobody, "x", "..%2f"] {
        let path = format!("/ops/v1/dead-letters/{unknown}");
        shop.ask(Call::get(&path).by(&shop.operator))
            .await
            .expect_problem(404, "not-found");
        clinic
            .post(&format!("/dead-letters/{unknown}/redrive"), "unknown", &json!({}))
            .await
            .expect_problem(404, "not-found");
    }
    for query in [
        "dead-letters?state=lost",
        "dead-letters?entity=order",
        "dead-letters?cursor=x",
        "dead-letters?limit=0",
        "dead-letters?colour=red",
        "audit?cursor=x",
        "audit?limit=101",
    ] {
        shop.ask(Call::get(format!("/ops/v1/{query}")).by(&shop.operator))
            .await
            .expect_problem(422, "invalid-input");
    }
    clinic
        .post("/dead-letters/redrive", "odd", &json!({"entity": "order"}))
        .await
        .expect_problem(422, "invalid-input");
}

#[tokio::test]
async fn the_command_line_lists_shows_and_redrives() {
    let clinic = clinic().await;
    let (entity, letters) = clinic.sick("cli@example.org").await;
    let operator = &clinic.shop.operator;
    let run = async |code: i32, args: &[&str]| {
        let output = clinic.cli(operator, args).await;
        let said = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}{complaint}");
        expect_nothing_personal(&said);
        said
    };
    let listed = run(0, &["list", "--json", "--entity", &entity, "--state", "waiting"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(items(&listed).len(), 2);
    let text = run(
        0,
        &["list", "--entity", &entity, "--consumer", "mail", "--limit", "1"],
    )
    .await;
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains(&entity) && text.contains("waiting"), "{text}");
    assert_eq!(
        run(0, &["list", "--consumer", "nobody"]).await,
        "no dead letters\n"
    );

    let letter = id(&letters[0]);
    let shown = run(0, &["show", letter]).await;
    assert!(
        shown.contains("trace_id") && shown.contains("[masked]"),
        "{shown}"
    );
    let shown: Value = serde_json::from_str(&run(0, &["show", letter, "--json"]).await).unwrap();
    assert_eq!(shown["id"], letter);

    let would = run(0, &["redrive", "--entity", &entity, "--dry-run"]).await;
    assert_eq!(would.matches("would_try").count(), 2, "{would}");
    let failed = run(1, &["redrive", letter, "--reason", "from the shell"]).await;
    assert!(failed.contains("failed"), "{failed}");
    clinic.mail.accept("cli@example.org");
    let done = run(
        0,
        &["redrive", "--consumer", "mail", "--entity", &entity, "--json"],
    )
    .await;
    let done: Value = serde_json::from_str(&done).unwrap();
    assert!(
        items(&done).iter().all(|item| item["outcome"] == "done"),
        "{done}"
    );
    assert_eq!(clinic.mail.taken("cli@example.org").len(), 2);

    // Wrong usage, an unknown letter, and somebody who may not.
    run(2, &["redrive"]).await;
    run(2, &["redrive", letter, "--all"]).await;
    run(2, &["list", "--state", "lost"]).await;
    run(1, &["show", "0197f0a4-3c1e-7000-8000-0d5e3c0fde31"]).await;
    let refused = clinic.cli(&clinic.shop.seller, &["list"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("403"));
}
