//! Home, a list with facets, a product.

use super::super::super::model::*;
use super::{card, cards, eur, link, shell};

pub(in crate::http::pages::preview) fn listing(count: usize) -> Listing {
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

pub(in crate::http::pages::preview) fn home() -> HomePage {
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

pub(in crate::http::pages::preview) fn product(place: usize) -> ProductPage {
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
        variants: vec![
            VariantChoice { sku: "79364".to_owned(), label: "As described, €649.99".to_owned() },
            VariantChoice { sku: "79364-W".to_owned(), label: "White, €669.99, sold out".to_owned() },
        ],
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
