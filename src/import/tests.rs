//! Whole catalogues through the front door: fixtures with every defect seen in real ones, what no
//! catalogue should look like, and the real catalogue where it lies beside the sources.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::domain::Currency;
use crate::domain::product::Attribute;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/import")
        .join(name)
}

/// A directory of its own that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "globalshop-import-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn zip(&self, name: &str, entries: &[(&str, &[u8])]) -> PathBuf {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            let options = zip::write::SimpleFileOptions::default();
            zip.start_file(*name, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        self.file(name, &zip.finish().unwrap().into_inner())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A catalogue read to its end.
struct ReadOut {
    products: Vec<ImportedProduct>,
    rejections: Vec<Rejection>,
    fault: Option<String>,
}

fn read_out(mut source: Box<dyn Source>) -> ReadOut {
    let (mut products, mut rejections) = (Vec::new(), Vec::new());
    let mut last = source.progress().0;
    while let Some(next) = source.next() {
        match next {
            Ok(product) => products.push(product),
            Err(rejection) => rejections.push(rejection),
        }
        let (read, total) = source.progress();
        assert!(last <= read && read <= total, "progress goes forward");
        last = read;
    }
    assert!(source.next().is_none(), "the end is the end");
    ReadOut {
        products,
        rejections,
        fault: source.fault().map(ToString::to_string),
    }
}

fn read(path: &Path) -> ReadOut {
    read_out(open(path, None, Currency::EUR).unwrap())
}

/// The row, place and beginning of the reason of each rejection, one a line.
fn faults(read: &ReadOut) -> String {
    let line = |rejection: &Rejection| {
        assert!(!rejection.remedy.is_empty() && !rejection.reason.is_empty());
        format!("{} {}: {}\n", rejection.row, rejection.place, rejection.reason)
    };
    read.rejections.iter().map(line).collect()
}

fn product<'a>(read: &'a ReadOut, sku: &str) -> &'a ImportedProduct {
    read.products
        .iter()
        .find(|product| product.details.sku.as_str() == sku)
        .expect(sku)
}

fn text(text: &str) -> Attribute {
    Attribute::Text(text.to_owned())
}

fn list(texts: &[&str]) -> Attribute {
    Attribute::Texts(texts.iter().map(|&text| text.to_owned()).collect())
}

#[test]
fn an_icecat_list_survives_its_defects() {
    let read = read(&fixture("icecat.json"));
    assert_eq!(read.fault, None);
    assert_eq!(
        faults(&read),
        "4 price: it is missing\n\
         5 price: it is no whole number\n\
         6 price: it is negative\n\
         7 sku: \"not a sku\" has characters other than letters, digits, '.', '_' and '-'\n\
         8 sku: it is missing\n\
         9 name: it is missing\n\
         10 title: it is no text\n\
         11 : invalid type: string \"a text instead of a product\", expected a map at line 1 column 29\n\
         12 : key must be a string at line 1 column 59\n\
         13 sku: 9000001 occurs a second time\n"
    );
    assert_eq!(read.products.len(), 4);

    let tv = product(&read, "9000001");
    assert_eq!(tv.details.name, "Aurelia 43 TV 109.2 cm (43\") Full HD Black");
    assert_eq!(tv.details.slug, "aurelia-43-tv-109-2-cm-43-full-hd-black-9000001");
    assert_eq!(tv.details.part_number.as_deref(), Some("AUR-43"));
    assert_eq!(tv.details.category, "televisions");
    assert_eq!(tv.details.description, "Slim\n(4 x HDMI, 2 x USB)\n\n- teletext");
    assert_eq!(tv.details.gtins, ["04006381333931"]);
    assert_eq!(tv.details.images, ["http://pictures.example/high/1.jpg"]);
    assert_eq!((tv.price.amount, tv.units(), tv.row), (34_999, None, 1));
    let expected = BTreeMap::from([
        ("product_colour".to_owned(), list(&["Black", "Silver"])),
        ("display_diagonal".to_owned(), Attribute::Number(43.0)),
        ("smart_tv".to_owned(), Attribute::Flag(false)),
        ("power_requirements".to_owned(), text("100 - 240 V, 50/60 Hz")),
        ("height_adjustment".to_owned(), Attribute::Number(110.0)),
        ("drive_bays".to_owned(), text("2 external\n1 internal")),
    ]);
    assert_eq!(tv.details.attributes, expected);

    let twin = product(&read, "9000002");
    assert_eq!(twin.details.name, tv.details.name);
    assert_ne!(twin.details.slug, tv.details.slug);
    assert_eq!(twin.details.description, "");

    let drive = product(&read, "9000003");
    assert_eq!(drive.details.brand, "Größe & Söhne");
    assert_eq!(drive.details.gtins, ["00000096385074"]);
    assert!(drive.details.images.is_empty() && drive.released_on.is_none());
    assert_eq!(product(&read, "9000014").details.name, "Number as id");
}

#[test]
fn a_zip_and_a_directory_of_zips_read_like_the_list_itself() {
    let scratch = Scratch::new();
    let bytes = std::fs::read(fixture("icecat.json")).unwrap();
    let bare = read(&fixture("icecat.json"));
    let zip = scratch.zip(
        "a.zip",
        &[
            ("../../a.json", &bytes),
            ("__MACOSX/a.json", b"x"),
            ("readme.txt", b"x"),
        ],
    );
    assert_eq!(read(&zip).products, bare.products);
    scratch.zip("b.json.zip", &[("b.json", &bytes)]);
    scratch.file("ignored.txt", b"x");
    let both = read(&scratch.0);
    assert_eq!(
        both.products.len(),
        bare.products.len(),
        "the second list repeats every SKU"
    );
    assert!(faults(&both).contains("occurs a second time"));
    assert!(both.rejections[0].place.starts_with("a.zip/../../a.json: "));
}

#[test]
fn a_shopify_table_survives_its_defects() {
    let read = read(&fixture("shopify.csv"));
    assert_eq!(read.fault, None);
    assert_eq!(
        faults(&read),
        "7 Variant Price: \"1,5\" is no price\n\
         8 Variant Price: it is negative\n\
         10 : the row has 26 cells, the table 24 columns\n\
         12 sku: BAY-B-S occurs a second time\n\
         15 Handle: the rows of \"apart\" do not stand together\n\
         16 Handle: it is missing\n\
         17 Variant Price: it is missing\n\
         20 Variant Inventory Qty: \"many\" is no number of units\n\
         22 : it holds a NUL byte\n\
         23 : a quote on this line is never closed\n"
    );
    let lamp = product(&read, "BAY-B-S");
    assert_eq!(lamp.details.name, "Bay Lamp");
    assert_eq!(lamp.details.description, "A lamp, \"by the bay\".");
    assert_eq!(lamp.details.category, "lighting");
    assert_eq!(lamp.details.gtins, ["04006381333931"]);
    let names = ["bay.jpg", "bay-2.jpg", "bay-l.jpg", "bay-3.jpg"];
    assert_eq!(
        lamp.details.images,
        names.map(|name| format!("https://pictures.example/{name}"))
    );
    let variants: Vec<_> = lamp
        .details
        .variants
        .iter()
        .map(|variant| variant.sku.as_str())
        .collect();
    assert_eq!(variants, ["BAY-K-S", "BAY-K-L"]);
    assert_eq!(lamp.details.variants[0].price, None);
    assert_eq!(lamp.details.variants[1].price.unwrap().amount, 5_990);
    assert_eq!(lamp.details.variants[1].options["size"], "L");
    let stock: Vec<_> = lamp
        .stock
        .iter()
        .map(|(sku, units)| (sku.as_str(), *units))
        .collect();
    assert_eq!(stock, [("BAY-B-S", 7), ("BAY-K-L", 0), ("BAY-K-S", 0)]);
    assert_eq!(lamp.details.attributes["colour"], list(&["Brass", "Black"]));
    assert_eq!(lamp.details.attributes["frame_colour"], list(&["brass", "black"]));
    assert_eq!(lamp.details.attributes["tags"], list(&["new", "brass"]));
    assert_eq!(lamp.details.attributes["weight_grams"], Attribute::Number(900.0));

    let formula = product(&read, "FORM-1");
    assert_eq!(formula.details.name, "=HYPERLINK(\"http://x\")");
    assert_eq!(formula.details.brand, "@vendor");
    assert_eq!(product(&read, "SHORT-1").details.category, "toner");
    assert!(!product(&read, "APART-1").published, "a draft");
    assert!(!product(&read, "00123").published, "not on the online store");
    assert_eq!(
        product(&read, "no-sku").details.variants[0].sku.as_str(),
        "no-sku-2"
    );
    assert!(product(&read, "HALF-M").details.variants.is_empty());
    assert_eq!(product(&read, "LAST-1").row, 24);
    assert_eq!(read.products.len(), 8);
}

#[test]
fn json_lines_survive_their_defects_plain_and_gzipped() {
    let plain = read(&fixture("products.jsonl"));
    assert_eq!(plain.products.len(), 2);
    assert_eq!(plain.products[0].units(), Some(3));
    assert!(!plain.products[1].published);
    let rows: Vec<_> = plain.rejections.iter().map(|rejection| rejection.row).collect();
    assert_eq!(rows, [3, 4, 5, 6]);
    let scratch = Scratch::new();
    let bytes = std::fs::read(fixture("products.jsonl")).unwrap();
    let packed = read(&scratch.file("products.jsonl.gz", &gzipped(&bytes)));
    assert_eq!(packed.products, plain.products);
    assert_eq!(packed.rejections, plain.rejections);
}

#[test]
fn what_is_no_catalogue_is_told_so() {
    let scratch = Scratch::new();
    let fault = |name: &str, bytes: &[u8]| {
        open(&scratch.file(name, bytes), None, Currency::EUR)
            .err()
            .map(|fault| fault.to_string())
            .unwrap_or_default()
    };
    let wide: Vec<u8> = "Handle,Title".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(fault("wide.csv", &wide).contains("UTF-16"));
    assert!(fault("marked.csv", &[&[0xff, 0xfe], &wide[..]].concat()).contains("UTF-16"));
    assert!(fault("empty.bin", b"").contains("no catalogue"));
    assert!(fault("picture.bin", b"\x89PNG\r\n\x1a\n").contains("no catalogue"));
    assert!(fault("cut.zip", b"PK\x03\x04 and nothing more").contains("archive"));
    assert!(open(&scratch.0.join("nowhere"), None, Currency::EUR).is_err());
    let empty = Scratch::new();
    assert!(open(&empty.0, None, Currency::EUR).is_err());
    let other = scratch.zip("other.zip", &[("readme.txt", b"x")]);
    assert!(open(&other, None, Currency::EUR).is_err());

    let headless =
        read_out(open(&scratch.file("h.csv", b"Handle,Name\na,b\n"), None, Currency::EUR).unwrap());
    assert_eq!(
        headless.fault.unwrap(),
        "the table has no column Title, Variant Price"
    );
    let cut = read(&scratch.file(
        "cut.json",
        br#"[{"id": "1", "title": "Whole", "price": 1}, {"id": "2", "ti"#,
    ));
    assert_eq!(cut.products.len(), 1);
    assert!(cut.fault.unwrap().contains("in the middle of an element"));
}

#[test]
fn archives_are_not_believed() {
    let scratch = Scratch::new();
    let mut swollen = b"[\"".to_vec();
    swollen.resize(64 * 1024 * 1024, b' ');
    let bomb = read(&scratch.zip("bomb.zip", &[("bomb.json", &swollen)]));
    assert!(bomb.products.is_empty());
    assert!(bomb.fault.unwrap().contains("unpacks to more than"));
    let gzip = read_out(
        open(
            &scratch.file("bomb.gz", &gzipped(&swollen)),
            Some(Format::JsonLines),
            Currency::EUR,
        )
        .unwrap(),
    );
    assert!(gzip.fault.unwrap().contains("unpacks to more than"));

    let path = scratch.zip(
        "damaged.zip",
        &[("a.json", &std::fs::read(fixture("icecat.json")).unwrap())],
    );
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0x55;
    let path = scratch.file("damaged.zip", &bytes);
    let damaged = read_out(open(&path, Some(Format::Icecat), Currency::EUR).unwrap());
    assert!(damaged.fault.is_some() || !damaged.rejections.is_empty());
}

#[test]
fn the_real_catalogue_is_read_and_placed() {
    let root = std::env::var_os("GLOBALSHOP_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let path = root.join("icecat");
    if !path.is_dir() {
        eprintln!(
            "not run here: the_real_catalogue_is_read_and_placed (needs the folder GLOBALSHOP_DATA with icecat)"
        );
        return;
    }
    let mut source = open(&path, None, Currency::EUR).unwrap();
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let (mut products, mut listed, mut slugs) = (0, 0, std::collections::HashSet::new());
    while let Some(next) = source.next() {
        let product = next.expect("every product of the real catalogue is one");
        products += 1;
        listed += product.details.gtins.len();
        assert!(
            slugs.insert(product.details.slug.clone()),
            "{}",
            product.details.slug
        );
        *counts.entry(product.details.category.clone()).or_default() += 1;
    }
    assert!(source.fault().is_none());
    assert_eq!(source.progress().0, source.progress().1);
    assert_eq!(products, 19_406);
    assert!(listed > 10_000);
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    println!("{sorted:?}");
    let other = counts.get(category::OTHER).copied().unwrap_or(0);
    assert!(
        other * 100 < products * 8,
        "{other} of {products} found no category"
    );
    for (category, least) in [
        ("televisions", 70),
        ("toner", 1_500),
        ("notebooks", 300),
        ("network-cables", 1_200),
    ] {
        assert!(counts[category] >= least, "{category}: {}", counts[category]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_bytes_end_in_every_reader(
        bytes in proptest::collection::vec(prop_oneof![
            Just(b'"'), Just(b','), Just(b'\n'), Just(b'{'), Just(b'['), Just(b']'), any::<u8>()], 0..600),
        start in prop_oneof![
            Just(""), Just("["), Just("Handle,Title,Variant Price\n"), Just("{\"sku\":"),
            Just("PK\u{3}\u{4}"), Just("\u{feff}[{\"id\":\"1\",\"title\":\"t\",\"price\":1},")],
        packed in any::<bool>(),
    ) {
        let scratch = Scratch::new();
        let mut all = start.as_bytes().to_vec();
        all.extend(bytes);
        let all = if packed { gzipped(&all) } else { all };
        let path = scratch.file("any", &all);
        for format in [None, Some(Format::Icecat), Some(Format::ShopifyCsv), Some(Format::JsonLines)] {
            if let Ok(source) = open(&path, format, Currency::EUR) {
                let read = read_out(source);
                prop_assert!(read.products.len() + read.rejections.len() <= all.len().max(700));
            }
        }
    }

    #[test]
    fn any_damage_to_a_zip_ends(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let scratch = Scratch::new();
        let path = scratch.zip("a.zip", &[("a.json", br#"[{"id": "1", "title": "Lamp", "price": 1}]"#)]);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let path = scratch.file("b.zip", &bytes);
        if let Ok(source) = open(&path, Some(Format::Icecat), Currency::EUR) {
            let _ = read_out(source);
        }
    }
}
