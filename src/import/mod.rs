//! Catalogue files to products.
