//! How a stock is hosted.

use std::time::Duration;

use super::Hosted;
use super::directory::{Directories, Directory};
use crate::domain::stock::Stock;

impl Hosted for Stock {
    const IDLE: Duration = Duration::from_secs(600);
    const SNAPSHOT_EVERY: i64 = 500;
    const MAILBOX_LIMIT: u32 = 20000;

    fn directory(directories: &Directories) -> &Directory<Self> {
        &directories.stocks
    }
}
