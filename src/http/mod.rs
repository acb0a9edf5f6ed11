//! The edge: routes, authorisation, limits, problem details and the storefront pages.

pub mod art;
pub mod asset;
pub mod pages;
