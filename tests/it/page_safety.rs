//! What pages refuse, and what they never do.

use axum::http::Method;

use crate::browser::{Browser, encode};
use crate::edge::{Call, shop};

/// Breaks out of attributes, elements and texts.
const NASTY: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;";

#[tokio::test]
async fn pages_are_for_whom_they_are_for() {
    let stranger = Browser::fresh().await;
    let (shopper, _) = Browser::registered("Ada").await;
    let seller_pages = [
        "/seller/orders",
        "/seller/orders/6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10",
        "/seller/orders/6f1f8c8e-4f3c-5d0a-9a51-0c9d3f7a2b10/slip",
        "/seller/products",
        "/seller/products/new",
        "/seller/products/x",
        "/seller/stock?sku=x",
    ];
    for path in seller_pages {
        let next = stranger.get(path).await.leads_to("/sign-in?next=");
        assert_eq!(next, format!("/sign-in?next={}", encode(path)));
        shopper.get(path).await.expect(403).says("role");
    }
    let token = shopper.get("/account").await.form("/sign-out");
    for path in [
        "/seller/orders/x/pack",
        "/seller/products",
        "/seller/products/x/price",
        "/seller/stock",
    ] {
        shopper.post(path, &token).await.expect(403);
        stranger.post(path, &[]).await.leads_to("/sign-in");
    }
    for path in ["/account", "/account/orders"] {
        stranger.get(path).await.leads_to("/sign-in?next=%2Faccount");
    }
    stranger.post("/account/password", &[]).await.leads_to("/sign-in");
    let seller = Browser::seller().await;
    for path in [
        "/seller/orders",
        "/seller/products",
        "/seller/stock",
        "/account",
        "/cart",
    ] {
        seller.get(path).await.expect(200);
    }
    seller.get("/account/orders").await.expect(403);
}

#[tokio::test]
async fn a_form_counts_only_if_it_is_ours() {
    let (browser, _) = Browser::registered("Ada").await;
    let sku = shop().await.product(1_000, 5).await;
    let product = browser.follow(browser.get(&format!("/p/{sku}")).await).await;
    let good = product.form("/cart/add");
    let ours = [("origin", "http://shop.example")];
    for headers in [
        &[][..],
        &[("origin", "null")],
        &[("origin", "http://evil.example")],
        &[("origin", "http://shop.example.evil.example")],
    ] {
        let page = browser
            .send(Method::POST, "/cart/add", headers, Some(&good))
            .await
            .expect(403);
        page.hides("Send it again");
        let stranger = Browser::fresh().await;
        stranger
            .send(Method::POST, "/cart/add", headers, Some(&good))
            .await
            .expect(403);
        assert_eq!(stranger.cookies(), "");
    }
    let mut wrong = good.clone();
    for token in ["", "AAAA", "x"] {
        wrong.retain(|(name, _)| name != "csrf_token");
        wrong.push(("csrf_token".to_owned(), token.to_owned()));
        browser
            .send(Method::POST, "/cart/add", &ours, Some(&wrong))
            .await
            .expect(403);
    }
    let (other, _) = Browser::registered("Eve").await;
    let theirs = other.get("/account").await.form("/sign-out");
    browser.post("/sign-out", &theirs).await.expect(403);
    browser.get("/cart").await.expect(200).says("Nothing in it yet");
    browser.get("/account").await.expect(200);
    // Through the API the session's cookie needs the same.
    let call = Call::delete("/v1/cart").header("cookie", browser.cookies());
    shop()
        .await
        .ask(call)
        .await
        .expect_problem(403, "cross-site-request");
    let json = [("origin", "http://shop.example"), ("content-type", "text/plain")];
    browser
        .send(Method::POST, "/cart/add", &json, None)
        .await
        .expect(415);
}

#[tokio::test]
async fn a_page_older_than_the_session_can_be_sent_again() {
    let browser = Browser::fresh().await;
    let (one, two) = (
        shop().await.product(1_000, 5).await,
        shop().await.product(1_000, 5).await,
    );
    let first = browser.follow(browser.get(&format!("/p/{one}")).await).await;
    let second = browser.follow(browser.get(&format!("/p/{two}")).await).await;
    browser.submit(&first, "/cart/add", &[]).await.leads_to("/cart");
    let old = browser
        .submit(&second, "/cart/add", &[("quantity", "3")])
        .await
        .expect(403);
    old.says("Please send that once more");
    browser.submit(&old, "/cart/add", &[]).await.leads_to("/cart");
    browser
        .get("/cart")
        .await
        .expect(200)
        .says(&one)
        .says(&two)
        .says("value=\"3\"");
}

#[tokio::test]
async fn what_people_write_stays_text() {
    let shop = shop().await;
    let seller = Browser::seller().await;
    let sku = shop.fresh("X");
    let form = seller.get("/seller/products/new").await;
    let attribute = format!("colour: {NASTY}");
    let fields = [
        ("sku", sku.as_str()),
        ("name", NASTY),
        ("brand", NASTY),
        ("price", "60"),
        ("description", NASTY),
        ("attributes", attribute.as_str()),
    ];
    seller
        .submit(&form, "/seller/products", &fields)
        .await
        .leads_to("/seller/products/");
    shop.stock(&sku, 5).await;

    let (browser, _) = Browser::registered(NASTY).await;
    let product = browser.follow(browser.get(&format!("/p/{sku}")).await).await;
    browser.submit(&product, "/cart/add", &[]).await.leads_to("/cart");
    let checkout = browser.get("/checkout").await;
    let address = [
        ("name", NASTY),
        ("line1", NASTY),
        ("line2", NASTY),
        ("city", NASTY),
        ("region", NASTY),
        ("postal_code", "<b>1</b>"),
        ("shipping_method", "standard"),
    ];
    let wrong: Vec<_> = address.into_iter().chain([("email", NASTY)]).collect();
    let back = browser.submit(&checkout, "/checkout", &wrong).await.expect(422);
    let right: Vec<_> = address
        .into_iter()
        .chain([("email", "ada@example.org")])
        .collect();
    let order = browser
        .submit(&checkout, "/checkout", &right)
        .await
        .leads_to("/orders/");
    let order = order.split('?').next().unwrap();
    let id = order.rsplit('/').next().unwrap();
    let nasty = encode(NASTY);
    let mut pages = vec![product, back];
    for path in [
        "/".to_owned(),
        "/c/other".to_owned(),
        "/cart".to_owned(),
        "/account".to_owned(),
        "/account/orders".to_owned(),
        order.to_owned(),
        format!(
            "/search?q={nasty}&attr.colour={nasty}&attr.{nasty}={nasty}&price_from={nasty}&attr.x.from={nasty}"
        ),
        format!("/search?sort={nasty}&cursor={nasty}"),
        format!("/sign-in?next={nasty}"),
        format!("/c/{nasty}"),
        format!("/p/{nasty}"),
        format!("/orders/{nasty}?key={nasty}"),
        format!("/{nasty}?{nasty}"),
        format!("/password-reset/{nasty}"),
        format!("/dev/mail?to={nasty}"),
    ] {
        pages.push(browser.get(&path).await);
    }
    for path in [
        "/seller/orders".to_owned(),
        format!("/seller/orders/{id}"),
        format!("/seller/orders/{id}/slip"),
        format!("/seller/products?q={nasty}&cursor={nasty}"),
        "/seller/products".to_owned(),
        format!("/seller/products/{sku}"),
        format!("/seller/stock?sku={nasty}"),
        format!("/seller/stock?sku={sku}"),
    ] {
        pages.push(seller.get(&path).await);
    }
    let sign_in = Browser::fresh().await;
    let page = sign_in.get("/sign-in").await;
    let fields = [
        ("name", NASTY),
        ("email", NASTY),
        ("password", NASTY),
        ("next", NASTY),
    ];
    pages.push(sign_in.submit(&page, "/sign-in", &fields).await);
    pages.push(sign_in.submit(&page, "/register", &fields).await);
    for page in &pages {
        assert!(page.answer.status < 500, "{}: {}", page.path, page.html);
        for raw in ["<script>alert", "<img src=x", "<b>1</b>"] {
            page.hides(raw);
        }
        if page.answer.status == 200 {
            assert!(page.html.contains("</html>"), "{} is a page", page.path);
        }
    }
}

#[tokio::test]
async fn looking_changes_nothing_and_is_the_same_for_everybody() {
    let sku = shop().await.product(1_000, 5).await;
    let (one, two) = (Browser::fresh().await, Browser::fresh().await);
    let address = one.get(&format!("/p/{sku}")).await.leads_to("/p/");
    for path in [
        address.as_str(),
        "/imprint",
        "/privacy",
        "/returns",
        "/problems/out-of-stock",
        "/docs",
    ] {
        let page = one.get(path).await.expect(200);
        assert_eq!(page.html, two.get(path).await.html, "{path}");
        let tag = page.answer.header("etag").unwrap();
        assert!(
            page.answer.header("cache-control").unwrap().starts_with("public"),
            "{path}"
        );
        assert_eq!(page.answer.header("vary"), Some("cookie"));
        let again = one.send(Method::GET, path, &[("if-none-match", tag)], None).await;
        assert_eq!(again.answer.status, 304, "{path}");
    }
    for path in ["/", "/c/other", "/search?q=thing&sort=price", "/cart", "/sign-in"] {
        one.get(path).await.expect(200);
    }
    assert_eq!((one.cookies(), two.cookies()), (String::new(), String::new()));
    let (known, _) = Browser::registered("Ada").await;
    let page = known.get(&address).await.expect(200);
    assert_eq!(page.answer.header("etag"), None);
    assert_eq!(page.answer.header("cache-control"), Some("no-store"));

    let picture = one.get(&format!("/art/{sku}.svg")).await;
    assert_eq!(picture.answer.header("content-type"), Some("image/svg+xml"));
    assert!(
        picture
            .answer
            .header("cache-control")
            .unwrap()
            .contains("max-age=86400")
    );
    assert_eq!(one.get("/art/a%20b.svg").await.answer.status, 404);
}

#[tokio::test]
async fn no_is_said_in_the_language_of_the_caller() {
    let browser = Browser::fresh().await;
    for path in [
        "/nowhere",
        "/p/nothing",
        "/c/nothing",
        "/problems/nothing",
        "/dev/mail/999999999",
    ] {
        browser.get(path).await.expect(404).says("There is nothing here");
    }
    shop()
        .await
        .ask(Call::get("/nowhere"))
        .await
        .expect_problem(404, "not-found");
    let plain = Call::get("/v1/nowhere").header("accept", "text/html");
    shop().await.ask(plain).await.expect_problem(404, "not-found");
    let page = browser
        .send(Method::GET, "/cart/add", &[], None)
        .await
        .expect(405);
    page.says("Method not allowed");
    let long = format!("/search?q={}", "x".repeat(9_000));
    browser.get(&long).await.expect(414);
    browser.get("/search?q=%zz").await.expect(200);
    browser
        .get("/search?price_from=x&price_to=-1&sort=no&cursor=x&attr.a.from=b")
        .await
        .expect(200);
}
