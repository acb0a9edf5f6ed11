//! How a cart is hosted.

use std::time::Duration;

use super::Hosted;
use super::directory::{Directories, Directory};
use crate::domain::cart::Cart;

impl Hosted for Cart {
    const IDLE: Duration = Duration::from_secs(600);
    const SNAPSHOT_EVERY: i64 = 200;
    const MAILBOX_LIMIT: u32 = 256;

    fn directory(directories: &Directories) -> &Directory<Self> {
        &directories.carts
    }
}
