//! A large catalogue into an empty shop: products a second, and what each costs in memory.

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use globalshop::clock::Clock;
use globalshop::import::generate::generate;
use globalshop::import::product::ImportedProduct;
use serde_json::{Value, json};

use crate::node::Node;

const PRODUCTS: u64 = 100_000;
const SEED: u64 = 1;
/// Until the views have caught up and actors that are no longer asked have left.
const REST: Duration = Duration::from_secs(30);

#[allow(clippy::cast_precision_loss, reason = "a bench's figures have three digits")]
pub async fn run(clock: &Clock, quick: bool) -> Vec<String> {
    let count = if quick { 200 } else { PRODUCTS };
    println!("import of {count} products");
    let shop = Node::open("import").await;
    let file = write(&shop, count);
    let empty = shop.memory();

    let began = clock.instant();
    let said = shop.import(&file).await;
    let took = clock.instant().duration_since(began).as_secs_f64();
    let all = format!("{count} rows, {count} new, 0 changed, 0 unchanged, 0 refused");
    assert!(said.contains(&all), "{said}");

    let after = shop.memory();
    if !quick {
        clock.sleep(REST).await;
    }
    let rested = shop.memory();
    shop.close().await;

    let each = |memory: u64| memory.saturating_sub(empty) as f64 / count as f64 / 1_024.0;
    println!(
        "  {took:.1} s; memory {} MiB empty, {} MiB after, {} MiB rested",
        empty >> 20,
        after >> 20,
        rested >> 20
    );
    let rate = count as f64 / took;
    vec![
        format!("| bulk import, {count} products | – | {rate:.0}/s | – | – | – |"),
        format!(
            "| memory per product of {count}, at the end of the import (30 s later) | – | {:.2} KiB ({:.2} KiB) | – | – | – |",
            each(after),
            each(rested)
        ),
    ]
}

/// Writes a catalogue of generated products into the shop's folder.
pub fn write(shop: &Node, count: u64) -> PathBuf {
    let file = shop.folder.join("catalogue.jsonl");
    let mut out = BufWriter::new(std::fs::File::create(&file).unwrap());
    for product in generate(count, SEED) {
        writeln!(out, "{}", line(&product)).unwrap();
    }
    out.flush().unwrap();
    file
}

/// The product as a line of a file that the import reads.
fn line(product: &ImportedProduct) -> Value {
    let details = &product.details;
    json!({
        "sku": details.sku,
        "name": details.name,
        "price": product.price,
        "brand": details.brand,
        "category": details.category,
        "part_number": details.part_number,
        "description": details.description,
        "attributes": details.attributes,
        "gtins": details.gtins,
        "stock": product.units(),
    })
}
