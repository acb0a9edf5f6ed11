//! Made-up data that shows each page at work: long names, sold-out items, changed prices.

mod catalogue;

use time::macros::datetime;

use super::super::model::*;
pub(super) use catalogue::{home, listing, product};

/// What a picture is drawn from: id, category, brand.
pub(super) const PRODUCTS: [(&str, &str, &str, &str, i64); 16] = [
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

pub(super) fn eur(amount: i64) -> Money {
    Money::new(amount, "EUR")
}

pub(super) fn when() -> When {
    When::from(datetime!(2026-11-22 06:52:38 UTC))
}

pub(super) fn link(href: &str, text: &str) -> Link {
    Link {
        href: href.to_owned(),
        text: text.to_owned(),
    }
}

pub(super) fn shell(title: &str, path: &str) -> Shell {
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

pub(super) fn card(place: usize) -> ProductCard {
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

pub(super) fn cards(from: usize, count: usize) -> Vec<ProductCard> {
    (from..from + count).map(card).collect()
}

pub(super) fn cart_line(place: usize, quantity: u32) -> CartLine {
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

pub(super) fn order_lines() -> Vec<OrderLine> {
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

pub(super) fn totals() -> Totals {
    Totals {
        subtotal: eur(93_289),
        shipping: eur(0),
        tax: eur(14_895),
        total: eur(93_289),
    }
}

pub(super) fn address() -> Address {
    Address {
        name: "Ada Lovelace".to_owned(),
        street: vec!["Speicherstadt 7".to_owned(), "2nd floor".to_owned()],
        town: "20457 Hamburg".to_owned(),
        country: "Germany".to_owned(),
    }
}

pub(super) fn history(end: OrderStatus) -> Vec<HistoryEntry> {
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

pub(super) fn payment(status: PaymentStatus) -> PaymentSummary {
    PaymentSummary {
        status,
        provider: "sandbox".to_owned(),
        amount: eur(93_289),
        refunded: eur(0),
    }
}

pub(super) fn shipments() -> Vec<Shipment> {
    vec![Shipment {
        carrier: "DHL".to_owned(),
        tracking_number: "00340434292135100186".to_owned(),
        shipped_at: Some(when()),
        delivered_at: None,
    }]
}

pub(super) fn order(status: OrderStatus, paid: PaymentStatus) -> OrderPage {
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

pub(super) fn seller_order(status: OrderStatus) -> SellerOrderPage {
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

pub(super) fn checkout() -> CheckoutPage {
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

pub(super) fn summaries() -> Vec<OrderSummary> {
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

pub(super) fn seller_orders() -> SellerOrdersPage {
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

pub(super) fn seller_products() -> SellerProductsPage {
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

pub(super) fn product_form(id: Option<&str>) -> ProductFormPage {
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
