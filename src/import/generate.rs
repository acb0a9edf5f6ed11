//! Products nobody sells: a small catalogue written by hand for the demo, and as many more as
//! wanted, made up for measuring.
//!
//! Deterministic: the same numbers give the same products, on any machine, in any build. The
//! randomness is a formula seeded by the caller, so this is data and not chance. Made-up products
//! go through [`Draft::finish`] like those of any file.

use std::collections::BTreeMap;

use super::jsonl;
use super::product::{Draft, ImportedProduct};
use crate::domain::Currency;
use crate::domain::product::Attribute;

/// The demo catalogue: a few dozen products of invented brands over many categories, some of them
/// nearly or quite sold out.
#[must_use]
pub fn demo() -> Vec<ImportedProduct> {
    include_bytes!("demo.jsonl")
        .split(|&byte| byte == b'\n')
        .zip(1..)
        .filter(|(line, _)| !line.is_empty())
        .filter_map(|(line, row)| jsonl::read(line, Currency::EUR).ok()?.finish(row).ok())
        .collect()
}

/// `count` made-up products; another `seed` makes up others under the same SKUs. Each is made when
/// it is asked for, so memory does not grow with `count`.
pub fn generate(count: u64, seed: u64) -> impl Iterator<Item = ImportedProduct> {
    (1..=count).filter_map(move |number| {
        let mut dice = Dice(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        made_up(number, &mut dice).finish(number).ok()
    })
}

/// SplitMix64 (Steele, Lea, Flood 2014): well mixed, tiny, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `below` - 1.
    fn below(&mut self, below: u64) -> u64 {
        // The bias of the remainder is far below anything a catalogue shows.
        self.roll() % below.max(1)
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let index = self.below(choices.len() as u64);
        &choices[usize::try_from(index).unwrap_or(0)]
    }
}

/// One attribute of a family of products.
struct Feature {
    key: &'static str,
    values: Values,
    /// How the name mentions it, `#` standing for the value; empty if it does not.
    mention: &'static str,
}

enum Values {
    Texts(&'static [&'static str]),
    Numbers(&'static [f64]),
    Flag,
}

/// Products of one kind.
struct Family {
    category: &'static str,
    noun: &'static str,
    /// Whole units of money, from and to.
    price: (u64, u64),
    features: &'static [Feature],
}

const fn texts(key: &'static str, values: &'static [&'static str], mention: &'static str) -> Feature {
    Feature {
        key,
        values: Values::Texts(values),
        mention,
    }
}

const fn numbers(key: &'static str, values: &'static [f64], mention: &'static str) -> Feature {
    Feature {
        key,
        values: Values::Numbers(values),
        mention,
    }
}

const fn flag(key: &'static str) -> Feature {
    Feature {
        key,
        values: Values::Flag,
        mention: "",
    }
}

const COLOURS: &[&str] = &[
    "Black", "White", "Silver", "Grey", "Blue", "Red", "Green", "Sand", "Coral", "Navy", "Olive", "Yellow",
];

const FAMILIES: &[Family] = &[
    Family {
        category: "televisions",
        noun: "TV",
        price: (199, 2_499),
        features: &[
            numbers(
                "display_diagonal",
                &[24.0, 32.0, 40.0, 43.0, 50.0, 55.0, 65.0, 75.0],
                "# inch",
            ),
            texts(
                "display_resolution",
                &["1366 x 768", "1920 x 1080", "3840 x 2160", "7680 x 4320"],
                "",
            ),
            texts("panel_type", &["LED", "QLED", "OLED"], "#"),
            flag("smart_tv"),
            texts("product_colour", COLOURS, ""),
        ],
    },
    Family {
        category: "monitors",
        noun: "Monitor",
        price: (99, 1_299),
        features: &[
            numbers("display_diagonal", &[21.5, 24.0, 27.0, 32.0, 34.0], "# inch"),
            numbers("refresh_rate", &[60.0, 75.0, 120.0, 144.0, 240.0], "# Hz"),
            texts(
                "display_resolution",
                &["1920 x 1080", "2560 x 1440", "3440 x 1440", "3840 x 2160"],
                "",
            ),
            flag("usb_c"),
        ],
    },
    Family {
        category: "notebooks",
        noun: "Notebook",
        price: (299, 2_999),
        features: &[
            numbers(
                "display_diagonal",
                &[11.6, 13.3, 14.0, 15.6, 16.0, 17.3],
                "# inch",
            ),
            numbers("internal_memory", &[4.0, 8.0, 16.0, 32.0, 64.0], "# GB"),
            numbers(
                "total_storage_capacity",
                &[128.0, 256.0, 512.0, 1024.0, 2048.0],
                "# GB SSD",
            ),
            flag("touchscreen"),
            texts("product_colour", COLOURS, "#"),
        ],
    },
    Family {
        category: "desktops",
        noun: "Mini PC",
        price: (249, 1_899),
        features: &[
            numbers("internal_memory", &[8.0, 16.0, 32.0, 64.0], "# GB"),
            numbers(
                "total_storage_capacity",
                &[256.0, 512.0, 1024.0, 2048.0],
                "# GB SSD",
            ),
            flag("wifi"),
        ],
    },
    Family {
        category: "smartphones",
        noun: "Smartphone",
        price: (129, 1_199),
        features: &[
            numbers("display_diagonal", &[5.8, 6.1, 6.4, 6.7], ""),
            numbers("total_storage_capacity", &[64.0, 128.0, 256.0, 512.0], "# GB"),
            flag("dual_sim"),
            flag("supports_5g"),
            texts("product_colour", COLOURS, "#"),
        ],
    },
    Family {
        category: "tablets",
        noun: "Tablet",
        price: (119, 899),
        features: &[
            numbers("display_diagonal", &[8.0, 10.1, 11.0, 12.4], "# inch"),
            numbers("total_storage_capacity", &[32.0, 64.0, 128.0, 256.0], "# GB"),
            texts("product_colour", COLOURS, ""),
        ],
    },
    Family {
        category: "headphones",
        noun: "Headphones",
        price: (15, 349),
        features: &[
            texts("wearing_style", &["In-ear", "On-ear", "Over-ear"], "#"),
            flag("wireless"),
            flag("noise_cancelling"),
            numbers("battery_hours", &[6.0, 12.0, 20.0, 30.0, 40.0], ""),
            texts("product_colour", COLOURS, "#"),
        ],
    },
    Family {
        category: "speakers",
        noun: "Bluetooth Speaker",
        price: (25, 499),
        features: &[
            numbers("rms_rated_power", &[5.0, 10.0, 20.0, 40.0, 80.0], "# W"),
            flag("water_resistant"),
            texts("product_colour", COLOURS, "#"),
        ],
    },
    Family {
        category: "cameras",
        noun: "Digital Camera",
        price: (149, 2_299),
        features: &[
            numbers("megapixel", &[12.0, 16.0, 20.0, 24.0, 26.0, 45.0], "# MP"),
            numbers("optical_zoom", &[1.0, 3.0, 5.0, 10.0, 30.0], ""),
            flag("weather_sealed"),
        ],
    },
    Family {
        category: "printers",
        noun: "Printer",
        price: (69, 799),
        features: &[
            texts("print_technology", &["Laser", "Inkjet"], "#"),
            flag("colour"),
            flag("duplex"),
            numbers("pages_per_minute", &[8.0, 15.0, 22.0, 30.0, 45.0], "# ppm"),
        ],
    },
    Family {
        category: "toner",
        noun: "Toner Cartridge",
        price: (39, 249),
        features: &[
            texts("printing_colours", &["Black", "Cyan", "Magenta", "Yellow"], "#"),
            numbers(
                "toner_page_yield",
                &[1_500.0, 3_000.0, 6_000.0, 12_000.0],
                "# pages",
            ),
        ],
    },
    Family {
        category: "ink",
        noun: "Ink Cartridge",
        price: (9, 59),
        features: &[
            texts(
                "printing_colours",
                &["Black", "Cyan", "Magenta", "Yellow", "Photo black", "Light cyan"],
                "#",
            ),
            numbers("ink_volume", &[7.0, 12.0, 20.0, 70.0], "# ml"),
        ],
    },
    Family {
        category: "hard-drives",
        noun: "SSD",
        price: (29, 499),
        features: &[
            texts("interface", &["SATA", "NVMe", "USB-C"], "#"),
            numbers(
                "total_storage_capacity",
                &[250.0, 500.0, 1_000.0, 2_000.0, 4_000.0],
                "# GB",
            ),
        ],
    },
    Family {
        category: "memory",
        noun: "Memory Module",
        price: (19, 299),
        features: &[
            texts("memory_type", &["DDR3", "DDR4", "DDR5"], "#"),
            numbers("internal_memory", &[4.0, 8.0, 16.0, 32.0, 64.0], "# GB"),
            flag("ecc"),
        ],
    },
    Family {
        category: "network-switches",
        noun: "Network Switch",
        price: (19, 899),
        features: &[
            numbers("ethernet_ports", &[5.0, 8.0, 16.0, 24.0, 48.0], "#-Port"),
            flag("managed"),
            flag("poe"),
        ],
    },
    Family {
        category: "network-cables",
        noun: "Patch Cable",
        price: (2, 29),
        features: &[
            texts("cable_standard", &["Cat5e", "Cat6", "Cat6a", "Cat7"], "#"),
            numbers("cable_length", &[0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0], "# m"),
            texts("product_colour", COLOURS, "#"),
        ],
    },
    Family {
        category: "keyboards",
        noun: "Keyboard",
        price: (19, 199),
        features: &[
            texts("keyboard_layout", &["QWERTY", "QWERTZ", "AZERTY"], "#"),
            flag("wireless"),
            flag("backlight"),
            texts("product_colour", COLOURS, ""),
        ],
    },
    Family {
        category: "mice",
        noun: "Mouse",
        price: (9, 119),
        features: &[
            numbers(
                "movement_resolution",
                &[800.0, 1_000.0, 1_600.0, 3_200.0, 16_000.0],
                "# DPI",
            ),
            flag("wireless"),
            texts("product_colour", COLOURS, "#"),
        ],
    },
    Family {
        category: "bags",
        noun: "Backpack",
        price: (25, 199),
        features: &[
            numbers("volume_litres", &[12.0, 16.0, 20.0, 26.0, 32.0], "# l"),
            flag("water_resistant"),
            texts("product_colour", COLOURS, "#"),
        ],
    },
    Family {
        category: "ups",
        noun: "Uninterruptible Power Supply",
        price: (69, 1_499),
        features: &[
            numbers(
                "output_power_capacity",
                &[500.0, 750.0, 1_000.0, 1_500.0, 3_000.0],
                "# VA",
            ),
            flag("rack_mount"),
        ],
    },
    Family {
        category: "coffee",
        noun: "Espresso Machine",
        price: (89, 1_299),
        features: &[
            numbers("pressure_bar", &[9.0, 15.0, 19.0], "# bar"),
            flag("milk_frother"),
            texts("product_colour", COLOURS, "#"),
        ],
    },
    Family {
        category: "lighting",
        noun: "Desk Lamp",
        price: (15, 149),
        features: &[
            numbers("luminous_flux", &[250.0, 400.0, 800.0, 1_200.0], "# lm"),
            flag("dimmable"),
            texts("product_colour", COLOURS, "#"),
        ],
    },
];

const BRANDS: &[&str] = &[
    "Lumora",
    "Kestrel",
    "Nimbra",
    "Sonaro",
    "Heliograf",
    "Quillon",
    "Taktil",
    "Stackwell",
    "Netroot",
    "Wirewell",
    "Voltara",
    "Harrow",
    "Brasa",
    "Feldwerk",
    "Oblong",
    "Arvanto",
    "Brightmoor",
    "Calidra",
    "Dunmere",
    "Elvaro",
    "Fennick",
    "Galdora",
    "Hollis",
    "Ivarsen",
    "Jorvik Labs",
    "Kovalin",
    "Lindqvist",
    "Marlowe",
    "Nordhavn",
    "Orsetti",
];

const LINES: &[&str] = &[
    "Amber", "Basalt", "Cedar", "Delta", "Ember", "Fjord", "Grove", "Harbor", "Indigo", "Juniper",
    "Keystone", "Larch", "Meadow", "Nova", "Onyx", "Prairie", "Quartz", "Ridge", "Summit", "Tundra", "Umber",
    "Vertex", "Willow", "Zephyr", "Comet", "Drift", "Echo", "Flint", "Glacier", "Halo", "Isle", "Lumen",
    "Mistral", "Nimbus", "Orbit", "Pulse",
];

const PRAISE: &[&str] = &[
    "Made for every day and made to be repaired.",
    "Small where it should be, strong where it has to be.",
    "Quiet, quick and easy to live with.",
    "Everything you need and a manual you will not.",
    "Tested for a week before it leaves the house.",
    "Packed without plastic, delivered without drama.",
    "The one our own desks have.",
    "Simple on the outside, careful on the inside.",
];

fn made_up(number: u64, dice: &mut Dice) -> Draft {
    let family = dice.pick(FAMILIES);
    let brand = *dice.pick(BRANDS);
    let line = *dice.pick(LINES);
    let letter = char::from(*dice.pick(b"ABCDEFGHKLMNPRSTVX"));
    let model = format!("{letter}{}", 100 + dice.below(900));
    let mut name = format!("{brand} {line} {model} {}", family.noun);
    let mut attributes = BTreeMap::new();
    let mut told = Vec::new();
    for feature in family.features {
        let (value, text) = feature.value(dice);
        if !feature.mention.is_empty() {
            name.push(' ');
            name.push_str(&feature.mention.replace('#', &text));
        }
        told.push(format!("{}: {text}", feature.key.replace('_', " ")));
        attributes.insert(feature.key.to_owned(), value);
    }
    let sku = format!("GS-{number:08}");
    let stock = match dice.below(20) {
        0 => 0,
        1 | 2 => 1 + dice.below(5),
        _ => 6 + dice.below(495),
    };
    let stock = sku
        .parse()
        .ok()
        .zip(u32::try_from(stock).ok())
        .into_iter()
        .collect();
    Draft {
        name,
        brand: brand.to_owned(),
        category: Some(family.category.to_owned()),
        part_number: Some(format!("{model}-{:05}", dice.below(100_000))),
        description: format!("{}\n\n{}.", dice.pick(PRAISE), told.join(", ")),
        attributes,
        gtins: vec![trade_number(number)],
        price_minor: price(family.price, dice),
        stock,
        sku,
        ..Draft::default()
    }
}

impl Feature {
    fn value(&self, dice: &mut Dice) -> (Attribute, String) {
        match self.values {
            Values::Texts(values) => {
                let text = *dice.pick(values);
                (Attribute::Text(text.to_owned()), text.to_owned())
            }
            Values::Numbers(values) => {
                let number = *dice.pick(values);
                (Attribute::Number(number), number.to_string())
            }
            Values::Flag => {
                let yes = dice.below(2) == 1;
                (Attribute::Flag(yes), if yes { "yes" } else { "no" }.to_owned())
            }
        }
    }
}

/// A price in the range that ends the way prices end. Cheap ones are more common than dear ones.
fn price((from, to): (u64, u64), dice: &mut Dice) -> i64 {
    let span = to - from;
    let whole = from + dice.below(span + 1).min(dice.below(span + 1));
    let minor = match whole {
        0..50 => whole * 100 + 99,
        50..500 => whole / 5 * 500 + 490,
        _ => whole / 50 * 5_000 + 4_900,
    };
    i64::try_from(minor).unwrap_or(i64::MAX)
}

/// A number of the range that shops may use for themselves (prefix 20), with its check digit.
fn trade_number(number: u64) -> String {
    let digits = format!("20{:010}", number % 10_000_000_000);
    let mut sum = 0;
    for (at, byte) in digits.bytes().enumerate() {
        sum += u32::from(byte - b'0') * if at % 2 == 0 { 1 } else { 3 };
    }
    format!("{digits}{}", (10 - sum % 10) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::category;
    use std::collections::BTreeSet;

    #[test]
    fn the_demo_is_whole() {
        let lines = include_str!("demo.jsonl").lines().count();
        let products = demo();
        assert_eq!(products.len(), lines, "a line of the demo is no product");
        assert!((60..=120).contains(&lines));
        let skus: BTreeSet<_> = products.iter().flat_map(ImportedProduct::skus).collect();
        assert_eq!(
            skus.len(),
            products.iter().flat_map(ImportedProduct::skus).count()
        );
        let categories: BTreeSet<_> = products
            .iter()
            .map(|product| product.details.category.as_str())
            .collect();
        assert!(categories.len() >= 25);
        for product in &products {
            let details = &product.details;
            assert!(
                category::find(&details.category).is_some(),
                "{}",
                details.category
            );
            assert!(
                details.description.len() > 20 && !details.attributes.is_empty(),
                "{}",
                details.sku
            );
        }
        assert!(
            products
                .iter()
                .filter(|product| product.units() == Some(0))
                .count()
                >= 4
        );
        assert!(
            products
                .iter()
                .filter(|product| matches!(product.units(), Some(1..=5)))
                .count()
                >= 4
        );
    }

    #[test]
    fn the_same_numbers_give_the_same_products() {
        let some: Vec<_> = generate(50, 7).collect();
        assert_eq!(some, generate(50, 7).collect::<Vec<_>>());
        assert_eq!(some[..20], generate(20, 7).collect::<Vec<_>>());
        assert_ne!(some, generate(50, 8).collect::<Vec<_>>());
    }

    #[test]
    fn made_up_products_are_varied_and_valid() {
        let products: Vec<_> = generate(3_000, 1).collect();
        assert_eq!(products.len(), 3_000);
        let distinct =
            |of: fn(&ImportedProduct) -> String| products.iter().map(of).collect::<BTreeSet<_>>().len();
        assert_eq!(distinct(|product| product.details.slug.clone()), 3_000);
        assert!(distinct(|product| product.details.name.clone()) > 2_950);
        assert_eq!(
            distinct(|product| product.details.category.clone()),
            FAMILIES.len()
        );
        for product in &products {
            assert!(category::find(&product.details.category).is_some());
            assert_eq!(product.details.gtins.len(), 1, "{}", product.details.sku);
            assert!(product.units().is_some() && product.price.amount > 0);
        }
    }
}
