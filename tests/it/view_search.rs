//! Searches on a real database: words, beginnings, typos, and whatever else somebody types.

use crate::database;
use crate::history::History;
use crate::view_catalogue::{ids, list, open, shards, shop};

#[tokio::test]
async fn searches_find_words_beginnings_and_typos_and_survive_anything() {
    let pool = database::fresh().await;
    let views = open(&pool).await;
    let mut history = History::new(shards());
    shop(&mut history).await;
    history.lead(views.catalogue.as_ref(), 2).await.unwrap();
    let catalogue = &views.catalogue;

    assert_eq!(ids(&list(catalogue, &[("q", "Aurora 43")]).await)[0], "T2");
    assert_eq!(ids(&list(catalogue, &[("q", "kitch")]).await), ["R1"]);
    assert_eq!(ids(&list(catalogue, &[("q", "pnt3")]).await), ["T3"]);
    assert_eq!(
        ids(&list(
            catalogue,
            &[
                ("q", "aurora"),
                ("sort", "price"),
                ("attr.display_diagonal", "50..")
            ]
        )
        .await),
        ["T1"]
    );
    let typo = list(catalogue, &[("q", "kichten radoi")]).await;
    assert!(typo.similar);
    assert_eq!(ids(&typo), ["R1"]);
    for q in [
        "'",
        "\"",
        "a & b | !c <-> d:*",
        "\0",
        "\\",
        "the",
        "' or 1=1; --",
        "%_%",
        "🙂",
        "日本語",
        ":*",
        "()",
        "''''",
        "\u{202e}abc",
        "-",
        "a",
        "²",
        "ǆ",
        "x\u{300}\u{300}y",
    ] {
        let _ = list(catalogue, &[("q", q)]).await;
    }
    let long = "word ".repeat(10_000);
    let _ = list(catalogue, &[("q", &long)]).await;
}
