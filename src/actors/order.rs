//! How a order is hosted.

use std::time::Duration;

use super::Hosted;
use super::directory::{Directories, Directory};
use crate::domain::order::Order;

impl Hosted for Order {
    const IDLE: Duration = Duration::from_secs(120);
    const SNAPSHOT_EVERY: i64 = 100;
    const MAILBOX_LIMIT: u32 = 256;

    fn directory(directories: &Directories) -> &Directory<Self> {
        &directories.orders
    }
}
