//! The seller's desk without JavaScript: orders, products, stock.

use serde_json::json;

use crate::browser::{Browser, Page};
use crate::edge::{Call, shop};

/// A confirmed order of a fresh product: its id.
async fn confirmed_order() -> String {
    let shop = shop().await;
    let guest = shop.guest().await;
    let sku = shop.product(5_000, 9).await;
    shop.put(&guest, &sku, 2).await.expect(200);
    let placed = shop
        .ask(shop.checkout(&guest, "k", "tok_approve"))
        .await
        .expect(202);
    let id = placed["order_id"].as_str().unwrap().to_owned();
    shop.order_in(&guest, &id, "confirmed").await;
    id
}

#[tokio::test]
async fn an_order_goes_out_of_the_house() {
    let id = confirmed_order().await;
    let seller = Browser::seller().await;
    let list = seller.get("/seller/orders").await.expect(200);
    list.says(&format!("/seller/orders/{id}"))
        .says("Ada Lovelace")
        .says("Berlin, DE")
        .says("€100.00");
    seller
        .get("/seller/orders?status=delivered")
        .await
        .expect(200)
        .hides(&id);
    let path = format!("/seller/orders/{id}");
    let page = seller.get(&path).await.expect(200);
    seller
        .get(&format!("{path}/slip"))
        .await
        .expect(200)
        .says("Packing slip")
        .says("Items in this parcel");

    let action = format!("{path}/pack");
    seller.submit(&page, &action, &[]).await.leads_to(&path);
    seller.submit(&page, &action, &[]).await.leads_to(&path);
    seller
        .get("/seller/orders?status=packed")
        .await
        .expect(200)
        .says(&id);
    let page = seller.get(&path).await.expect(200);
    let action = format!("{path}/ship");
    let empty = seller
        .submit(&page, &action, &[("carrier", "DHL")])
        .await
        .expect(422);
    empty.says("Please fill this in.");
    let parcel = [("carrier", "DHL"), ("tracking_number", "0034")];
    seller.submit(&page, &action, &parcel).await.leads_to(&path);
    let page = seller.get(&path).await.expect(200);
    page.says("DHL").says("0034");
    let action = format!("{path}/refunds");
    let much = [("amount", "100.01"), ("reason", "scratched")];
    let refused = seller.submit(&page, &action, &much).await.expect(409);
    refused.says("100.00");
    for bad in ["ten", "-1", "0"] {
        seller
            .submit(&page, &action, &[("amount", bad), ("reason", "x")])
            .await
            .expect(422);
    }
    let some = [("amount", "19,99"), ("reason", "scratched")];
    seller
        .submit(&refused, &action, &some)
        .await
        .leads_to(&format!("{path}?done=refund"));
    let page = seller.get(&path).await.expect(200);
    page.says("Up to €80.01");
    seller
        .submit(&page, &format!("{path}/deliver"), &[])
        .await
        .leads_to(&path);
    seller
        .get(&path)
        .await
        .expect(200)
        .says("Delivered. Nothing left to do.");
    let key = [
        ("reason".to_owned(), "late".to_owned()),
        ("idempotency_key".to_owned(), "c".to_owned()),
    ];
    let token = page
        .form(&action)
        .into_iter()
        .find(|(name, _)| name == "csrf_token")
        .unwrap();
    let fields: Vec<_> = key.into_iter().chain([token]).collect();
    seller.post(&format!("{path}/cancel"), &fields).await.expect(409);
    seller.post(&format!("{path}/explode"), &fields).await.expect(404);
}

#[tokio::test]
async fn a_product_is_made_changed_and_hidden() {
    let seller = Browser::seller().await;
    let shopper = Browser::fresh().await;
    let sku = shop().await.fresh("T");
    let form = seller.get("/seller/products/new").await.expect(200);
    let fields = [
        ("sku", sku.as_str()),
        ("name", "Tea pot"),
        ("brand", "Clay & Sons"),
        ("price", "24.90"),
        ("description", "Holds tea.\r\n\r\nAnd more tea."),
        ("attributes", "colour: black\r\nvolume: 1.5\r\nlid: true"),
    ];
    let bad = seller
        .submit(&form, "/seller/products", &[("sku", "a b"), ("price", "x")])
        .await
        .expect(422);
    bad.says("Please fill this in.");
    let wrong: Vec<_> = fields.into_iter().chain([("attributes", "no colon")]).collect();
    seller
        .submit(&form, "/seller/products", &wrong)
        .await
        .expect(422)
        .says("Line 1 needs a colon");
    let path = format!("/seller/products/{sku}");
    seller
        .submit(&form, "/seller/products", &fields)
        .await
        .leads_to(&path);
    let page = seller.get(&path).await.expect(200);
    page.says("colour: black\n").says("volume: 1.5").says("lid: true");
    let list = seller.get(&format!("/seller/products?q={sku}")).await.expect(200);
    list.says("Tea pot").says("Clay &#38; Sons").says("€24.90");

    let address = shopper.get(&format!("/p/{sku}")).await.leads_to("/p/tea-pot");
    let product = shopper.get(&address).await.expect(200);
    product
        .says("And more tea.")
        .says("Sold out")
        .says("Yes")
        .says("attr.brand=Clay%20%26%20Sons");
    let price = format!("{path}/price");
    seller.submit(&page, &price, &[("price", "x")]).await.expect(422);
    seller
        .submit(&page, &price, &[("price", "19.90")])
        .await
        .leads_to(&path);
    shopper.get(&address).await.expect(200).says("€19.90");

    let changed = [("name", "Tea pot, large"), ("attributes", "colour: red")];
    let stale = seller.submit(&page, &path, &changed).await.expect(412);
    stale
        .says("Somebody else has changed")
        .says("Tea pot, large")
        .says("colour: red");
    seller.submit(&stale, &path, &[]).await.leads_to(&path);
    let product = shopper.get(&address).await.expect(200);
    product.says("Tea pot, large").says("red").hides("Lid");

    let page = seller.get(&path).await.expect(200);
    let hide = format!("{path}/published");
    seller
        .submit(&page, &hide, &[("published", "false")])
        .await
        .leads_to(&path);
    shopper.get(&address).await.expect(404);
    seller
        .get(&address)
        .await
        .expect(200)
        .says("only sellers see this page");
    let list = seller.get(&format!("/seller/products?q={sku}")).await.expect(200);
    list.says("Hidden");
    seller
        .submit(&list, &hide, &[("published", "true")])
        .await
        .leads_to(&path);
    shopper.get(&address).await.expect(200);
    seller.get("/seller/products/no-such-thing").await.expect(404);
}

#[tokio::test]
async fn a_hidden_product_is_born_hidden() {
    let seller = Browser::seller().await;
    let sku = shop().await.fresh("H");
    let page = seller.get("/seller/products/new").await.expect(200);
    let mut fields = page.form("/seller/products");
    fields.retain(|(name, _)| !["published", "sku", "name", "price"].contains(&name.as_str()));
    for (name, value) in [("sku", sku.as_str()), ("name", "Secret"), ("price", "1")] {
        fields.push((name.to_owned(), value.to_owned()));
    }
    seller
        .post("/seller/products", &fields)
        .await
        .leads_to("/seller/products/");
    Browser::fresh().await.get(&format!("/p/{sku}")).await.expect(404);
}

#[tokio::test]
async fn stock_is_looked_up_and_adjusted() {
    let seller = Browser::seller().await;
    let sku = shop().await.product(1_000, 7).await;
    seller.get("/seller/stock").await.expect(200).says("Which item?");
    seller
        .get("/seller/stock?sku=nothing-like-it")
        .await
        .expect(200)
        .says("There is no item");
    let path = format!("/seller/stock?sku={sku}");
    let page = seller.get(&path).await.expect(200);
    let figure = |page: &Page, name: &str| {
        let rest = page.html.split(&format!("<dt>{name}</dt><dd>")).nth(1).unwrap();
        rest.split('<').next().unwrap().to_owned()
    };
    assert_eq!(figure(&page, "On hand"), "7");
    let more = [("delta", "+5"), ("reason", "delivery")];
    seller
        .submit(&page, "/seller/stock", &more)
        .await
        .leads_to("/seller/stock?sku=");
    seller
        .submit(&page, "/seller/stock", &more)
        .await
        .leads_to("/seller/stock?sku=");
    let page = seller.get(&path).await.expect(200);
    assert_eq!(figure(&page, "On hand"), "12", "the same form counts once");
    let all = [("delta", "-13"), ("reason", "lost")];
    let refused = seller.submit(&page, "/seller/stock", &all).await.expect(409);
    refused.says("lost").says("-13");
    for bad in ["0", "x", "1.5", ""] {
        let fields = [("delta", bad), ("reason", "count")];
        seller.submit(&page, "/seller/stock", &fields).await.expect(422);
    }
    let body = json!({"delta": 1, "reason": "x"});
    let call = Call::post(format!("/v1/stock/{sku}/adjustments"))
        .by(&shop().await.seller)
        .key("y")
        .json(&body);
    shop().await.ask(call).await.expect(200);
    assert_eq!(figure(&seller.get(&path).await, "Available"), "13");
}
