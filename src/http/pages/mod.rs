//! The storefront: pages rendered by the server, which work without JavaScript.
//!
//! [`model`] says what each page shows; the templates in `templates/` say how. A page never holds
//! a rule of the shop: its handler asks an actor or a view and fills the model.

pub mod model;

#[cfg(test)]
mod preview;
