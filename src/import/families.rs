//! What made-up products are made of: kinds of goods, what is told about them, and words for names.
//!
//! Data only. A change here changes every generated catalogue, and with it what was measured on one.

/// One attribute of a family of products.
pub(super) struct Feature {
    pub key: &'static str,
    pub values: Values,
    /// How the name mentions it, `#` standing for the value; empty if it does not.
    pub mention: &'static str,
}

pub(super) enum Values {
    Texts(&'static [&'static str]),
    Numbers(&'static [f64]),
    Flag,
}

/// Products of one kind.
pub(super) struct Family {
    pub category: &'static str,
    pub noun: &'static str,
    /// Whole units of money, from and to.
    pub price: (u64, u64),
    pub features: &'static [Feature],
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

pub(super) const FAMILIES: &[Family] = &[
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

pub(super) const BRANDS: &[&str] = &[
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

pub(super) const LINES: &[&str] = &[
    "Amber", "Basalt", "Cedar", "Delta", "Ember", "Fjord", "Grove", "Harbor", "Indigo", "Juniper",
    "Keystone", "Larch", "Meadow", "Nova", "Onyx", "Prairie", "Quartz", "Ridge", "Summit", "Tundra", "Umber",
    "Vertex", "Willow", "Zephyr", "Comet", "Drift", "Echo", "Flint", "Glacier", "Halo", "Isle", "Lumen",
    "Mistral", "Nimbus", "Orbit", "Pulse",
];

pub(super) const PRAISE: &[&str] = &[
    "Made for every day and made to be repaired.",
    "Small where it should be, strong where it has to be.",
    "Quiet, quick and easy to live with.",
    "Everything you need and a manual you will not.",
    "Tested for a week before it leaves the house.",
    "Packed without plastic, delivered without drama.",
    "The one our own desks have.",
    "Simple on the outside, careful on the inside.",
];
