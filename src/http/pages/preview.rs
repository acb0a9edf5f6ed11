//! Renders every page with made-up data, checks what all pages promise, and leaves the result in
//! a folder to look at (`GLOBALSHOP_PREVIEW`, without it nothing is written).

mod sample;

use std::fs;
use std::path::Path;

use sample::*;

use super::model::*;
use crate::http::art::product_art;

/// Every page by the name of its file.
fn pages() -> Vec<(&'static str, String)> {
    let render = |page: &dyn askama::DynTemplate| page.dyn_render().expect("a page renders");
    let text = |body: &str| {
        vec![TextSection {
            heading: "Who we are".to_owned(),
            paragraphs: vec![body.to_owned()],
        }]
    };
    let mail = MailSummary {
        id: "1".to_owned(),
        to: "ada@example.org".to_owned(),
        subject: "Your order GS-10423 is confirmed".to_owned(),
        sent_at: when(),
    };
    vec![
        ("home", render(&home())),
        ("home-empty", render(&HomePage { shell: Shell::default(), board: vec![], categories: vec![], shelves: vec![] })),
        ("category", render(&CategoryPage {
            shell: shell("TVs", "/c/tvs"),
            trail: vec![link("/", "Home"), link("/c/electronics", "Electronics")],
            name: "TVs".to_owned(),
            count: 131,
            children: vec![link("/c/lcd", "LCD"), link("/c/plasma", "Plasma")],
            listing: listing(16),
        })),
        ("search", render(&SearchPage {
            shell: Shell { query: "purple fax".to_owned(), ..shell("Search", "/search") },
            listing: Listing { cards: vec![], chips: vec![], next_href: None, ..listing(0) },
            suggestions: vec![link("/search?q=fax", "fax"), link("/c/printers", "Printers")],
        })),
        ("product", render(&product(0))),
        ("product-sold-out", render(&product(3))),
        ("cart", render(&CartPage {
            shell: shell("Cart", "/cart"),
            version: 7,
            lines: vec![cart_line(0, 1), cart_line(1, 2), cart_line(3, 1)],
            subtotal: eur(118_483),
            to_free_shipping: None,
            blocked: None,
        })),
        ("cart-empty", render(&CartPage {
            shell: Shell { cart_count: 0, visitor: None, ..shell("Cart", "/cart") },
            version: 0,
            lines: vec![],
            subtotal: eur(0),
            to_free_shipping: Some(eur(5000)),
            blocked: None,
        })),
        ("checkout", render(&checkout())),
        ("order-pending", render(&order(OrderStatus::Pending, PaymentStatus::RequiresAction))),
        ("order", render(&order(OrderStatus::Shipped, PaymentStatus::Captured))),
        ("order-cancelled", render(&order(OrderStatus::Cancelled, PaymentStatus::Voided))),
        ("sign-in", render(&SignInPage {
            shell: Shell { visitor: None, ..shell("Sign in", "/sign-in") },
            next: "/checkout".to_owned(),
            email: "ada@example.org".to_owned(),
            fault: Some("This e-mail and password do not belong together.".to_owned()),
            register_name: String::new(),
            register_email: String::new(),
            register_errors: FieldErrors::default(),
        })),
        ("password-reset-request", render(&PasswordResetRequestPage { shell: shell("Reset", "/password-reset"), sent: false, email: String::new(), errors: FieldErrors::default() })),
        ("password-reset", render(&PasswordResetPage { shell: shell("Reset", "/password-reset"), token: "t".to_owned(), expired: false, errors: FieldErrors::default() })),
        ("account", render(&AccountPage { shell: shell("Account", "/account"), recent: summaries(), errors: FieldErrors::default() })),
        ("account-orders", render(&AccountOrdersPage { shell: shell("Orders", "/account/orders"), orders: summaries(), next_href: Some("/account/orders?cursor=x".to_owned()) })),
        ("seller-orders", render(&seller_orders())),
        ("seller-order", render(&seller_order(OrderStatus::Packed))),
        ("seller-slip", render(&PackingSlipPage { shell: shell("Slip", "/seller/orders/1/slip"), id: "1".to_owned(), number: "GS-10423".to_owned(), placed_at: when(), lines: order_lines(), address: address(), shipping_method: "Standard".to_owned() })),
        ("seller-products", render(&seller_products())),
        ("seller-product", render(&product_form(Some("1")))),
        ("seller-product-new", render(&product_form(None))),
        ("seller-stock", render(&SellerStockPage {
            shell: shell("Stock", "/seller/stock?sku=79364"),
            sku: "79364".to_owned(),
            figures: Some(StockFigures { sku: "79364".to_owned(), name: "Sharp LC-32D44E".to_owned(), on_hand: 120, held: 14, sold: 31, available: 75 }),
            delta: String::new(),
            reason: String::new(),
            errors: FieldErrors::default(),
            idempotency_key: "key".to_owned(),
        })),
        ("mailbox", render(&MailboxPage { shell: shell("Mailbox", "/dev/mail"), to: String::new(), mails: vec![mail.clone(), mail] })),
        ("mail", render(&MailPage {
            shell: shell("Mail", "/dev/mail/1"),
            from: "GlobalShop <shop@globalshop.example>".to_owned(),
            to: "ada@example.org".to_owned(),
            subject: "Your order GS-10423 is confirmed".to_owned(),
            sent_at: when(),
            message_id: "<order-1-confirmed@globalshop.example>".to_owned(),
            text: "Hello Ada,\n\nyour order is confirmed. Follow it here:\nhttp://localhost:8080/orders/1?key=abc.\n\nGlobalShop".to_owned(),
        })),
        ("error", render(&ErrorPage {
            shell: shell("Not found", "/p/nothing"),
            status: 404,
            title: "There is nothing here".to_owned(),
            detail: "The page may have moved, or the address has a slip in it.".to_owned(),
            problem_href: Some("/problems/not-found".to_owned()),
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            ways_on: vec![link("/search", "Search the shop")],
            repeat: Some(Repeat {
                action: "/cart/add".to_owned(),
                fields: vec![("sku".to_owned(), "79364".to_owned()), ("quantity".to_owned(), "1".to_owned())],
            }),
        })),
        ("problem", render(&ProblemPage {
            shell: shell("Out of stock", "/problems/out-of-stock"),
            slug: "out-of-stock".to_owned(),
            title: "Out of stock".to_owned(),
            status: 409,
            meaning: vec!["There are fewer units than were asked for.".to_owned()],
            remedy: "Ask for fewer, or wait for the product’s channel to say that it is back.".to_owned(),
        })),
        ("text", render(&TextPage { shell: shell("Imprint", "/imprint"), heading: "Imprint".to_owned(), sections: text("GlobalShop Ltd\nSpeicherstadt 7\n20457 Hamburg") })),
        ("docs", render(&DocsPage { shell: shell("API", "/docs") })),
    ]
}

/// Proves that every page renders and keeps what the content security policy and the forms rest
/// on: nothing inline, a token in every form that posts, a label for every visible field.
#[test]
fn every_page_keeps_its_promises() {
    let pages = pages();
    for (name, html) in &pages {
        assert!(
            html.trim_start().starts_with("<!doctype html>"),
            "{name} is a document"
        );
        for banned in [" style=", "<style", " onclick=", " onsubmit=", "javascript:"] {
            assert!(!html.contains(banned), "{name} contains {banned:?}");
        }
        for script in html.split("<script").skip(1) {
            assert!(
                script.split('>').next().is_some_and(|tag| tag.contains("src=")),
                "{name} has an inline script"
            );
        }
        for form in html.split("<form").skip(1) {
            let form = form.split("</form>").next().unwrap_or_default();
            if form.contains("method=\"post\"") {
                assert!(
                    form.contains("name=\"csrf_token\""),
                    "{name} has a form without a token: {form}"
                );
            }
        }
        for id in html
            .split(" id=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
        {
            assert_eq!(
                html.matches(&format!(" id=\"{id}\"")).count(),
                1,
                "{name}: id {id} is not unique"
            );
        }
        for label in html
            .split("<label")
            .skip(1)
            .filter_map(|rest| rest.split("for=\"").nth(1)?.split('"').next())
        {
            assert!(
                html.contains(&format!("id=\"{label}\"")),
                "{name}: label for {label} points nowhere"
            );
        }
    }
    if let Ok(folder) = std::env::var("GLOBALSHOP_PREVIEW") {
        write(Path::new(&folder), &pages).expect("the preview is written");
    }
}

fn write(folder: &Path, pages: &[(&str, String)]) -> std::io::Result<()> {
    fs::create_dir_all(folder.join("art"))?;
    for (name, html) in pages {
        fs::write(folder.join(format!("{name}.html")), html)?;
    }
    for (id, category, brand, ..) in PRODUCTS {
        fs::write(
            folder.join(format!("art/{id}.svg")),
            product_art(id, category, brand),
        )?;
    }
    Ok(())
}
