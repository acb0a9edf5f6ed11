//! `/seller/products`: what the shop sells, and the forms that change it.
//!
//! A form names the version it was made from. If somebody else was quicker it comes back with what
//! was typed and with the new version, so that nothing is lost and nothing is overwritten unseen.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Path;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::amount::minor_units;
use super::answer::{go, private, refused};
use super::api::Call;
use super::attribute;
use super::link::{encode, with_query};
use super::model::{
    FieldErrors, Money, ProductFormPage, ProductValues, SellerProductRow, SellerProductsPage,
};
use super::post::{Fields, Post, field_error, field_errors};
use super::visit::Visit;
use crate::accounts::Caller;
use crate::domain::id::Sku;
use crate::domain::product::{Attribute, Listing, Product};
use crate::http::idempotency::ask_problem;
use crate::http::problem::{Problem, kind};
use crate::http::product::view_problem;
use crate::views::CategoryNode;

/// How many products a page shows.
const PRODUCTS: usize = 24;
/// Where products go that belong nowhere else.
const OTHER: (&str, &str) = ("other", "Other");

/// Shows the products, hidden ones included.
pub(super) async fn list(visit: Visit) -> Result<Response, Problem> {
    visit.seller()?;
    let filter = visit.asked_for("q");
    let cursor = visit.asked_for("cursor");
    let cursor = (!cursor.is_empty()).then_some(cursor.as_str());
    let catalogue = &visit.edge().views.catalogue;
    let found = catalogue
        .inventory(&filter, cursor, PRODUCTS)
        .await
        .map_err(view_problem)?;
    let rows = found.items.iter().map(|card| SellerProductRow {
        id: card.sku.to_string(),
        slug: card.slug.to_string(),
        sku: card.sku.to_string(),
        name: card.name.to_string(),
        brand: card.brand.to_string(),
        price: card.price.into(),
        published: card.published,
        version: card.version,
        available: catalogue.available(&card.sku).map(u64::from),
    });
    let page = SellerProductsPage {
        shell: visit.shell("Products").await,
        products: rows.collect(),
        next_href: found.next_cursor.as_deref().map(|cursor| {
            let filter = (!filter.is_empty()).then_some(("q", filter.as_str()));
            with_query("/seller/products", filter.into_iter().chain([("cursor", cursor)]))
        }),
        filter,
    };
    private(&page)
}

/// Shows the form for a new product.
pub(super) async fn draft(visit: Visit) -> Result<Response, Problem> {
    visit.seller()?;
    let form = Form {
        key: visit.edge().clock.new_id().to_string(),
        values: ProductValues {
            currency: visit.edge().settings.tariff.currency.to_string(),
            category: OTHER.0.to_owned(),
            published: true,
            ..ProductValues::default()
        },
        ..Form::default()
    };
    private(&form.page(&visit, "New product").await)
}

/// Makes a product.
pub(super) async fn create(post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let seller = visit.seller()?;
    let form = Form::sent(&fields);
    let details = match form.details(&fields, &["sku", "name", "category", "price", "currency"]) {
        Ok(details) => details,
        Err(errors) => return form.again(&visit, errors, StatusCode::UNPROCESSABLE_ENTITY).await,
    };
    let Some(price) = form.price() else {
        return form
            .again(&visit, no_amount(), StatusCode::UNPROCESSABLE_ENTITY)
            .await;
    };
    let mut body = details;
    body.insert("sku".to_owned(), form.values.sku.clone().into());
    body.insert("price".to_owned(), price);
    let call = Call::new(Method::POST, "/v1/products".to_owned()).key(&form.key);
    if let Err(problem) = visit.call(seller, call.body(body.into())).await {
        return form.refused(&visit, problem).await;
    }
    let path = format!("/v1/products/{}", encode(&form.values.sku));
    if !form.values.published {
        // A product is born published; repeating this changes nothing.
        let hide = Call::new(Method::PATCH, path).any_version();
        visit.call(seller, hide.body(json!({"published": false}))).await?;
    }
    Ok(go(&format!(
        "/seller/products/{}?done=made",
        encode(&form.values.sku)
    )))
}

/// Shows the forms of a product.
pub(super) async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Problem> {
    visit.seller()?;
    let (version, listing) = find(&visit, &id).await?;
    let form = Form::of(&listing, version);
    private(&form.page(&visit, &listing.details.name).await)
}

/// Changes what a product is.
pub(super) async fn edit(Path(id): Path<String>, post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let seller = visit.seller()?;
    let (version, listing) = find(&visit, &id).await?;
    let form = Form::sent(&fields).over(&listing);
    let mut patch = match form.details(&fields, &["name", "category"]) {
        Ok(details) => details,
        Err(errors) => return form.again(&visit, errors, StatusCode::UNPROCESSABLE_ENTITY).await,
    };
    forget_missing(&mut patch, &listing.details.attributes);
    let path = format!("/v1/products/{}", encode(&id));
    let call = Call::new(Method::PATCH, path).version(form.version);
    change(&visit, seller, call.body(patch.into()), form, version, "saved").await
}

/// Changes what a product costs.
pub(super) async fn set_price(Path(id): Path<String>, post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let seller = visit.seller()?;
    let (version, listing) = find(&visit, &id).await?;
    let mut form = Form::of(&listing, number(&fields));
    fields.text("price").clone_into(&mut form.values.price);
    let Some(price) = form.price() else {
        return form
            .again(&visit, no_amount(), StatusCode::UNPROCESSABLE_ENTITY)
            .await;
    };
    let path = format!("/v1/products/{}/price", encode(&id));
    let call = Call::new(Method::PUT, path).version(form.version);
    change(&visit, seller, call.body(price), form, version, "price").await
}

/// Shows or hides a product.
pub(super) async fn publish(Path(id): Path<String>, post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let seller = visit.seller()?;
    let (version, listing) = find(&visit, &id).await?;
    let form = Form::of(&listing, number(&fields));
    let published = fields.text("published") == "true";
    let path = format!("/v1/products/{}", encode(&id));
    let call = Call::new(Method::PATCH, path).version(form.version);
    let done = if published { "shown" } else { "hidden" };
    change(
        &visit,
        seller,
        call.body(json!({"published": published})),
        form,
        version,
        done,
    )
    .await
}

async fn change(
    visit: &Visit,
    seller: &Arc<Caller>,
    call: Call,
    mut form: Form,
    current: u64,
    done: &str,
) -> Result<Response, Problem> {
    let Err(problem) = visit.call(seller, call).await else {
        let back = visit
            .came_from()
            .filter(|path| path.starts_with("/seller/products?"));
        let own = format!("/seller/products/{}?done={done}", encode(&form.values.sku));
        return Ok(go(&back.unwrap_or(own)));
    };
    // Sent again, the form is for the version that its reader is now told of.
    form.version = problem.to_json("")["version"].as_u64().unwrap_or(current);
    form.refused(visit, problem).await
}

/// The product as its entity has it.
async fn find(visit: &Visit, id: &str) -> Result<(u64, Listing), Problem> {
    let sku: Sku = id.parse().map_err(|_| Problem::not_found())?;
    let problem = |error| ask_problem(error, |refusal| Problem::internal(format!("{refusal}")));
    let answer = visit.edge().region.read::<Product>(&sku.product()).await;
    let product = answer.map_err(problem)?.view;
    let listing = product.listing.ok_or_else(Problem::not_found)?;
    Ok((product.version, listing))
}

/// A merge patch takes away only what it names.
fn forget_missing(patch: &mut Map<String, Value>, before: &BTreeMap<String, Attribute>) {
    if let Some(Value::Object(attributes)) = patch.get_mut("attributes") {
        for name in before.keys() {
            attributes.entry(name.clone()).or_insert(Value::Null);
        }
    }
}

/// The version that a form was made from.
fn number(fields: &Fields) -> u64 {
    fields.text("version").parse().unwrap_or(0)
}

fn no_amount() -> FieldErrors {
    FieldErrors(vec![field_error("price", "Write an amount such as 19.99.")])
}

/// What the forms of a product hold.
#[derive(Debug, Default)]
struct Form {
    /// The product, if it is there already.
    id: Option<Sku>,
    slug: String,
    version: u64,
    key: String,
    values: ProductValues,
}

impl Form {
    /// The forms of a product as it is.
    fn of(listing: &Listing, version: u64) -> Self {
        let details = &listing.details;
        Self {
            id: Some(details.sku.clone()),
            slug: details.slug.clone(),
            version,
            key: String::new(),
            values: ProductValues {
                sku: details.sku.to_string(),
                name: details.name.clone(),
                brand: details.brand.clone(),
                category: details.category.clone(),
                price: Money::from(listing.price).plain(),
                currency: listing.price.currency.to_string(),
                description: details.description.clone(),
                attributes: attribute::to_lines(&details.attributes),
                published: listing.published,
            },
        }
    }

    /// The form as it was sent.
    fn sent(fields: &Fields) -> Self {
        let text = |name: &str| fields.text(name).to_owned();
        Self {
            id: None,
            slug: String::new(),
            version: number(fields),
            key: text("idempotency_key"),
            values: ProductValues {
                sku: text("sku"),
                name: text("name"),
                brand: text("brand"),
                category: text("category"),
                price: text("price"),
                currency: text("currency"),
                description: fields.lines("description").trim().to_owned(),
                attributes: fields.lines("attributes"),
                published: fields.text("published") == "true",
            },
        }
    }

    /// The form of a product that is there; what it does not hold is as it was.
    fn over(self, listing: &Listing) -> Self {
        let before = Self::of(listing, self.version);
        Self {
            id: before.id,
            slug: before.slug,
            values: ProductValues {
                sku: before.values.sku,
                price: before.values.price,
                currency: before.values.currency,
                published: before.values.published,
                ..self.values
            },
            ..self
        }
    }

    /// The details as the API takes them.
    fn details(&self, fields: &Fields, required: &[&str]) -> Result<Map<String, Value>, FieldErrors> {
        let mut errors = fields.check_filled(required);
        let attributes = attribute::from_lines(&self.values.attributes);
        if let Err(sentence) = &attributes {
            errors.0.push(field_error("attributes", sentence.as_str()));
        }
        match attributes {
            Ok(attributes) if errors.is_empty() => Ok(Map::from_iter([
                ("name".to_owned(), self.values.name.clone().into()),
                ("brand".to_owned(), self.values.brand.clone().into()),
                ("category".to_owned(), self.values.category.clone().into()),
                ("description".to_owned(), self.values.description.clone().into()),
                ("attributes".to_owned(), attributes.into()),
            ])),
            _ => Err(errors),
        }
    }

    fn price(&self) -> Option<Value> {
        let currency = self.values.currency.parse().ok()?;
        let amount = minor_units(&self.values.price, currency)?;
        Some(json!({"amount": amount, "currency": self.values.currency}))
    }

    /// The form again, if what is wrong can be mended in it.
    async fn refused(self, visit: &Visit, problem: Problem) -> Result<Response, Problem> {
        let slug = problem.kind().slug;
        let errors = if slug == kind::INVALID_INPUT.slug {
            field_errors(problem.errors(), field_of)
        } else if slug == kind::STALE.slug {
            let other = "Somebody else has changed this product since you opened it. What you typed is still \
                         here: save it again to put it in the place of theirs, or open the page anew to see \
                         theirs.";
            FieldErrors(vec![field_error("version", other)])
        } else if slug == kind::ALREADY_EXISTS.slug {
            FieldErrors(vec![field_error("sku", problem.sentence())])
        } else {
            return Err(problem);
        };
        self.again(visit, errors, problem.status()).await
    }

    async fn again(
        self,
        visit: &Visit,
        errors: FieldErrors,
        status: StatusCode,
    ) -> Result<Response, Problem> {
        let title = self.values.name.clone();
        let page = ProductFormPage {
            errors,
            ..self.page(visit, &title).await
        };
        refused(status, &page)
    }

    async fn page(self, visit: &Visit, title: &str) -> ProductFormPage {
        let mut categories = Vec::new();
        flatten(&visit.edge().views.catalogue.categories(), 0, &mut categories);
        for (slug, name) in [
            OTHER,
            (self.values.category.as_str(), self.values.category.as_str()),
        ] {
            if !slug.is_empty() && !categories.iter().any(|(known, _)| known == slug) {
                categories.push((slug.to_owned(), name.to_owned()));
            }
        }
        ProductFormPage {
            shell: visit.shell(title).await,
            id: self.id.map(|id| id.to_string()),
            slug: self.slug,
            version: self.version,
            values: self.values,
            categories,
            errors: FieldErrors::default(),
            idempotency_key: self.key,
        }
    }
}

/// The field of a form that a pointer of the API means.
fn field_of(pointer: &str) -> &str {
    match pointer {
        "/amount" => "price",
        "/price/currency" => "currency",
        pointer => pointer.split('/').nth(1).unwrap_or_default(),
    }
}

/// Every category, those below others behind a dash for each level.
fn flatten(nodes: &[CategoryNode], depth: usize, categories: &mut Vec<(String, String)>) {
    for node in nodes {
        categories.push((node.slug.clone(), format!("{}{}", "– ".repeat(depth), node.name)));
        flatten(&node.children, depth + 1, categories);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_no_longer_names_is_taken_away() {
        let before = BTreeMap::from([
            ("colour".to_owned(), Attribute::Text("black".to_owned())),
            ("size".to_owned(), Attribute::Number(1.0)),
        ]);
        let mut patch = Map::from_iter([("attributes".to_owned(), json!({"size": 2}))]);
        forget_missing(&mut patch, &before);
        assert_eq!(patch["attributes"], json!({"size": 2, "colour": null}));
    }

    #[test]
    fn pointers_name_the_fields_of_the_form() {
        assert_eq!(field_of("/attributes/size"), "attributes");
        assert_eq!(field_of("/price/amount"), "price");
        assert_eq!(field_of("/price/currency"), "currency");
        assert_eq!(field_of("/name"), "name");
    }
}
