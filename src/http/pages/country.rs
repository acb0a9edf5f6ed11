//! Countries by name: where the shop ships to.

use super::model::Country;

/// ISO 3166-1 alpha-2 codes and English names, by name.
const COUNTRIES: [(&str, &str); 34] = [
    ("AT", "Austria"),
    ("BE", "Belgium"),
    ("BG", "Bulgaria"),
    ("HR", "Croatia"),
    ("CY", "Cyprus"),
    ("CZ", "Czechia"),
    ("DK", "Denmark"),
    ("EE", "Estonia"),
    ("FI", "Finland"),
    ("FR", "France"),
    ("DE", "Germany"),
    ("GR", "Greece"),
    ("HU", "Hungary"),
    ("IS", "Iceland"),
    ("IE", "Ireland"),
    ("IT", "Italy"),
    ("LV", "Latvia"),
    ("LI", "Liechtenstein"),
    ("LT", "Lithuania"),
    ("LU", "Luxembourg"),
    ("MT", "Malta"),
    ("MC", "Monaco"),
    ("NL", "Netherlands"),
    ("NO", "Norway"),
    ("PL", "Poland"),
    ("PT", "Portugal"),
    ("RO", "Romania"),
    ("SM", "San Marino"),
    ("SK", "Slovakia"),
    ("SI", "Slovenia"),
    ("ES", "Spain"),
    ("SE", "Sweden"),
    ("CH", "Switzerland"),
    ("GB", "United Kingdom"),
];

/// Where we ship to. A country that was named before, by a program perhaps, stays in the choice.
pub(super) fn all(chosen: &str) -> Vec<Country> {
    let country = |code: &str, name: &str| Country {
        code: code.to_owned(),
        name: name.to_owned(),
    };
    let mut all: Vec<_> = COUNTRIES.iter().map(|(code, name)| country(code, name)).collect();
    if !chosen.is_empty() && name(chosen) == chosen {
        all.push(country(chosen, chosen));
    }
    all
}

/// The name of a country; its code if we know no other.
pub(super) fn name(code: &str) -> &str {
    let found = COUNTRIES.iter().find(|(known, _)| *known == code);
    found.map_or(code, |(_, name)| name)
}
