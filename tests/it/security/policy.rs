//! Who may pass each door: one line a route, a page, a channel. A new one needs a line here, or the
//! test fails; `docs/SECURITY.md` shows the lines with what was seen.

/// Who a route of the API is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Anybody; nobody's credentials are looked at.
    Anyone,
    /// Anybody, but whoever shows a credential must show a good one. One that has ended is nobody's:
    /// whoever signs in again may not know yet.
    AnyoneOrKnown,
    /// Whoever proves it with the request itself; everybody else gets this problem.
    Proof(&'static str),
    /// Anybody we know.
    Known,
    /// Shoppers, each their own things.
    Shopper,
    /// Shoppers; what is in the path is one shopper's, and absent for every other.
    Owner,
    /// The owner of what is in the path, sellers and operators; absent for everybody else.
    Party,
    /// Sellers.
    Seller,
    /// Operators.
    Operator,
}

use Door::{Anyone, AnyoneOrKnown, Known, Operator, Owner, Party, Proof, Seller, Shopper};

/// Every route of `/openapi.json`, and nothing else.
pub const ROUTES: &[(&str, Door)] = &[
    ("POST /v1/guests", Anyone),
    ("POST /v1/customers", AnyoneOrKnown),
    ("POST /v1/sessions", AnyoneOrKnown),
    ("POST /v1/sessions/refresh", Proof("invalid-refresh-token")),
    ("DELETE /v1/sessions/current", Known),
    ("GET /.well-known/jwks.json", Anyone),
    ("GET /v1/me", Known),
    ("PUT /v1/me/password", Known),
    ("POST /v1/password-resets", Anyone),
    ("PUT /v1/password-resets/{token}", Anyone),
    ("GET /v1/products", Anyone),
    ("GET /v1/products/{id}", Anyone),
    ("GET /v1/categories", Anyone),
    ("POST /v1/products", Seller),
    ("PATCH /v1/products/{id}", Seller),
    ("PUT /v1/products/{id}/price", Seller),
    ("GET /v1/seller/products/{id}", Seller),
    ("GET /v1/stock/{sku}", Seller),
    ("POST /v1/stock/{sku}/adjustments", Seller),
    ("POST /v1/imports", Seller),
    ("GET /v1/imports/{id}", Seller),
    ("GET /v1/cart", Shopper),
    ("DELETE /v1/cart", Shopper),
    ("PUT /v1/cart/lines/{sku}", Shopper),
    ("DELETE /v1/cart/lines/{sku}", Shopper),
    ("POST /v1/cart/quote", Shopper),
    ("POST /v1/cart/checkout", Shopper),
    ("GET /v1/orders", Shopper),
    ("GET /v1/orders/{id}", Party),
    ("POST /v1/orders/{id}/cancel", Owner),
    ("POST /v1/orders/{id}/confirm-payment", Owner),
    ("GET /v1/seller/orders", Seller),
    ("POST /v1/seller/orders/{id}/pack", Seller),
    ("POST /v1/seller/orders/{id}/ship", Seller),
    ("POST /v1/seller/orders/{id}/deliver", Seller),
    ("POST /v1/seller/orders/{id}/refunds", Seller),
    ("POST /v1/seller/orders/{id}/cancel", Seller),
    ("POST /v1/webhooks/{provider}", Proof("bad-signature")),
    ("GET /ops/v1/tree", Operator),
    ("GET /ops/v1/invariants", Operator),
    ("PUT /ops/v1/roles", Operator),
    ("GET /ops/v1/dead-letters", Operator),
    ("GET /ops/v1/dead-letters/{id}", Operator),
    ("POST /ops/v1/dead-letters/{id}/redrive", Operator),
    ("POST /ops/v1/dead-letters/redrive", Operator),
    ("GET /ops/v1/consumers", Operator),
    // What is paused here goes on with the next line.
    ("POST /ops/v1/consumers/{name}/pause", Operator),
    ("POST /ops/v1/consumers/{name}/resume", Operator),
    ("GET /ops/v1/audit", Operator),
    ("GET /healthz", Anyone),
    ("GET /readyz", Anyone),
    ("GET /metrics", Anyone),
    ("GET /openapi.json", Anyone),
];

/// Who a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Anybody.
    Open,
    /// Anybody; a form begins a guest's session where there is none.
    Form,
    /// Whoever has signed in.
    Member,
    /// Whoever has signed in and shops.
    Customer,
    /// Sellers.
    Staff,
    /// The owner of what is in the path, and sellers and operators where the API lets them.
    Party,
    /// The owner of what is in the path; absent for everybody else.
    Owner,
}

/// Every page, with the door it has for reading and for sending its form. `{…}` is filled in with a
/// thing of the shopper.
pub const PAGES: &[(&str, Option<Gate>, Option<Gate>)] = &[
    ("/", Some(Gate::Open), None),
    ("/c/{slug}", Some(Gate::Open), None),
    ("/search", Some(Gate::Open), None),
    ("/p/{slug}", Some(Gate::Open), None),
    ("/cart", Some(Gate::Open), None),
    ("/cart/add", None, Some(Gate::Form)),
    ("/cart/update", None, Some(Gate::Form)),
    ("/cart/remove", None, Some(Gate::Form)),
    // Whoever has nothing to check out is shown their cart; for the rest the API decides.
    ("/checkout", Some(Gate::Open), Some(Gate::Open)),
    ("/orders/{id}", Some(Gate::Party), None),
    ("/orders/{id}/cancel", None, Some(Gate::Owner)),
    ("/orders/{id}/confirm-payment", None, Some(Gate::Owner)),
    ("/sign-in", Some(Gate::Open), Some(Gate::Open)),
    ("/register", None, Some(Gate::Open)),
    ("/sign-out", None, Some(Gate::Open)),
    ("/password-reset", Some(Gate::Open), Some(Gate::Open)),
    ("/password-reset/{token}", Some(Gate::Open), Some(Gate::Open)),
    ("/account", Some(Gate::Member), None),
    ("/account/orders", Some(Gate::Customer), None),
    ("/account/password", None, Some(Gate::Member)),
    ("/seller/orders", Some(Gate::Staff), None),
    ("/seller/orders/{id}", Some(Gate::Staff), None),
    ("/seller/orders/{id}/slip", Some(Gate::Staff), None),
    ("/seller/orders/{id}/{step}", None, Some(Gate::Staff)),
    ("/seller/products", Some(Gate::Staff), Some(Gate::Staff)),
    ("/seller/products/new", Some(Gate::Staff), None),
    ("/seller/products/{id}", Some(Gate::Staff), Some(Gate::Staff)),
    ("/seller/products/{id}/price", None, Some(Gate::Staff)),
    ("/seller/products/{id}/published", None, Some(Gate::Staff)),
    ("/seller/stock", Some(Gate::Staff), Some(Gate::Staff)),
    ("/imprint", Some(Gate::Open), None),
    ("/privacy", Some(Gate::Open), None),
    ("/returns", Some(Gate::Open), None),
    ("/problems/{slug}", Some(Gate::Open), None),
    ("/docs", Some(Gate::Open), None),
    // For who sits at the machine only, and only where mail goes nowhere else: `page_safety`.
    ("/dev/mail", Some(Gate::Open), None),
    ("/dev/mail.json", Some(Gate::Open), None),
    ("/dev/mail/{number}", Some(Gate::Open), None),
    ("/art/{file}", Some(Gate::Open), None),
];

/// Every channel of `/asyncapi.json`, and nothing else.
pub const CHANNELS: &[(&str, Door)] = &[("product:{id}", Anyone), ("cart", Shopper), ("order:{id}", Party)];
