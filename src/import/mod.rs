//! Catalogue files to products.
//!
//! The pure half: formats in, products and refused rows out. No reader listens, fetches a picture or
//! believes a file: each is bounded in memory and time, whatever bytes it is given, and one bad row
//! costs that row. The working half: [`job`] appends what was read in bulk, [`book`] keeps the rows
//! about imports.
//!
//! Start at [`format::open`]: it finds out the [`Format`] and gives a [`Source`], which is read to
//! its end. [`icecat`], [`shopify`] and [`jsonl`] are the sources; [`product`] is what they all are
//! read into and the one place where a row is judged; [`category`] places what names no category;
//! [`generate`] makes products up, for the demo and for measuring.

pub mod book;
pub mod category;
mod elements;
mod families;
pub mod format;
#[doc(hidden)]
pub mod fuzz;
pub mod generate;
pub mod icecat;
pub mod job;
pub mod jsonl;
mod parts;
pub mod product;
mod records;
pub mod shopify;
mod slug;
mod table;
mod text;

pub use category::Category;
pub use format::{Format, ImportFault, Source, open};
pub use job::Imports;
pub use product::{ImportedProduct, Rejection};

#[cfg(test)]
mod tests;
