//! Searching: PostgreSQL's full text over folded words, then trigrams when nothing matches.
//!
//! Texts are folded here, the same way when they are stored and when they are asked for: lower case,
//! without accents, letters and digits only. What is left cannot be anything but words to
//! PostgreSQL, whatever somebody types.

use std::time::Duration;

use sqlx::PgPool;

use super::fault::{READ_LIMIT, ViewFault, within};
use super::query::clip;
use crate::domain::id::Sku;
use crate::domain::product::{Attribute, Details};

/// How many words of a search are looked at.
const WORD_LIMIT: usize = 16;
/// How many products a search finds at most.
pub(super) const HIT_LIMIT: i64 = 5_000;
/// How many products a search for similar spellings finds at most.
const SIMILAR_LIMIT: i64 = 100;
/// With fewer products that have all words, those that have some are shown after them.
const ENOUGH: usize = 48;
/// How much of a text is searched. PostgreSQL's limit for all texts of a product is 1 MB.
const TEXT_LIMIT: usize = 64 << 10;

/// What a search found, best first.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Products with their scores, which only compare.
    pub(super) products: Vec<(Sku, i64)>,
    /// Nothing had the words; these have similar ones in their names.
    pub(super) similar: bool,
}

/// The texts of a product, folded, in the order of their weight.
pub(super) struct Texts {
    /// Name, brand, SKU, part number.
    pub(super) name: String,
    /// Category and attributes.
    pub(super) attributes: String,
    /// Description.
    pub(super) description: String,
    /// What similar spellings are looked for in.
    pub(super) spelling: String,
}

impl Texts {
    pub(super) fn of(details: &Details) -> Self {
        let part_number = details.part_number.as_deref().unwrap_or_default();
        let name = format!("{} {} {} {part_number}", details.name, details.brand, details.sku);
        let mut attributes = details.category.clone();
        for (key, value) in &details.attributes {
            match value {
                Attribute::Flag(false) => {}
                Attribute::Flag(true) => push(&mut attributes, key),
                Attribute::Number(number) => {
                    push(&mut attributes, key);
                    push(&mut attributes, &number.to_string());
                }
                Attribute::Text(text) => push(&mut attributes, text),
                Attribute::Texts(texts) => texts.iter().for_each(|text| push(&mut attributes, text)),
            }
        }
        for variant in &details.variants {
            push(&mut attributes, variant.sku.as_str());
            variant
                .options
                .values()
                .for_each(|option| push(&mut attributes, option));
        }
        Self {
            name: fold(&name),
            attributes: fold(&attributes),
            description: fold(&details.description),
            spelling: clip(&fold(&format!("{} {}", details.brand, details.name)), 512).to_owned(),
        }
    }
}

fn push(text: &mut String, more: &str) {
    text.push(' ');
    text.push_str(more);
}

/// Lower case, no accents, letters and digits with single spaces between.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len().min(TEXT_LIMIT));
    for letter in clip(text, TEXT_LIMIT).chars().flat_map(char::to_lowercase) {
        match plain(letter) {
            Some(plain) => folded.push_str(plain),
            None if letter.is_alphanumeric() => folded.push(letter),
            None if folded.ends_with(' ') || folded.is_empty() => {}
            None => folded.push(' '),
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

/// A Latin letter with a mark, without it.
const fn plain(letter: char) -> Option<&'static str> {
    Some(match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => "e",
        'ğ' | 'ģ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'į' | 'ı' => "i",
        'ķ' => "k",
        'ł' | 'ļ' => "l",
        'ñ' | 'ń' | 'ň' | 'ņ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ő' | 'ō' => "o",
        'œ' => "oe",
        'ř' => "r",
        'ś' | 'š' | 'ş' | 'ș' => "s",
        'ß' => "ss",
        'ť' | 'ţ' | 'ț' => "t",
        'ù' | 'ú' | 'û' | 'ü' | 'ű' | 'ū' | 'ů' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        // Marks that stand alone, after their letter.
        '\u{300}'..='\u{36f}' => "",
        _ => return None,
    })
}

/// A text that PostgreSQL can hold: it refuses the letter zero.
pub(super) fn printable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Finds products by words.
pub(super) async fn find(pool: &PgPool, q: &str) -> Result<Found, ViewFault> {
    let folded = fold(q);
    let words: Vec<&str> = folded
        .split(' ')
        .filter(|word| !word.is_empty())
        .take(WORD_LIMIT)
        .collect();
    let Some((last, whole)) = words.split_last() else {
        return Ok(Found::default());
    };
    // Somebody who types is in the middle of the last word.
    let mut terms: Vec<String> = whole.iter().map(|word| format!("'{word}'")).collect();
    terms.push(if last.chars().count() >= 2 {
        format!("('{last}' | '{last}':*)")
    } else {
        format!("'{last}'")
    });
    let any = terms.join(" | ");
    let mut products = matches(pool, &terms.join(" & "), &any).await?;
    if products.len() < ENOUGH && terms.len() > 1 {
        products = matches(pool, &any, &any).await?;
    }
    if !products.is_empty() {
        return Ok(Found {
            products,
            similar: false,
        });
    }
    Ok(Found {
        products: similar(pool, &folded).await?,
        similar: true,
    })
}

/// Published products that match one text query, ranked by another.
async fn matches(pool: &PgPool, needed: &str, ranked: &str) -> Result<Vec<(Sku, i64)>, ViewFault> {
    let rows = within("search", SEARCH_LIMIT, async {
        sqlx::query!(
            r#"select sku,
                      (ts_rank('{0.1, 0.2, 0.4, 1.0}', search, to_tsquery('english', $2), 1) * 1e9)::bigint
                          as "score!"
               from catalogue_product
               where search @@ to_tsquery('english', $1) and published
               order by 2 desc, sku
               limit $3"#,
            needed,
            ranked,
            HIT_LIMIT,
        )
        .fetch_all(pool)
        .await
    })
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.sku.parse().ok()?, row.score)))
        .collect())
}

async fn similar(pool: &PgPool, folded: &str) -> Result<Vec<(Sku, i64)>, ViewFault> {
    let rows = within("search similar spellings", SEARCH_LIMIT, async {
        sqlx::query!(
            r#"select sku, (word_similarity($1, folded_name) * 1e9)::bigint as "score!"
               from catalogue_product
               where $1 <% folded_name and published
               order by 2 desc, sku
               limit $2"#,
            folded,
            SIMILAR_LIMIT,
        )
        .fetch_all(pool)
        .await
    })
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.sku.parse().ok()?, row.score)))
        .collect())
}

const SEARCH_LIMIT: Duration = READ_LIMIT;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_folded_to_plain_words() {
        assert_eq!(
            fold("  Café \"Über\" 55″ 4K/UHD (HDMI®) "),
            "cafe uber 55 4k uhd hdmi"
        );
        assert_eq!(fold("ЭЛЕКТРО 日本"), "электро 日本");
        assert_eq!(fold("'; drop table x; --\0"), "drop table x");
    }

    proptest! {
        #[test]
        fn folded_text_holds_nothing_a_text_query_could_take_for_syntax(text in ".*") {
            let folded = fold(&text);
            prop_assert!(folded.chars().all(|letter| letter == ' ' || letter.is_alphanumeric()));
            prop_assert_eq!(fold(&folded), folded);
        }
    }
}
