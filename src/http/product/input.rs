//! What a product is made of, as sellers write it: the bodies of creating and editing one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AttributeBody;
use crate::domain;
use crate::domain::id::Sku;
use crate::domain::product::{Details, Listing, Variant};

/// A price, tax included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Minor units.
    #[schema(example = 1999, minimum = 0, maximum = 100_000_000_000_i64)]
    amount: i64,
    /// The shop's currency.
    #[schema(example = "EUR", pattern = "^[A-Z]{3}$")]
    currency: String,
}

impl Price {
    pub(super) fn to_domain(&self) -> domain::Money {
        domain::Money::new(self.amount, self.currency.parse().unwrap_or_default())
    }
}

/// Another SKU of a product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantInput {
    /// Its SKU.
    #[schema(value_type = String, example = "TV-55-OLED-W", pattern = "^[A-Za-z0-9._-]{1,64}$")]
    sku: Sku,
    /// What tells it from the others.
    #[serde(default)]
    #[schema(example = json!({"colour": "white"}))]
    options: BTreeMap<String, String>,
    /// Its own price, if it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<Price>,
}

/// The fields a new product and an edited one have in common, with one more.
macro_rules! product_fields {
    ($(#[$about:meta])* $name:ident, $(#[$of_more:meta])* $more:ident: $kind:ty) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $(#[$of_more])*
            pub(super) $more: $kind,
            /// Its name in addresses; made of the name unless you say otherwise.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schema(example = "sharp-55-oled", max_length = 120, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$")]
            pub(super) slug: Option<String>,
            /// Its name for people.
            #[schema(
                example = "Sharp 55″ OLED", max_length = 300,
                pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
            )]
            pub(super) name: String,
            /// Who makes it.
            #[serde(default)]
            #[schema(example = "Sharp", max_length = 100, pattern = r"^[^\x00-\x1f\x7f]*$")]
            brand: String,
            /// The slug of its category; `other` unless you say otherwise.
            #[serde(default = "other")]
            #[schema(example = "televisions", max_length = 120, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$")]
            category: String,
            /// What it costs.
            pub(super) price: Price,
            /// The maker's number.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schema(example = "4T-C55FQ5", max_length = 100, pattern = r"^[^\x00-\x1f\x7f]*$")]
            part_number: Option<String>,
            /// Plain text; blank lines separate paragraphs.
            #[serde(default)]
            #[schema(
                example = "Deep blacks.\n\nThin as a book.", max_length = 20000,
                pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
            )]
            description: String,
            /// Typed by category.
            #[serde(default)]
            #[schema(example = json!({"display_diagonal": 55, "colour": "black", "smart": true}))]
            attributes: BTreeMap<String, AttributeBody>,
            /// Other SKUs of the same product.
            #[serde(default)]
            #[schema(max_items = 200)]
            variants: Vec<VariantInput>,
            /// Pictures, by https address.
            #[serde(default)]
            #[schema(max_items = 50, example = json!(["https://images.example.org/tv.jpg"]))]
            images: Vec<ImageUrl>,
            /// Global trade item numbers.
            #[serde(default)]
            #[schema(max_items = 50, example = json!(["04974019193212"]))]
            gtins: Vec<Gtin>,
        }

        impl $name {
            /// As the domain has it.
            pub(super) fn to_details(&self, sku: &Sku, slug: String) -> Details {
                Details {
                    sku: sku.clone(),
                    slug,
                    name: self.name.trim().to_owned(),
                    brand: self.brand.trim().to_owned(),
                    category: self.category.clone(),
                    part_number: self.part_number.clone().filter(|text| !text.trim().is_empty()),
                    description: self.description.clone(),
                    attributes: self
                        .attributes
                        .iter()
                        .map(|(name, value)| (name.clone(), value.clone().into()))
                        .collect(),
                    variants: self.variants.iter().map(VariantInput::to_domain).collect(),
                    images: self.images.iter().map(|image| image.0.clone()).collect(),
                    gtins: self.gtins.iter().map(|gtin| gtin.0.clone()).collect(),
                }
            }
        }
    };
}

product_fields!(
    /// A new product. It is published at once.
    NewProduct,
    /// The SKU of its main variant, and its id from now on.
    #[schema(value_type = String, example = "TV-55-OLED", pattern = "^[A-Za-z0-9._-]{1,64}$")]
    sku: Sku
);

product_fields!(
    /// What can be edited of a product.
    ProductEdit,
    /// Whether it is in the lists and can be bought.
    #[schema(example = true)]
    published: bool
);

fn other() -> String {
    "other".to_owned()
}

/// The address of a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(
    example = "https://images.example.org/tv.jpg",
    max_length = 2000,
    pattern = r"^https://[^\s\x00-\x1f\x7f]+$"
)]
pub struct ImageUrl(String);

/// A global trade item number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(example = "04974019193212", pattern = "^[0-9]{8,14}$")]
pub struct Gtin(String);

/// A change of a product: what is named is replaced, `null` takes away.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "describes a JSON Merge Patch; the result is checked as a `ProductEdit`"
)]
pub struct ProductPatch {
    /// Whether it is in the lists and can be bought.
    #[schema(example = false, nullable = false)]
    published: Option<bool>,
    /// Its name in addresses.
    #[schema(
        example = "sharp-55-oled",
        max_length = 120,
        pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"
    )]
    slug: Option<String>,
    /// Its name for people.
    #[schema(
        example = "Sharp 55″ OLED, white",
        max_length = 300,
        nullable = false,
        pattern = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"
    )]
    name: Option<String>,
    /// Who makes it.
    #[schema(example = "Sharp", max_length = 100, pattern = r"^[^\x00-\x1f\x7f]*$")]
    brand: Option<String>,
    /// The slug of its category.
    #[schema(
        example = "televisions",
        max_length = 120,
        pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"
    )]
    category: Option<String>,
    /// What it costs.
    #[schema(nullable = false)]
    price: Option<Price>,
    /// The maker's number.
    #[schema(example = "4T-C55FQ5", max_length = 100, pattern = r"^[^\x00-\x1f\x7f]*$")]
    part_number: Option<String>,
    /// Plain text; blank lines separate paragraphs.
    #[schema(
        example = "Deep blacks.",
        max_length = 20000,
        pattern = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
    )]
    description: Option<String>,
    /// Typed by category; merged name by name.
    #[schema(example = json!({"colour": "white"}))]
    attributes: Option<BTreeMap<String, AttributeBody>>,
    /// Other SKUs of the same product, all of them.
    #[schema(max_items = 200)]
    variants: Option<Vec<VariantInput>>,
    /// Pictures, all of them.
    #[schema(max_items = 50, example = json!(["https://images.example.org/tv.jpg"]))]
    images: Option<Vec<ImageUrl>>,
    /// Global trade item numbers, all of them.
    #[schema(max_items = 50, example = json!(["04974019193212"]))]
    gtins: Option<Vec<Gtin>>,
}

impl VariantInput {
    fn to_domain(&self) -> Variant {
        Variant {
            sku: self.sku.clone(),
            options: self.options.clone(),
            price: self.price.as_ref().map(Price::to_domain),
        }
    }
}

/// What can be edited of a listing: what a patch is applied to.
pub(super) fn editable(listing: &Listing) -> ProductEdit {
    let Details {
        sku: _,
        slug,
        name,
        brand,
        category,
        part_number,
        description,
        attributes,
        variants,
        images,
        gtins,
    } = listing.details.clone();
    let price = |price: domain::Money| Price {
        amount: price.amount,
        currency: price.currency.to_string(),
    };
    ProductEdit {
        published: listing.published,
        slug: Some(slug),
        name,
        brand,
        category,
        price: price(listing.price),
        part_number,
        description,
        attributes: attributes
            .iter()
            .map(|(name, value)| (name.clone(), value.into()))
            .collect(),
        variants: variants
            .into_iter()
            .map(|variant| VariantInput {
                sku: variant.sku,
                options: variant.options,
                price: variant.price.map(price),
            })
            .collect(),
        images: images.into_iter().map(ImageUrl).collect(),
        gtins: gtins.into_iter().map(Gtin).collect(),
    }
}
