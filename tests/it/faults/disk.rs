//! The disk under PostgreSQL: slow, failing, full.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use globalshop::clock::Clock;
use reqwest::Method;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::node::{Node, binary};
use super::shoppers::Shoppers;
use super::tools::{Traced, has, holds_for, is_root, missing, signal};
use crate::eventually::eventually;
use crate::scratch::Scratch;

/// A commit takes fifty times as long: batches grow, orders go on, nothing times out.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_makes_batches_larger_and_nothing_fail() {
    if !has("a slow disk", "strace", "strace") {
        return;
    }
    let mut node = Node::open(&[]).await;
    let mut shoppers = Shoppers::enter(&node);
    shoppers.buy(30).await;
    let slow = Traced::inject(&node.database_processes(), "fsync,fdatasync", "delay_exit=50000").await;
    let clock = Clock::system();
    let begun = clock.instant();
    shoppers.buy(60).await;
    println!(
        "60 acknowledged in {:?} with 50 ms a sync",
        clock.instant() - begun
    );
    drop(slow);
    shoppers.buy(30).await;
    let report = shoppers.leave().await;
    assert_eq!(report["outages"]["calls"], 0, "a slow disk is no outage");
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}

/// PostgreSQL does not go on after a sync that failed: it ends every connection and recovers from its
/// log. For the node that is a server that was killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_is_a_crash_of_postgres_and_nothing_more() {
    if !has("a failing disk", "strace", "strace") {
        return;
    }
    let mut node = Node::open(&[]).await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    let mut shoppers = Shoppers::enter(&node);
    shoppers.buy(30).await;
    let postmaster = node.postmaster();
    // Those at work, and nobody who comes after them.
    let mut backends = node.database_processes();
    backends.retain(|pid| *pid != postmaster);
    let failing = Traced::inject(&backends, "fsync,fdatasync", "error=EIO").await;
    eventually("PostgreSQL panics", async || {
        node.told().contains("PANIC").then_some(()).ok_or("not yet")
    })
    .await;
    drop(failing);
    let back = node.writes_again(&guest, &sku).await;
    println!("a failing sync: written again {back:?} after PostgreSQL gave up");
    shoppers.buy(30).await;
    shoppers.leave().await;
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}

/// A file system of its own in a file, and how to fill it. Dropped, it is unmounted.
struct SmallDisk {
    scratch: Scratch,
}

impl SmallDisk {
    /// `None`: this machine cannot mount one, which was said.
    fn new(what: &str, megabytes: u64) -> Option<Self> {
        let there = is_root(what) && has(what, "mkfs.ext4", "e2fsprogs") && has(what, "mount", "mount");
        if !there {
            return None;
        }
        let disk = Self {
            scratch: Scratch::new(),
        };
        let image = disk.scratch.path().join("image");
        File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        std::fs::create_dir(disk.path()).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image)).unwrap();
        let mounted = run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(disk.path()));
        match mounted {
            Ok(()) => Some(disk),
            Err(said) => {
                missing(what, &format!("a mount of a loop device, which says: {said}"));
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("disk")
    }

    fn room(&self) -> u64 {
        let disk = statvfs(self.path()).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    /// Takes all the room there is but for `left` bytes, until the file goes.
    fn fill(&self, left: u64) -> PathBuf {
        let filler = self.path().join("filler");
        let file = File::options().create(true).append(true).open(&filler).unwrap();
        let mut piece = self.room();
        while piece > 4_096 {
            let from = file.metadata().unwrap().len();
            let free = self.room().saturating_sub(left);
            piece = piece.min(free);
            if piece == 0 || fallocate(file.as_fd(), FallocateFlags::empty(), from, piece).is_err() {
                piece /= 2;
            }
        }
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever is still on it has been killed and is about to go. Not mounted is as good.
        let _said = run(Command::new("umount").arg("--lazy").arg(self.path()));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let ended = command.output().unwrap();
    if ended.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&ended.stderr).trim().to_owned())
}

/// Nearly no room is left on the disk of the data folder: what would be written is refused, with the
/// reason; what can be read is read. Then none at all, and PostgreSQL is killed, so that it cannot even
/// recover: the node bears that for as long as it lasts, and goes on by itself when there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_goes_on_by_itself() {
    let Some(disk) = SmallDisk::new("a full disk", 1_024) else {
        return;
    };
    let mut node = Node::closed_in(&disk.path().join("data"), &[("journal.reserve_mb", "128")]).await;
    node.start().await;
    let (guest, sku) = (node.guest().await, node.sku().await);
    let mut shoppers = Shoppers::enter(&node);
    shoppers.buy(30).await;
    let order = node.check_out(&guest, &sku, "tok_approve").await;
    node.order_is(&guest, &order, "confirmed").await;
    assert_eq!(node.put(&guest, &sku).await, Some(200));

    let filler = disk.fill(96 << 20);
    eventually("writes are refused, with the reason", async || {
        refused(&node, &guest, &sku).await
    })
    .await;
    let seen = node.ask(Method::GET, "/v1/cart", Some(&guest), None).await;
    holds_for("what can be read is read", Duration::from_secs(3), async || {
        node.ask(Method::GET, "/v1/cart", Some(&guest), None).await["version"] == seen["version"]
            && node.order(&guest, &order).await["status"] == "confirmed"
            && node.shows_products().await
            && node.readiness().await.0 == 200
    })
    .await;
    assert_eq!(refused(&node, &guest, &sku).await, Ok(()));

    disk.fill(0);
    for pid in node.database_processes() {
        signal(pid, Signal::KILL);
    }
    eventually("PostgreSQL waits for room", async || {
        let told = node.told();
        told.contains("PostgreSQL is started when there is room")
            .then_some(())
            .ok_or("not yet")
    })
    .await;
    eventually("it is not ready", async || match node.readiness().await {
        (503, missing) if missing == json!(["the database"]) => Ok(()),
        other => Err(other),
    })
    .await;
    // Longer than a server that dies at every start would be borne.
    holds_for(
        "the node lives and shows what it has",
        Duration::from_secs(10),
        async || {
            node.is_running()
                && node.shows_products().await
                && node.readiness().await == (503, json!(["the database"]))
                && refused(&node, &guest, &sku).await == Ok(())
        },
    )
    .await;
    let clock = Clock::system();
    let freed = clock.instant();
    std::fs::remove_file(filler).unwrap();
    node.writes_again(&guest, &sku).await;
    println!(
        "a full disk: written again {:?} after there was room",
        clock.instant() - freed
    );
    eventually("it is ready again", async || match node.readiness().await {
        (200, _) => Ok(()),
        other => Err(other),
    })
    .await;
    shoppers.buy(30).await;
    shoppers.leave().await;
    node.audit(Some(shoppers.acks())).await;
    node.stop().await;
}

/// A shop is not begun on a disk that it would fill: the newcomer is told how much is missing, and nothing is left.
#[test]
fn a_shop_is_not_begun_on_a_disk_without_room() {
    let Some(disk) = SmallDisk::new("a small disk", 96) else {
        return;
    };
    let data = disk.path().join("data");
    let ended = binary()
        .args(["run", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("MiB left, and a new shop needs 128"), "{said}");
    assert!(!data.join("postgres").exists());
}

/// Whether a write is refused because the disk is full.
async fn refused(node: &Node, guest: &str, sku: &str) -> Result<(), String> {
    let path = format!("/v1/cart/lines/{sku}");
    let body = json!({"quantity": 2});
    let answer = node.call(Method::PUT, &path, Some(guest), Some(&body)).await;
    let answer = answer.ok_or("no answer")?;
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.map_err(|fault| fault.to_string())?;
    match (status, problem["type"].as_str()) {
        (503, Some("/problems/disk-full")) => Ok(()),
        _ => Err(format!("{status}: {problem}")),
    }
}
