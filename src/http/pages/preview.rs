//! Renders every page with made-up data, checks what all pages promise, and leaves the result in
//! a folder to look at (`GLOBALSHOP_PREVIEW`, without it nothing is written).

use std::fs;
use std::path::Path;

use time::macros::datetime;

use super::model::*;
use crate::http::art::product_art;

/// What a picture is drawn from: id, category, brand.
const PRODUCTS: [(&str, &str, &str, &str, i64); 16] = [
    (
        "79364",
        "televisions",
        "Sharp",
        "LC-32D44E 32″ HD-ready LCD television",
        64_999,
    ),
    (
        "1578896",
        "toner",
        "Lexmark",
        "C7722KX toner cartridge, extra high yield, black",
        26_295,
    ),
    (
        "490165",
        "paper",
        "HP",
        "Advanced glossy photo paper, A4, 25 sheets",
        1_995,
    ),
    ("644953", "batteries", "Varta", "CR2450 lithium battery", 894),
    (
        "63295",
        "projectors",
        "Canon",
        "LV-LP13 lamp for LV-7545 projectors, 200 W UHP",
        11_595,
    ),
    (
        "2006083",
        "software",
        "APC",
        "InfraStruXure Central, one year of support for 25 nodes",
        31_195,
    ),
    (
        "474391",
        "home",
        "Philips",
        "GC8280/02 pressurised steam generator",
        2_995,
    ),
    (
        "911",
        "laptops",
        "Fujitsu",
        "Lifebook S7220, 14.1″, Core 2 Duo, 160 GB",
        129_900,
    ),
    (
        "912",
        "network",
        "D-Link",
        "DGS-1016D 16-port gigabit desktop switch",
        8_999,
    ),
    (
        "913",
        "phones",
        "Nokia",
        "6300 classic mobile phone, silver",
        15_900,
    ),
    (
        "914",
        "cameras",
        "Canon",
        "EOS 450D body with EF-S 18-55 mm IS lens kit",
        59_900,
    ),
    (
        "915",
        "headphones",
        "Sennheiser",
        "HD 515 open headphones for home and hi-fi",
        7_495,
    ),
    (
        "916",
        "storage",
        "LaCie",
        "500 GB hard disk, design by Neil Poulton, USB 2.0",
        10_500,
    ),
    ("917", "cables", "Belkin", "Gold series USB 2.0 cable, 3 m", 1_299),
    (
        "918",
        "keyboards",
        "Logitech",
        "Cordless desktop EX 110, keyboard and mouse",
        3_999,
    ),
    ("919", "ups", "APC", "Back-UPS ES 700 VA, eight outlets", 9_490),
];

fn eur(amount: i64) -> Money {
    Money::new(amount, "EUR")
}

fn when() -> When {
    When::from(datetime!(2026-11-22 06:52:38 UTC))
}

fn link(href: &str, text: &str) -> Link {
    Link {
        href: href.to_owned(),
        text: text.to_owned(),
    }
}

fn shell(title: &str, path: &str) -> Shell {
    let names = [
        "TVs",
        "Monitors",
        "Printers",
        "Toner and ink",
        "Laptops",
        "Phones",
        "Cameras",
        "Audio",
        "Storage",
        "Network",
    ];
    Shell {
        title: title.to_owned(),
        path: path.to_owned(),
        csrf_token: "token".to_owned(),
        has_session: true,
        visitor: Some(Visitor {
            name: "Ada Lovelace".to_owned(),
            email: "ada@example.org".to_owned(),
            seller: true,
            operator: false,
        }),
        cart_count: 3,
        categories: names
            .iter()
            .map(|name| NavCategory {
                slug: name.to_lowercase(),
                name: (*name).to_owned(),
                current: *name == "TVs" && path.starts_with("/c/"),
            })
            .collect(),
        local_mailbox: true,
        ..Shell::default()
    }
}

fn card(place: usize) -> ProductCard {
    let (id, _, brand, name, price) = PRODUCTS[place % PRODUCTS.len()];
    ProductCard {
        id: id.to_owned(),
        slug: format!("product-{id}"),
        sku: id.to_owned(),
        name: name.to_owned(),
        brand: brand.to_owned(),
        price: eur(price),
        sale_price: (place % 5 == 2).then(|| eur(price * 8 / 10)),
        availability: [
            Availability::InStock,
            Availability::InStock,
            Availability::Low,
            Availability::OutOfStock,
        ][place % 4],
    }
}

fn cards(from: usize, count: usize) -> Vec<ProductCard> {
    (from..from + count).map(card).collect()
}

fn cart_line(place: usize, quantity: u32) -> CartLine {
    let card = card(place);
    CartLine {
        sku: card.sku,
        product_id: card.id,
        slug: card.slug,
        name: card.name,
        quantity,
        unit_price: card.price.clone(),
        previous_price: (place == 1).then(|| eur(24_900)),
        line_total: eur(card.price.amount * i64::from(quantity)),
        availability: card.availability,
        notice: (place == 3).then(|| "Sold out right now. Take it out to order the rest.".to_owned()),
    }
}

fn order_lines() -> Vec<OrderLine> {
    (0..3)
        .map(|place| {
            let card = card(place);
            OrderLine {
                sku: card.sku,
                product_id: card.id,
                slug: card.slug,
                name: card.name,
                quantity: 1,
                unit_price: card.price.clone(),
                line_total: card.price,
            }
        })
        .collect()
}

fn totals() -> Totals {
    Totals {
        subtotal: eur(93_289),
        shipping: eur(0),
        tax: eur(14_895),
        total: eur(93_289),
    }
}

fn address() -> Address {
    Address {
        name: "Ada Lovelace".to_owned(),
        street: vec!["Speicherstadt 7".to_owned(), "2nd floor".to_owned()],
        town: "20457 Hamburg".to_owned(),
        country: "Germany".to_owned(),
    }
}

fn history(end: OrderStatus) -> Vec<HistoryEntry> {
    end.track()
        .into_iter()
        .take_while(|step| step.state != StepState::Ahead)
        .map(|step| HistoryEntry {
            at: when(),
            status: step.status,
            detail: match step.status {
                OrderStatus::Cancelled => Some("out_of_stock".to_owned()),
                OrderStatus::Shipped => Some("DHL 00340434292135100186".to_owned()),
                _ => None,
            },
        })
        .collect()
}

fn payment(status: PaymentStatus) -> PaymentSummary {
    PaymentSummary {
        status,
        provider: "sandbox".to_owned(),
        amount: eur(93_289),
        refunded: eur(0),
    }
}

fn shipments() -> Vec<Shipment> {
    vec![Shipment {
        carrier: "DHL".to_owned(),
        tracking_number: "00340434292135100186".to_owned(),
        shipped_at: Some(when()),
        delivered_at: None,
    }]
}

fn order(status: OrderStatus, paid: PaymentStatus) -> OrderPage {
    OrderPage {
        shell: shell("Order GS-10423", "/orders/1"),
        id: "1".to_owned(),
        key: String::new(),
        number: "GS-10423".to_owned(),
        placed_at: when(),
        status,
        history: history(status),
        lines: order_lines(),
        totals: totals(),
        payment: payment(paid),
        shipments: if status == OrderStatus::Shipped {
            shipments()
        } else {
            Vec::new()
        },
        address: address(),
        email: "ada@example.org".to_owned(),
        can_cancel: matches!(status, OrderStatus::Pending | OrderStatus::Confirmed),
        idempotency_key: "key".to_owned(),
        live: true,
        just_placed: status == OrderStatus::Pending,
    }
}

fn seller_order(status: OrderStatus) -> SellerOrderPage {
    SellerOrderPage {
        shell: shell("Order GS-10423", "/seller/orders/1"),
        id: "1".to_owned(),
        number: "GS-10423".to_owned(),
        placed_at: when(),
        status,
        history: history(status),
        lines: order_lines(),
        totals: totals(),
        payment: payment(PaymentStatus::Captured),
        shipments: Vec::new(),
        address: address(),
        email: "ada@example.org".to_owned(),
        idempotency_key: "key".to_owned(),
        refundable: eur(93_289),
        errors: FieldErrors::default(),
    }
}

fn listing(count: usize) -> Listing {
    let value = |label: &str, count, selected| FacetValue {
        value: label.to_owned(),
        label: label.to_owned(),
        count,
        selected,
    };
    Listing {
        action: "/c/tvs".to_owned(),
        cards: cards(0, count),
        sort: Sort::Relevance,
        price_from: String::new(),
        price_to: "700".to_owned(),
        facets: vec![
            Facet {
                name: "brand".to_owned(),
                label: "Brand".to_owned(),
                values: vec![
                    value("Sharp", 24, true),
                    value("Philips", 18, false),
                    value("Samsung", 15, false),
                    value("Sony", 9, false),
                ],
                range: None,
            },
            Facet {
                name: "display_diagonal".to_owned(),
                label: "Display diagonal".to_owned(),
                values: Vec::new(),
                range: Some(FacetRange {
                    min: "15".to_owned(),
                    max: "65".to_owned(),
                    from: String::new(),
                    to: String::new(),
                }),
            },
            Facet {
                name: "product_colour".to_owned(),
                label: "Colour".to_owned(),
                values: vec![
                    value("Black", 61, false),
                    value("Silver", 22, false),
                    value("White", 7, false),
                ],
                range: None,
            },
            Facet {
                name: "hd_type".to_owned(),
                label: "HD type".to_owned(),
                values: vec![value("Full HD", 31, false), value("HD-Ready", 40, false)],
                range: None,
            },
        ],
        chips: vec![
            FilterChip {
                text: "Brand: Sharp".to_owned(),
                remove_href: "/c/tvs".to_owned(),
            },
            FilterChip {
                text: "Up to €700".to_owned(),
                remove_href: "/c/tvs".to_owned(),
            },
        ],
        clear_href: "/c/tvs".to_owned(),
        next_href: (count > 0).then(|| "/c/tvs?cursor=x".to_owned()),
        first_href: None,
    }
}

fn home() -> HomePage {
    let names = [
        "TVs",
        "Toner and ink",
        "Paper",
        "Batteries",
        "Projectors",
        "Software",
        "Home",
        "Laptops",
        "Network",
        "Phones",
        "Cameras",
        "Audio",
    ];
    HomePage {
        shell: shell("", "/"),
        board: cards(5, 6),
        categories: names
            .iter()
            .enumerate()
            .map(|(place, name)| CategoryTile {
                slug: name.to_lowercase(),
                name: (*name).to_owned(),
                count: 37 * (place as u64 + 3),
                product_id: card(place).id,
            })
            .collect(),
        shelves: vec![
            Shelf {
                title: "New in".to_owned(),
                more: Some(link("/search?sort=newest", "All new products")),
                cards: cards(7, 5),
            },
            Shelf {
                title: "Under €50".to_owned(),
                more: Some(link("/search?price_to=50", "All under €50")),
                cards: cards(1, 5),
            },
        ],
    }
}

fn product(place: usize) -> ProductPage {
    let card = card(place);
    let row = |label: &str, value: &str| AttributeRow {
        label: label.to_owned(),
        value: value.to_owned(),
    };
    ProductPage {
        shell: shell(&card.name, "/p/product"),
        trail: vec![link("/", "Home"), link("/c/tvs", "TVs")],
        id: card.id,
        sku: card.sku,
        name: format!("{} {}", card.brand, card.name),
        brand: Some(link("/search?attr.brand=Sharp", &card.brand)),
        category: "TVs".to_owned(),
        price: card.price.clone(),
        sale_price: (place == 2).then(|| eur(card.price.amount * 8 / 10)),
        availability: card.availability,
        in_cart: 1,
        delivery: "€4.90, free from €50. Express €9.90.".to_owned(),
        notice: None,
        description: vec!["A 32-inch screen with a wide viewing angle, two HDMI inputs and a built-in DVB-T tuner. It switches itself off when nobody watches, and stands on a glass foot or hangs on the wall.".to_owned()],
        attributes: vec![
            AttributeGroup { title: "Display".to_owned(), rows: vec![row("Display diagonal", "32″"), row("Resolution", "1366 × 768"), row("HD type", "HD-Ready"), row("Contrast ratio", "7,500 to 1")] },
            AttributeGroup { title: "Connections".to_owned(), rows: vec![row("HDMI ports", "2"), row("SCART ports", "2"), row("Headphone outputs", "1"), row("Ethernet", "No")] },
            AttributeGroup { title: "Power".to_owned(), rows: vec![row("In use", "140 W"), row("On standby", "0.9 W")] },
        ],
        identifiers: vec![row("GTIN", "4974019560816"), row("Part number", "LC-32D44E-BK")],
        related: cards(7, 5),
    }
}

fn checkout() -> CheckoutPage {
    let way = |method: &str, label: &str, promise: &str, cost, selected| ShippingChoice {
        method: method.to_owned(),
        label: label.to_owned(),
        promise: promise.to_owned(),
        cost: eur(cost),
        tax: eur((93_289 + cost) * 19 / 119),
        total: eur(93_289 + cost),
        selected,
    };
    CheckoutPage {
        shell: shell("Checkout", "/checkout"),
        idempotency_key: "key".to_owned(),
        values: CheckoutValues {
            email: "ada@example.org".to_owned(),
            name: "Ada Lovelace".to_owned(),
            country: "DE".to_owned(),
            ..CheckoutValues::default()
        },
        errors: FieldErrors(vec![FieldError {
            field: "postal_code".to_owned(),
            message: "Please give a postal code.".to_owned(),
        }]),
        fault: None,
        countries: [("AT", "Austria"), ("DE", "Germany"), ("FR", "France")]
            .map(|(code, name)| Country {
                code: code.to_owned(),
                name: name.to_owned(),
            })
            .to_vec(),
        shipping: vec![
            way(
                "standard",
                "Standard",
                "Arrives in two to four working days",
                0,
                true,
            ),
            way(
                "express",
                "Express",
                "Arrives on the next working day",
                990,
                false,
            ),
        ],
        payment: PaymentChoice::sandbox(None),
        lines: vec![cart_line(0, 1), cart_line(1, 1), cart_line(2, 1)],
        subtotal: eur(93_289),
    }
}

fn summaries() -> Vec<OrderSummary> {
    [
        OrderStatus::Pending,
        OrderStatus::Shipped,
        OrderStatus::Delivered,
        OrderStatus::Cancelled,
    ]
    .into_iter()
    .enumerate()
    .map(|(place, status)| OrderSummary {
        id: place.to_string(),
        number: format!("GS-1042{place}"),
        placed_at: when(),
        status,
        units: 3,
        first_line: card(place).name,
        product_ids: cards(place, 3).into_iter().map(|card| card.id).collect(),
        total: eur(93_289),
    })
    .collect()
}

fn seller_orders() -> SellerOrdersPage {
    SellerOrdersPage {
        shell: shell("Orders", "/seller/orders"),
        counts: OrderStatus::ALL
            .into_iter()
            .enumerate()
            .map(|(place, status)| StatusCount {
                status,
                count: 41 % (place as u64 + 2) * 7,
                selected: false,
            })
            .collect(),
        all_selected: true,
        orders: OrderStatus::ALL
            .into_iter()
            .enumerate()
            .map(|(place, status)| SellerOrderRow {
                id: place.to_string(),
                number: format!("GS-1042{place}"),
                placed_at: when(),
                status,
                payment: PaymentStatus::Captured,
                customer: "Ada Lovelace".to_owned(),
                destination: "Hamburg, DE".to_owned(),
                units: 3,
                total: eur(93_289),
            })
            .collect(),
        next_href: Some("/seller/orders?cursor=x".to_owned()),
    }
}

fn seller_products() -> SellerProductsPage {
    SellerProductsPage {
        shell: shell("Products", "/seller/products"),
        filter: String::new(),
        products: cards(0, 8)
            .into_iter()
            .enumerate()
            .map(|(place, card)| SellerProductRow {
                id: card.id,
                slug: card.slug,
                sku: card.sku,
                name: card.name,
                brand: card.brand,
                price: card.price,
                published: place != 3,
                version: 4,
                available: (place != 5).then_some(120),
            })
            .collect(),
        next_href: None,
    }
}

fn product_form(id: Option<&str>) -> ProductFormPage {
    ProductFormPage {
        shell: shell("Product", "/seller/products/1"),
        id: id.map(str::to_owned),
        slug: "x".to_owned(),
        version: 4,
        values: ProductValues {
            sku: "79364".to_owned(),
            name: "Sharp LC-32D44E".to_owned(),
            brand: "Sharp".to_owned(),
            category: "tvs".to_owned(),
            price: "649.99".to_owned(),
            currency: "EUR".to_owned(),
            description: "A 32-inch screen.".to_owned(),
            attributes: "display_diagonal: 32\nhd_type: HD-Ready".to_owned(),
            published: true,
        },
        categories: vec![
            ("tvs".to_owned(), "TVs".to_owned()),
            ("other".to_owned(), "Other".to_owned()),
        ],
        errors: FieldErrors::default(),
        idempotency_key: "key".to_owned(),
    }
}

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
