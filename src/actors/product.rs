//! How a product is hosted.

use std::time::Duration;

use super::Hosted;
use super::directory::{Directories, Directory};
use crate::domain::product::Product;

impl Hosted for Product {
    const IDLE: Duration = Duration::from_secs(120);
    const SNAPSHOT_EVERY: i64 = 50;
    const MAILBOX_LIMIT: u32 = 256;

    fn directory(directories: &Directories) -> &Directory<Self> {
        &directories.products
    }
}
