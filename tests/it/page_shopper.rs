//! The storefront as a shopper without JavaScript uses it.

use serde_json::json;

use crate::browser::{Browser, Page};
use crate::edge::{Call, eur, shop};
use crate::eventually::eventually;

/// An address for the checkout form.
const ADDRESS: [(&str, &str); 5] = [
    ("email", "ada@example.org"),
    ("name", "Ada Lovelace"),
    ("line1", "Unter den Linden 1"),
    ("postal_code", "10117"),
    ("city", "Berlin"),
];

/// Puts a fresh product into the cart of a browser; its SKU.
async fn fill_cart(browser: &Browser, price: i64) -> String {
    let sku = shop().await.product(price, 50).await;
    let page = browser
        .follow(browser.get(&format!("/p/{sku}")).await)
        .await
        .expect(200);
    browser
        .submit(&page, "/cart/add", &[("quantity", "2")])
        .await
        .leads_to("/cart");
    sku
}

/// Sends the checkout form with a token of the sandbox; the address of the order's page.
async fn order(browser: &Browser, token: &str) -> String {
    let page = browser.get("/checkout").await.expect(200);
    let fields: Vec<_> = ADDRESS.into_iter().chain([("payment_token", token)]).collect();
    browser
        .submit(&page, "/checkout", &fields)
        .await
        .leads_to("/orders/")
}

/// Looks at an order until its page says something.
async fn until(browser: &Browser, path: &str, text: &str) -> Page {
    eventually(&format!("{path} says {text:?}"), async || {
        let page = browser.get(path).await.expect(200);
        if page.html.contains(text) {
            Ok(page)
        } else {
            Err(page.html)
        }
    })
    .await
}

#[tokio::test]
async fn from_the_first_look_to_a_confirmed_order() {
    let browser = Browser::fresh().await;
    let sku = shop().await.product(1_999, 50).await;
    browser.get("/").await.expect(200).says("Prices and stock");
    let found = browser.get(&format!("/search?q={sku}")).await.expect(200);
    found.says(&format!("Thing {sku}")).says("€19.99");
    browser
        .get("/c/other")
        .await
        .expect(200)
        .says("Price, low to high");
    let address = browser.get(&format!("/p/{sku}")).await.leads_to("/p/");
    let product = browser.get(&address).await.expect(200);
    product.says("€19.99").says("In stock").hides("data-session");
    assert_eq!(browser.cookies(), "", "who only looks gets no cookie");

    let added = browser.submit(&product, "/cart/add", &[("quantity", "2")]).await;
    added.leads_to("/cart");
    assert!(browser.cookies().starts_with("session=gss_"));
    let cart = browser.get("/cart").await.expect(200);
    cart.says("€39.98").says("€10.02 more").says("data-session");
    browser.get(&address).await.expect(200).says("2 already in your");
    browser
        .submit(&cart, "/cart/update", &[("quantity", "3")])
        .await
        .leads_to("/cart");
    browser
        .get("/cart")
        .await
        .expect(200)
        .says("€59.97")
        .says("Standard shipping is free");

    let form = browser.get("/checkout").await.expect(200);
    form.says("Order and pay").says("€59.97").says("€69.87");
    let fields: Vec<_> = ADDRESS
        .into_iter()
        .chain([("shipping_method", "express")])
        .collect();
    let placed = browser
        .submit(&form, "/checkout", &fields)
        .await
        .leads_to("/orders/");
    let again = browser
        .submit(&form, "/checkout", &fields)
        .await
        .leads_to("/orders/");
    assert_eq!(placed, again, "a second click is the same order");
    let page = until(&browser, &placed, "Your order is confirmed and paid").await;
    page.says("€69.87")
        .says("Ada Lovelace")
        .says("10117 Berlin")
        .says("Germany");
    browser.get("/cart").await.expect(200).says("Nothing in it yet");
    let orders = browser.get("/account/orders").await.expect(200);
    orders.says(placed.split('?').next().unwrap()).says("€69.87");
    browser.get("/checkout").await.leads_to("/cart");
}

#[tokio::test]
async fn a_payment_that_wants_a_word_is_confirmed_or_refused() {
    let browser = Browser::fresh().await;
    for (outcome, end) in [
        ("succeed", "Your order is confirmed"),
        ("fail", "The payment was declined."),
    ] {
        fill_cart(&browser, 6_000).await;
        let path = order(&browser, "tok_3ds").await;
        let page = until(&browser, &path, "Your bank asks you to confirm").await;
        let action = format!("{}/confirm-payment", path.split('?').next().unwrap());
        let sent = browser.submit(&page, &action, &[("outcome", outcome)]).await;
        sent.leads_to("/orders/");
        until(&browser, &path, end).await;
    }
    fill_cart(&browser, 6_000).await;
    let path = order(&browser, "tok_decline").await;
    until(&browser, &path, "The payment was declined.")
        .await
        .says("nothing charged");
}

#[tokio::test]
async fn a_version_of_a_product_is_chosen() {
    let (browser, shop) = (Browser::fresh().await, shop().await);
    let (sku, blue) = (shop.fresh("V"), shop.fresh("VB"));
    let body = json!({
        "sku": sku, "name": format!("Shirt {sku}"), "price": eur(1_000),
        "variants": [{"sku": blue, "options": {"colour": "blue"}, "price": eur(1_200)}],
    });
    let create = Call::post("/v1/products").by(&shop.seller).key(&sku).json(&body);
    shop.ask(create).await.expect(201);
    let page = browser
        .follow(browser.get(&format!("/p/{sku}")).await)
        .await
        .expect(200);
    page.says("As described, €10.00, sold out")
        .says("blue, €12.00, sold out");
    browser
        .submit(&page, "/cart/add", &[("sku", &blue)])
        .await
        .leads_to("/cart");
    browser
        .get("/cart")
        .await
        .expect(200)
        .says("(blue)")
        .says("€12.00");
}

#[tokio::test]
async fn an_order_is_cancelled_before_it_is_packed() {
    let browser = Browser::fresh().await;
    fill_cart(&browser, 6_000).await;
    let path = order(&browser, "tok_approve").await;
    let page = until(&browser, &path, "Your order is confirmed").await;
    let action = format!("{}/cancel", path.split('?').next().unwrap());
    browser.submit(&page, &action, &[]).await.leads_to("/orders/");
    let page = until(&browser, &path, "This order was cancelled.").await;
    assert!(!page.has_form(&action));
    until(&browser, &path, "came back to you").await;
}

#[tokio::test]
async fn a_form_that_cannot_be_taken_comes_back_as_it_was() {
    let browser = Browser::fresh().await;
    let sku = fill_cart(&browser, 2_000).await;
    let form = browser.get("/checkout").await.expect(200);
    let key = |page: &Page| {
        let fields = page.form("/checkout");
        fields
            .into_iter()
            .find(|(name, _)| name == "idempotency_key")
            .unwrap()
            .1
    };
    let wrong: Vec<_> = ADDRESS
        .into_iter()
        .chain([("email", "ada"), ("city", ""), ("country", "XXX")])
        .collect();
    let back = browser.submit(&form, "/checkout", &wrong).await.expect(422);
    back.says("Please look at the marked fields")
        .says("Please fill this in.")
        .says("Unter den Linden 1");
    assert_eq!(key(&back), key(&form));
    let wrong: Vec<_> = ADDRESS.into_iter().chain([("email", "ada")]).collect();
    browser
        .submit(&form, "/checkout", &wrong)
        .await
        .expect(422)
        .says("must be an e-mail");
    let wrong: Vec<_> = ADDRESS
        .into_iter()
        .chain([("payment_token", "tok_gold")])
        .collect();
    browser
        .submit(&form, "/checkout", &wrong)
        .await
        .expect(422)
        .says("must be one of");

    let price = Call::put(format!("/v1/products/{sku}/price"))
        .by(&shop().await.seller)
        .version(&1.into())
        .json(&eur(2_500));
    shop().await.ask(price).await.expect(200);
    let back = browser.submit(&form, "/checkout", &ADDRESS).await.expect(409);
    back.says("The total has changed")
        .says("€50.00")
        .says("Ada Lovelace");
    assert_eq!(key(&back), key(&form));
    browser
        .get("/cart")
        .await
        .expect(200)
        .says("The price was €20.00");
    browser.submit(&back, "/checkout", &[]).await.leads_to("/orders/");
}

#[tokio::test]
async fn what_a_guest_did_comes_along() {
    let (browser, email) = Browser::registered("Ada").await;
    let first = fill_cart(&browser, 1_000).await;
    let account = browser.get("/account").await.expect(200);
    account.says("Hello, Ada").says(&email).says("No orders yet");
    browser.submit(&account, "/sign-out", &[]).await.leads_to("/");
    browser.get("/cart").await.expect(200).says("Nothing in it yet");
    browser.get("/account").await.leads_to("/sign-in?next=%2Faccount");

    let second = fill_cart(&browser, 1_000).await;
    let page = browser.get("/sign-in?next=/cart").await.expect(200);
    let wrong = [("email", email.as_str()), ("password", "wrong horse battery")];
    let refused = browser.submit(&page, "/sign-in", &wrong).await.expect(422);
    refused
        .says("do not belong together")
        .says(&email)
        .hides("wrong horse");
    let before = browser.cookies();
    let right = [("email", email.as_str()), ("password", "correct horse battery")];
    browser
        .submit(&refused, "/sign-in", &right)
        .await
        .leads_to("/cart");
    assert_ne!(browser.cookies(), before, "a new session for a new person");
    browser.get("/cart").await.expect(200).says(&first).says(&second);
    let path = order(&browser, "tok_approve").await;
    browser
        .get("/account")
        .await
        .expect(200)
        .says(path.split('?').next().unwrap());
}

#[tokio::test]
async fn a_registration_says_what_is_wrong() {
    let (_, email) = Browser::registered("Grace").await;
    let browser = Browser::fresh().await;
    let page = browser.get("/sign-in").await.expect(200);
    let bad = [("name", " "), ("email", "grace"), ("password", "short")];
    let back = browser.submit(&page, "/register", &bad).await.expect(422);
    back.says("at least 8 characters")
        .says("This is not an e-mail.")
        .hides("short\"");
    let taken = [
        ("name", "G"),
        ("email", email.as_str()),
        ("password", "correct horse battery"),
    ];
    browser
        .submit(&back, "/register", &taken)
        .await
        .expect(409)
        .says("There is an account");
    for bad in [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "/sign-in",
    ] {
        let (other, email) = Browser::registered("Eve").await;
        let account = other.get("/account").await;
        other.submit(&account, "/sign-out", &[]).await;
        let page = other.get("/sign-in").await;
        let fields = [
            ("email", email.as_str()),
            ("password", "correct horse battery"),
            ("next", bad),
        ];
        let location = other
            .submit(&page, "/sign-in", &fields)
            .await
            .leads_to("/account");
        assert_eq!(location, "/account", "{bad}");
    }
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_by_mail() {
    let (browser, email) = Browser::registered("Ada").await;
    let stranger = Browser::fresh().await;
    let page = stranger.get("/password-reset").await.expect(200);
    let unknown = [("email", "nobody@example.org")];
    stranger
        .submit(&page, "/password-reset", &unknown)
        .await
        .expect(202)
        .says("If there is an account");
    stranger
        .submit(&page, "/password-reset", &[("email", &email)])
        .await
        .expect(202);
    let mail = eventually("the mail with the link", async || {
        let page = stranger.get(&format!("/dev/mail?to={email}")).await.expect(200);
        let link = page.html.split("href=\"/dev/mail/").nth(1).map(str::to_owned);
        link.ok_or(page.html)
    })
    .await;
    let mail = stranger
        .get(&format!("/dev/mail/{}", mail.split('"').next().unwrap()))
        .await
        .expect(200);
    let link = mail.html.split("/password-reset/").nth(1).unwrap();
    let path = format!("/password-reset/{}", link.split('"').next().unwrap());
    let form = stranger.get(&path).await.expect(200);
    let weak = stranger
        .submit(&form, &path, &[("password", "password")])
        .await
        .expect(422);
    weak.says("most common");
    let new = [("password", "battery staple horse")];
    stranger.submit(&form, &path, &new).await.leads_to("/sign-in");
    stranger
        .submit(&form, &path, &new)
        .await
        .expect(422)
        .says("used already");
    browser.get("/account").await.leads_to("/sign-in");
    let page = browser.get("/sign-in").await;
    let fields = [("email", email.as_str()), ("password", "battery staple horse")];
    browser
        .submit(&page, "/sign-in", &fields)
        .await
        .leads_to("/account");
    let account = browser.get("/account").await.expect(200);
    let wrong = [
        ("current_password", "x"),
        ("new_password", "another horse entirely"),
    ];
    browser
        .submit(&account, "/account/password", &wrong)
        .await
        .expect(422)
        .says("not your current");
    let right = [
        ("current_password", "battery staple horse"),
        ("new_password", "another horse entirely"),
    ];
    browser
        .submit(&account, "/account/password", &right)
        .await
        .leads_to("/account?done=password");
    browser
        .get("/account?done=password")
        .await
        .expect(200)
        .says("Your password is changed");
}

#[tokio::test]
async fn the_link_of_a_mail_opens_one_order() {
    let browser = Browser::fresh().await;
    fill_cart(&browser, 6_000).await;
    let path = order(&browser, "tok_3ds").await;
    let own = path.split('?').next().unwrap().to_owned();
    let id = own.rsplit('/').next().unwrap();
    let mails = eventually("the mail about the order", async || {
        let answer = browser
            .get("/dev/mail.json?to=ada@example.org")
            .await
            .answer
            .json();
        let mails = answer["items"].as_array().unwrap().clone();
        let found = mails
            .iter()
            .find(|mail| mail["text"].as_str().unwrap().contains(id))
            .cloned();
        found.ok_or(mails)
    })
    .await;
    let text = mails["text"].as_str().unwrap();
    let key = text.split(&format!("{id}?key=")).nth(1).unwrap();
    let key = key.split_whitespace().next().unwrap().trim_end_matches('.');

    let stranger = Browser::fresh().await;
    stranger.get(&own).await.leads_to("/sign-in?next=%2Forders%2F");
    stranger
        .get(&format!("{own}?key={}x", &key[1..]))
        .await
        .leads_to("/sign-in");
    let linked = format!("{own}?key={key}");
    let page = until(&stranger, &linked, "Your bank asks you to confirm").await;
    page.hides("data-session").hides(" live>");
    let (other, _) = Browser::registered("Eve").await;
    other.get(&own).await.expect(404);
    until(&other, &linked, "Your bank asks you to confirm").await;
    let action = format!("{own}/confirm-payment");
    let sent = stranger.submit(&page, &action, &[("outcome", "succeed")]).await;
    assert_eq!(sent.leads_to(&own), linked);
    until(&stranger, &linked, "Your order is confirmed").await;
}
