//! `/checkout`: one form, one order.
//!
//! The form carries a key made for this visit, which stays the same through every fault, so a second
//! click is the same order. It also carries what the order costs with each way of shipping; the
//! total that was agreed to is the one of the way that was chosen.

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::answer::{go, private, refused};
use super::api::Call;
use super::cart::Basket;
use super::country;
use super::link::encode;
use super::model::{CheckoutPage, CheckoutValues, FieldErrors, Money, PaymentChoice, ShippingChoice};
use super::post::{Fields, Post, field_error, field_errors, last_part};
use super::visit::Visit;
use crate::domain::quote::{ShippingMethod, Tariff};
use crate::http::problem::{Problem, kind};

/// Where most of our shoppers live.
const HOME_COUNTRY: &str = "DE";
/// What must not be left empty.
const REQUIRED: [&str; 6] = ["email", "name", "line1", "postal_code", "city", "country"];

/// Shows the form, filled with what is known of the visitor.
pub(super) async fn show(visit: Visit) -> Result<Response, Problem> {
    let form = Form {
        key: visit.edge().clock.new_id().to_string(),
        ..Form::default()
    };
    match page(&visit, form).await {
        Some(page) => private(&page),
        None => Ok(go("/cart")),
    }
}

/// Orders, or shows the form again.
pub(super) async fn send(post: Post) -> Result<Response, Problem> {
    let Post { visit, fields } = post;
    let Some(shopper) = visit.caller().cloned() else {
        // Nobody without a session has a cart.
        return Ok(go("/cart"));
    };
    let mut form = Form::sent(&fields);
    form.errors = fields.check_filled(&REQUIRED);
    if form.expected_total.is_none() {
        let choose = "Please choose how it gets there.";
        form.errors.0.push(field_error("shipping_method", choose));
    }
    if !form.errors.is_empty() {
        return again(&visit, form, StatusCode::UNPROCESSABLE_ENTITY).await;
    }
    let currency = visit.edge().settings.tariff.currency;
    let call = Call::new(Method::POST, "/v1/cart/checkout".to_owned())
        .key(&form.key)
        .body(form.request(currency.code()));
    let problem = match visit.call(&shopper, call).await {
        Ok(said) => {
            let order = said
                .body
                .get("order_id")
                .and_then(Value::as_str)
                .unwrap_or_default();
            return Ok(visit.go_after(&said, &format!("/orders/{}?placed=1", encode(order))));
        }
        Err(problem) => problem,
    };
    let slug = problem.kind().slug;
    if slug == kind::INVALID_INPUT.slug {
        form.errors = field_errors(problem.errors(), field_of);
        // What no field shows is a fault of the whole.
        let hidden = form.errors.of("expected_total").map(str::to_owned);
        form.fault = hidden;
    } else if slug == kind::CART_EMPTY.slug {
        return Ok(go("/cart"));
    } else if slug == kind::TOTAL_CHANGED.slug {
        form.fault = Some(
            "The total has changed since you saw it. Look at it again, then order if you agree.".to_owned(),
        );
    } else if slug == kind::NOT_FOR_SALE.slug || slug == kind::CART_CHANGED.slug {
        form.fault = Some(problem.sentence().to_owned());
    } else {
        // Among them what can be sent again as it is: with the same key, and the same totals.
        return Err(problem);
    }
    again(&visit, form, problem.status()).await
}

async fn again(visit: &Visit, form: Form, status: StatusCode) -> Result<Response, Problem> {
    match page(visit, form).await {
        Some(page) => refused(status, &page),
        None => Ok(go("/cart")),
    }
}

/// What the form holds.
#[derive(Debug, Default)]
struct Form {
    key: String,
    values: Option<CheckoutValues>,
    method: ShippingMethod,
    token: Option<String>,
    /// Minor units, of the chosen way.
    expected_total: Option<i64>,
    errors: FieldErrors,
    fault: Option<String>,
}

impl Form {
    fn sent(fields: &Fields) -> Self {
        let text = |name: &str| fields.text(name).to_owned();
        let method = fields.text("shipping_method").parse::<ShippingMethod>().ok();
        let total = method.map(|method| format!("expected_total_{}", method.as_str()));
        Self {
            key: text("idempotency_key"),
            values: Some(CheckoutValues {
                email: text("email"),
                name: text("name"),
                line1: text("line1"),
                line2: text("line2"),
                city: text("city"),
                region: text("region"),
                postal_code: text("postal_code"),
                country: text("country"),
            }),
            method: method.unwrap_or_default(),
            token: Some(text("payment_token")),
            expected_total: total.and_then(|name| fields.text(&name).parse().ok()),
            errors: FieldErrors::default(),
            fault: None,
        }
    }

    /// The form as a call of the API.
    fn request(&self, currency: &str) -> Value {
        let CheckoutValues {
            email,
            name,
            line1,
            line2,
            city,
            region,
            postal_code,
            country,
        } = self.values.clone().unwrap_or_default();
        let mut address = Map::new();
        for (field, value) in [
            ("name", name),
            ("line1", line1),
            ("line2", line2),
            ("city", city),
            ("region", region),
            ("postal_code", postal_code),
            ("country", country),
        ] {
            if !value.is_empty() {
                address.insert(field.to_owned(), value.into());
            }
        }
        json!({
            "email": email,
            "shipping_address": address,
            "shipping_method": self.method.as_str(),
            "payment": {"provider": "sandbox", "token": self.token.as_deref().unwrap_or_default()},
            "expected_total": {"amount": self.expected_total.unwrap_or_default(), "currency": currency},
        })
    }
}

/// The field of the form that a pointer of the API means.
fn field_of(pointer: &str) -> &str {
    match pointer {
        "/payment/token" => "payment_token",
        pointer if pointer.starts_with("/expected_total") => "expected_total",
        pointer => last_part(pointer),
    }
}

/// The page; nothing if there is nothing that could be ordered.
async fn page(visit: &Visit, form: Form) -> Option<CheckoutPage> {
    let basket = Basket::of(visit.cart().await, &visit.edge().views.catalogue);
    if basket.lines.is_empty() || basket.is_blocked {
        return None;
    }
    let tariff = visit.edge().settings.tariff;
    let shell = visit.shell("Checkout").await;
    let values = form.values.unwrap_or_else(|| CheckoutValues {
        email: shell
            .visitor
            .as_ref()
            .map_or_else(String::new, |visitor| visitor.email.clone()),
        name: shell
            .visitor
            .as_ref()
            .map_or_else(String::new, |visitor| visitor.name.clone()),
        country: HOME_COUNTRY.to_owned(),
        ..CheckoutValues::default()
    });
    Some(CheckoutPage {
        shell,
        idempotency_key: form.key,
        errors: form.errors,
        fault: form.fault,
        countries: country::all(&values.country),
        values,
        shipping: [ShippingMethod::Standard, ShippingMethod::Express]
            .into_iter()
            .map(|method| choice(&tariff, basket.subtotal, method, method == form.method))
            .collect(),
        payment: PaymentChoice::sandbox(form.token.as_deref()),
        subtotal: Money::new(basket.subtotal, tariff.currency.code()),
        lines: basket.lines,
    })
}

fn choice(tariff: &Tariff, subtotal: i64, method: ShippingMethod, selected: bool) -> ShippingChoice {
    let totals = tariff.totals(subtotal, method);
    let (label, promise) = match method {
        ShippingMethod::Standard => ("Standard", "Arrives in 3 to 5 working days"),
        ShippingMethod::Express => ("Express", "Arrives on the next working day"),
    };
    ShippingChoice {
        method: method.as_str().to_owned(),
        label: label.to_owned(),
        promise: promise.to_owned(),
        cost: totals.shipping.into(),
        tax: totals.tax.into(),
        total: totals.total.into(),
        selected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body::typed;
    use crate::http::checkout::CheckoutRequest;

    fn fields(more: &str) -> Fields {
        let form = "email=ada%40example.org&name=Ada&line1=Linden+1&line2=&city=Berlin&region=\
                    &postal_code=10117&country=DE&payment_token=tok_approve&shipping_method=express\
                    &expected_total_standard=5489&expected_total_express=5989&idempotency_key=k";
        Fields::parse(&format!("{form}{more}")).unwrap()
    }

    #[test]
    fn a_form_says_what_a_program_would_say() {
        let form = Form::sent(&fields(""));
        assert!(fields("").check_filled(&REQUIRED).is_empty());
        let request = form.request("EUR");
        assert_eq!(
            request["expected_total"],
            json!({"amount": 5989, "currency": "EUR"})
        );
        assert!(request["shipping_address"].get("line2").is_none());
        assert!(typed::<CheckoutRequest>(request).is_ok());
    }

    #[test]
    fn faults_find_their_fields() {
        let mut form = Form::sent(&fields(""));
        form.token = Some("tok_gold".to_owned());
        if let Some(values) = &mut form.values {
            values.country = "Germany".to_owned();
            values.email = "ada".to_owned();
        }
        let problem = typed::<CheckoutRequest>(form.request("EUR")).unwrap_err();
        let errors = field_errors(problem.errors(), field_of);
        for field in ["payment_token", "country", "email"] {
            assert!(errors.of(field).is_some(), "{field}: {errors:?}");
        }
    }
}
