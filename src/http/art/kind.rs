//! What a product is, as far as its picture is concerned.

/// A thing we can draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tv,
    Monitor,
    Projector,
    Printer,
    Toner,
    Ink,
    Paper,
    Cable,
    Laptop,
    Desktop,
    Server,
    Phone,
    Camera,
    Headphones,
    Speaker,
    Storage,
    Memory,
    Network,
    Power,
    Battery,
    Input,
    Software,
    Bag,
    Home,
    Other,
}

/// Words in a category that mean a kind; the first row with a match wins.
const WORDS: [(Kind, &[&str]); 24] = [
    (
        Kind::Software,
        &["software", "licen", "warrant", "service", "support"],
    ),
    (
        Kind::Toner,
        &["toner", "drum", "fuser", "printer suppl", "consumable"],
    ),
    (Kind::Ink, &["ink", "ribbon"]),
    (Kind::Paper, &["paper", "label", "envelope", "stationer"]),
    (Kind::Projector, &["projector", "lamp", "projection"]),
    (
        Kind::Printer,
        &["print", "scan", "copier", "fax", "multifunction"],
    ),
    (Kind::Bag, &["bag", "case", "sleeve", "cover", "backpack"]),
    (Kind::Battery, &["batter"]),
    (
        Kind::Cable,
        &["cable", "adapter", "adaptor", "connector", "converter"],
    ),
    (Kind::Headphones, &["headphone", "headset", "earphone", "earbud"]),
    (
        Kind::Speaker,
        &["audio", "speaker", "radio", "hifi", "sound", "mp3", "music"],
    ),
    (
        Kind::Input,
        &["keyboard", "mouse", "mice", "input", "gamepad", "joystick"],
    ),
    (Kind::Laptop, &["laptop", "notebook", "tablet", "netbook"]),
    (Kind::Monitor, &["monitor", "display", "screen"]),
    (Kind::Tv, &["tv", "television"]),
    (Kind::Phone, &["phone", "mobile", "gps", "navigat", "telecom"]),
    (
        Kind::Camera,
        &["camera", "camcorder", "lens", "photo", "video", "webcam"],
    ),
    (
        Kind::Memory,
        &[
            "memory",
            "ram",
            "processor",
            "cpu",
            "graphics",
            "motherboard",
            "component",
        ],
    ),
    (
        Kind::Storage,
        &[
            "storage", "drive", "disk", "disc", "ssd", "hdd", "nas", "tape", "flash",
        ],
    ),
    (
        Kind::Network,
        &[
            "network", "switch", "router", "wireless", "wifi", "ethernet", "antenna",
        ],
    ),
    (Kind::Power, &["power", "ups", "charger", "surge", "pdu"]),
    (Kind::Server, &["server", "rack", "blade"]),
    (
        Kind::Desktop,
        &["desktop", "computer", "pc", "workstation", "thin client"],
    ),
    (
        Kind::Home,
        &[
            "home",
            "kitchen",
            "household",
            "iron",
            "coffee",
            "vacuum",
            "appliance",
            "care",
        ],
    ),
];

impl Kind {
    /// What a category is called decides what its products look like.
    pub(super) fn of(category: &str) -> Self {
        let category = category.to_lowercase();
        WORDS
            .iter()
            .find(|(_, words)| words.iter().any(|word| speaks_of(&category, word)))
            .map_or(Self::Other, |(kind, _)| *kind)
    }

    /// Where its colours begin in the palettes, so that a category looks of one piece.
    pub(super) fn palette_offset(self) -> usize {
        self as usize
    }
}

/// Whether one of the words of `category` begins with `word`.
fn speaks_of(category: &str, word: &str) -> bool {
    category.match_indices(word).any(|(at, _)| {
        category[..at]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_alphanumeric())
    })
}

#[cfg(test)]
impl Kind {
    pub(super) const ALL: [Self; 25] = [
        Self::Tv,
        Self::Monitor,
        Self::Projector,
        Self::Printer,
        Self::Toner,
        Self::Ink,
        Self::Paper,
        Self::Cable,
        Self::Laptop,
        Self::Desktop,
        Self::Server,
        Self::Phone,
        Self::Camera,
        Self::Headphones,
        Self::Speaker,
        Self::Storage,
        Self::Memory,
        Self::Network,
        Self::Power,
        Self::Battery,
        Self::Input,
        Self::Software,
        Self::Bag,
        Self::Home,
        Self::Other,
    ];

    /// A category of this kind.
    pub(super) fn name(self) -> &'static str {
        WORDS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("other", |(_, words)| words[0])
    }
}
