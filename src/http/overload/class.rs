//! What a request is for, and so how long it is let in when there is too much to do.

use axum::http::Method;

/// What a request is for, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Whether the shop is well, and the operators' look at it: has places of its own, so that a full
    /// shop can be looked at.
    Operate,
    /// Filling a cart, paying, following an order, and what the payment provider tells us.
    Checkout,
    /// Looking around, and signing in.
    Browse,
    /// Searches, sellers' work, imports, documents: everything else.
    Rest,
}

/// Addresses of a class, and everything below them.
const OPERATE: [&str; 4] = ["/healthz", "/readyz", "/metrics", "/ops"];
const CHECKOUT: [&str; 4] = ["/v1/orders", "/v1/webhooks", "/checkout", "/orders"];
/// Of these only what changes something is on the way to paying: looking at a cart is looking around.
const CART: [&str; 2] = ["/v1/cart", "/cart"];
const REST: [&str; 10] = [
    "/v1/seller",
    "/v1/stock",
    "/v1/imports",
    "/seller",
    "/search",
    "/docs",
    "/problems",
    "/openapi.json",
    "/asyncapi.json",
    "/dev",
];
const PRODUCTS: &str = "/v1/products";

impl Class {
    /// All of them, the most important first.
    pub const ALL: [Self; 4] = [Self::Operate, Self::Checkout, Self::Browse, Self::Rest];

    /// The class of a request, known from its first line.
    #[must_use]
    pub fn of(method: &Method, path: &str, query: Option<&str>) -> Self {
        if under(&OPERATE, path) {
            Self::Operate
        } else if under(&CHECKOUT, path) || (under(&CART, path) && !method.is_safe()) {
            Self::Checkout
        } else if under(&REST, path) || is_work_on_products(method, path, query) {
            Self::Rest
        } else {
            Self::Browse
        }
    }

    /// Where the class stands in [`Self::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// How many hundredths of the room may be full and the class still be let in: what is above is kept
    /// for those before it.
    pub(super) const fn share(self) -> usize {
        match self {
            Self::Operate | Self::Checkout => 100,
            Self::Browse => 75,
            Self::Rest => 50,
        }
    }

    /// As metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operate => "operate",
            Self::Checkout => "checkout",
            Self::Browse => "browse",
            Self::Rest => "rest",
        }
    }
}

fn under(roots: &[&str], path: &str) -> bool {
    roots.iter().any(|root| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// A search or a narrowed list, which have to be computed, and what sellers write.
fn is_work_on_products(method: &Method, path: &str, query: Option<&str>) -> bool {
    let narrows = |field: &str| field.starts_with("q=") || field.starts_with("attr.");
    under(&[PRODUCTS], path)
        && (!method.is_safe() || query.is_some_and(|query| query.split('&').any(narrows)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_first_line() {
        let of = |method: Method, target: &str| {
            let (path, query) = match target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (target, None),
            };
            Class::of(&method, path, query)
        };
        for (method, target, class) in [
            (Method::POST, "/v1/cart/checkout", Class::Checkout),
            (Method::PUT, "/v1/cart/lines/TV-1", Class::Checkout),
            (Method::GET, "/v1/cart", Class::Browse),
            (Method::GET, "/cart", Class::Browse),
            (Method::POST, "/cart/add", Class::Checkout),
            (Method::GET, "/checkout", Class::Checkout),
            (Method::GET, "/v1/orders/9", Class::Checkout),
            (Method::PUT, "/v1/cartography", Class::Browse),
            (Method::GET, "/v1/products?sort=price&limit=3", Class::Browse),
            (Method::GET, "/v1/products?limit=3&q=tv", Class::Rest),
            (Method::GET, "/v1/products?attr.colour=black", Class::Rest),
            (Method::POST, "/v1/products", Class::Rest),
            (Method::GET, "/search?q=tv", Class::Rest),
            (Method::GET, "/v1/seller/orders", Class::Rest),
            (Method::GET, "/p/a-tv", Class::Browse),
            (Method::POST, "/v1/guests", Class::Browse),
            (Method::GET, "/healthz", Class::Operate),
            (Method::GET, "/ops/v1/tree", Class::Operate),
        ] {
            assert_eq!(of(method.clone(), target), class, "{method} {target}");
        }
        assert!(Class::ALL.is_sorted());
        assert!(
            Class::ALL
                .iter()
                .enumerate()
                .all(|(index, class)| class.index() == index)
        );
    }
}
