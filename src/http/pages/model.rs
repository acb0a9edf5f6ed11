//! What each page shows: one struct a template, filled by the handlers, formatted here.
//!
//! Every page carries a [`Shell`], the part around its content. Values arrive ready to be shown:
//! amounts as [`Money`], instants as [`When`], codes of the API as the small enums that also know
//! their English label. Nothing here decides, asks or stores; templates escape everything.

mod account;
mod cart;
mod catalogue;
mod checkout;
mod form;
mod listing;
mod mailbox;
mod money;
mod notice;
mod order;
mod seller;
mod shell;
mod when;

pub use account::{
    AccountOrdersPage, AccountPage, OrderSummary, PasswordResetPage, PasswordResetRequestPage, SignInPage,
};
pub use cart::{CartLine, CartPage};
pub use catalogue::{
    AttributeGroup, AttributeRow, Availability, CategoryTile, HomePage, ProductCard, ProductPage, Shelf,
    VariantChoice,
};
pub use checkout::{CheckoutPage, CheckoutValues, Country, PaymentChoice, ShippingChoice};
pub use form::{FieldError, FieldErrors};
pub use listing::{CategoryPage, Facet, FacetRange, FacetValue, FilterChip, Listing, SearchPage, Sort};
pub use mailbox::{MailPage, MailSummary, MailboxPage};
pub use money::Money;
pub use notice::{DocsPage, ErrorPage, ProblemPage, Repeat, TextPage, TextSection};
pub use order::{
    Address, HistoryEntry, OrderLine, OrderPage, OrderStatus, PaymentStatus, PaymentSummary, Shipment, Step,
    StepState, Totals,
};
pub use seller::{
    PackingSlipPage, ProductFormPage, ProductValues, SellerOrderPage, SellerOrderRow, SellerOrdersPage,
    SellerProductRow, SellerProductsPage, SellerStockPage, StatusCount, StockFigures,
};
pub use shell::{Banner, Link, NavCategory, Shell, Tone, Visitor};
pub use when::When;
