//! The tree of categories, and the rules that find a category for a product whose source names none.
//!
//! Both are committed tables beside this file, edited as tables: `categories.csv` and
//! `category_rules.csv`. Rules are tried from top to bottom and the first that fits decides, so
//! accessories stand above the things they belong to. A rule fits when every column that is not
//! empty fits:
//!
//! * `title`: phrases, any of which occurs in the title as whole words; `word*` matches a beginning;
//! * `unless`: phrases, none of which may occur in the title;
//! * `brand`: names, one of which is the brand;
//! * `keys`: attributes the product has: `a|b` either, `a&b` both, `a=text` with that text.
//!
//! Rules see words only: lower case, everything but letters and digits of ASCII is a space.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use crate::domain::product::Attribute;

/// Where products go that no rule knows.
pub const OTHER: &str = "other";

/// A category of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// Its name in a URL, unique.
    pub slug: String,
    /// The name people read.
    pub name: String,
    /// The slug of the category above it.
    pub parent: Option<String>,
}

static TREE: LazyLock<Vec<Category>> = LazyLock::new(|| {
    rows(include_str!("categories.csv"))
        .filter_map(|[slug, name, parent]| {
            Some(Category {
                slug,
                name,
                parent: Some(parent).filter(|parent| !parent.is_empty()),
            })
            .filter(|category| !category.slug.is_empty())
        })
        .collect()
});

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::read(include_str!("category_rules.csv")));

/// All categories, parents before their children, in the order in which they are shown.
#[must_use]
pub fn tree() -> &'static [Category] {
    &TREE
}

/// The category with this slug, or with this name in any case.
#[must_use]
pub fn find(slug_or_name: &str) -> Option<&'static Category> {
    TREE.iter()
        .find(|category| category.slug == slug_or_name || category.name.eq_ignore_ascii_case(slug_or_name))
}

/// The slug of the category the rules find for a product, else [`OTHER`].
#[must_use]
pub fn classify(title: &str, brand: &str, attributes: &BTreeMap<String, Attribute>) -> &'static str {
    RULES.classify(title, brand, attributes)
}

/// The rows of an embedded table with `N` columns; lines that start with `#` are remarks.
fn rows<const N: usize>(table: &'static str) -> impl Iterator<Item = [String; N]> {
    csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_reader(table.as_bytes())
        .into_records()
        .filter_map(Result::ok)
        .map(|record| std::array::from_fn(|column| record.get(column).unwrap_or_default().to_owned()))
}

/// One word of a phrase: whole, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: String,
    open: bool,
}

impl Word {
    fn fits(&self, word: &str) -> bool {
        if self.open {
            word.starts_with(&self.text)
        } else {
            word == self.text
        }
    }
}

/// A condition on one attribute: it is there, or it says these words.
#[derive(Debug)]
struct KeyTest {
    key: String,
    says: Option<Vec<String>>,
}

#[derive(Debug)]
struct Rule {
    category: &'static str,
    title: Vec<usize>,
    unless: Vec<usize>,
    brands: Vec<String>,
    keys: Vec<Vec<KeyTest>>,
}

/// The rules, with their phrases looked up by first word, so that a product costs about as much as
/// its title is long and not as much as there are rules.
#[derive(Debug, Default)]
struct Rules {
    rules: Vec<Rule>,
    phrases: Vec<Vec<Word>>,
    by_word: HashMap<String, Vec<usize>>,
    by_beginning: Vec<usize>,
}

impl Rules {
    fn read(table: &'static str) -> Self {
        let mut rules = Self::default();
        let mut known = HashMap::new();
        for [category, title, unless, brands, keys] in rows(table) {
            let Some(category) = find(&category) else { continue };
            let title = rules.intern(&title, &mut known);
            let unless = rules.intern(&unless, &mut known);
            let brands = brands
                .split('|')
                .map(str::to_lowercase)
                .filter(|brand| !brand.is_empty())
                .collect();
            let keys = keys
                .split('|')
                .filter(|text| !text.is_empty())
                .map(key_tests)
                .collect();
            rules.rules.push(Rule {
                category: &category.slug,
                title,
                unless,
                brands,
                keys,
            });
        }
        rules
    }

    fn intern(&mut self, phrases: &str, known: &mut HashMap<String, usize>) -> Vec<usize> {
        let mut ids = Vec::new();
        for text in phrases.split('|').filter(|text| !text.is_empty()) {
            let id = *known.entry(text.to_owned()).or_insert_with(|| {
                let phrase: Vec<Word> = text.split_whitespace().map(word).collect();
                let id = self.phrases.len();
                match phrase.first() {
                    Some(first) if first.open => self.by_beginning.push(id),
                    Some(first) => self.by_word.entry(first.text.clone()).or_default().push(id),
                    None => {}
                }
                self.phrases.push(phrase);
                id
            });
            ids.push(id);
        }
        ids
    }

    fn classify(&self, title: &str, brand: &str, attributes: &BTreeMap<String, Attribute>) -> &'static str {
        let said = self.said(&words(title));
        let brand = brand.to_lowercase();
        self.rules
            .iter()
            .find(|rule| {
                (rule.title.is_empty() || rule.title.iter().any(|&phrase| said[phrase]))
                    && (rule.brands.is_empty() || rule.brands.contains(&brand))
                    && (rule.keys.is_empty()
                        || rule
                            .keys
                            .iter()
                            .any(|all| all.iter().all(|test| test.fits(attributes))))
                    && !rule.unless.iter().any(|&phrase| said[phrase])
            })
            .map_or(OTHER, |rule| rule.category)
    }

    /// Which phrases occur in `title`.
    fn said(&self, title: &[String]) -> Vec<bool> {
        let mut said = vec![false; self.phrases.len()];
        for at in 0..title.len() {
            let exact = self.by_word.get(&title[at]).into_iter().flatten();
            for &id in exact.chain(&self.by_beginning) {
                let phrase = &self.phrases[id];
                said[id] |= title.len() - at >= phrase.len()
                    && phrase
                        .iter()
                        .zip(&title[at..])
                        .all(|(word, found)| word.fits(found));
            }
        }
        said
    }
}

impl KeyTest {
    fn fits(&self, attributes: &BTreeMap<String, Attribute>) -> bool {
        match (attributes.get(&self.key), &self.says) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(Attribute::Text(text)), Some(says)) => words(text) == *says,
            (Some(Attribute::Texts(texts)), Some(says)) => texts.iter().any(|text| words(text) == *says),
            (Some(_), Some(_)) => false,
        }
    }
}

fn key_tests(text: &str) -> Vec<KeyTest> {
    text.split('&')
        .map(|test| match test.split_once('=') {
            Some((key, says)) => KeyTest {
                key: key.to_owned(),
                says: Some(words(says)),
            },
            None => KeyTest {
                key: test.to_owned(),
                says: None,
            },
        })
        .collect()
}

fn word(text: &str) -> Word {
    let open = text.ends_with('*');
    Word {
        text: text.trim_end_matches('*').to_lowercase(),
        open,
    }
}

fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn check(title: &str, brand: &str, category: &str) {
        assert_eq!(classify(title, brand, &BTreeMap::new()), category, "{title}");
    }

    #[test]
    fn the_tree_is_a_tree() {
        let mut seen = BTreeSet::new();
        for category in tree() {
            let parent_known = category
                .parent
                .as_ref()
                .is_none_or(|parent| seen.contains(parent));
            assert!(parent_known, "{} stands above its parent", category.slug);
            assert!(!category.name.is_empty());
            assert!(seen.insert(category.slug.clone()), "{} twice", category.slug);
        }
        assert!(seen.contains(OTHER));
        assert!((40..=110).contains(&seen.len()));
    }

    #[test]
    fn every_rule_is_read_and_can_fit_something() {
        let table = include_str!("category_rules.csv");
        let written = table
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .count()
            - 1;
        assert_eq!(
            RULES.rules.len(),
            written,
            "a rule is malformed or names an unknown category"
        );
        for rule in &RULES.rules {
            let says_something = !(rule.title.is_empty() && rule.brands.is_empty() && rule.keys.is_empty());
            assert!(says_something, "a rule for {} fits everything", rule.category);
        }
        for phrase in &RULES.phrases {
            for word in phrase {
                let plain = word
                    .text
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
                assert!(plain && !word.text.is_empty(), "{word:?} can never fit");
            }
        }
    }

    #[test]
    fn common_things_find_their_place() {
        check("Aurora 55\" 4K Ultra HD Smart TV Black", "Lumora", "televisions");
        check("Lumora 27 inch LCD monitor 2560 x 1440", "Lumora", "monitors");
        check("C-300 toner cartridge Original Black 1 pc(s)", "Inkwell", "toner");
        check("Ink cartridge cyan, 12 ml", "Inkwell", "ink");
        check("Cat6 patch cable snagless 2 m blue", "Wirewell", "network-cables");
        check("HDMI cable 2 m", "Wirewell", "video-cables");
        check("Feather 14 notebook 16 GB 512 GB SSD", "Kestrel", "notebooks");
        check("Feather 14 notebook case 14\" sleeve", "Kestrel", "bags");
        check(
            "System Specific Memory 2GB DDR2-667 memory module",
            "Stackwell",
            "memory",
        );
        check(
            "Smart 1500VA uninterruptible power supply (UPS) 980 W",
            "Voltara",
            "ups",
        );
        check("Wireless optical mouse USB 1000 DPI", "Tactile", "mice");
        check(
            "3y next business day onsite notebook only",
            "Kestrel",
            "warranties",
        );
        check(
            "24-port gigabit network switch managed",
            "Netroot",
            "network-switches",
        );
        check("Over-ear wireless headphones", "Sonaro", "headphones");
        check("Completely unheard of", "Nobody", OTHER);
    }

    #[test]
    fn attributes_speak_where_the_title_is_silent() {
        let mut attributes = BTreeMap::new();
        attributes.insert("ink_type".to_owned(), Attribute::Text("Dye-based".to_owned()));
        assert_eq!(classify("364 Cyan", "HP", &attributes), "ink");
        let list = Attribute::Texts(vec!["CD-R".to_owned(), "other".to_owned()]);
        let attributes = BTreeMap::from([("type".to_owned(), list)]);
        assert_eq!(classify("AB-12", "Nobody", &attributes), "blank-media");
    }
}
