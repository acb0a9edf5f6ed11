//! Shoppers who buy while something goes wrong: `globalshop load` in a process of its own, which
//! checks every answer, sends what was not answered once more with the same key, and writes down what
//! was acknowledged.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use super::node::{Node, binary};
use super::tools::signal;
use crate::eventually::eventually;

/// How long a shopper bears the shop being away, and waits for an order to end, in seconds.
const PATIENCE: &str = "50";

/// Shoppers at work.
pub struct Shoppers {
    child: Child,
    acks: PathBuf,
    report: PathBuf,
}

impl Shoppers {
    /// A few shoppers with every quick kind of payment.
    pub fn enter(node: &Node) -> Self {
        Self::enter_with(node, &["--shoppers", "6"])
    }

    /// Shoppers with more words to `globalshop load checkout`.
    pub fn enter_with(node: &Node, more: &[&str]) -> Self {
        let acks = node.folder().join("acks.jsonl");
        let report = node.folder().join("load.json");
        let mut command = binary();
        command.args([
            "load",
            "checkout",
            "--json",
            "--no-audit",
            "--seconds",
            "86400",
            "--survive",
        ]);
        command.args(["--survive-for", PATIENCE, "--end-within", PATIENCE]);
        for token in [
            "tok_approve=8",
            "tok_decline=1",
            "tok_3ds=1",
            "tok_error_twice=1",
            "tok_timeout_charged=1",
            "tok_duplicate_webhook=1",
        ] {
            command.args(["--payment-token", token]);
        }
        command.args(["--url", &node.url(), "--data"]).arg(node.data());
        command.arg("--acks").arg(&acks).args(more);
        let out = File::create(&report).unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(out);
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        Self { child, acks, report }
    }

    pub fn acks(&self) -> &Path {
        &self.acks
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        std::fs::read(&self.acks).map_or(0, |lines| lines.iter().filter(|byte| **byte == b'\n').count())
    }

    /// Waits until `more` further writes are acknowledged: the shop is in business.
    pub async fn buy(&mut self, more: usize) {
        let until = self.acknowledged() + more;
        eventually("shoppers are served", async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the shoppers left with {status}: {}", self.told());
            }
            let now = self.acknowledged();
            if now >= until { Ok(()) } else { Err(until - now) }
        })
        .await;
    }

    /// Sends them home: nobody begins anything any more, everybody sees the own orders through. Every
    /// check of theirs held, none of their calls was answered 500, and every order ended as its payment
    /// says.
    pub async fn leave(&mut self) -> Value {
        signal(self.child.id(), Signal::INT);
        eventually("the shoppers leave", async || {
            self.child.try_wait().unwrap().ok_or("still there")
        })
        .await;
        let told = self.told();
        let report: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("no report: {told}"));
        assert_eq!(report["ok"], true, "{:#}", report["checks"]);
        for kind in report["kinds"].as_array().unwrap() {
            let failed = &kind["endings"]["500"];
            assert!(
                failed.is_null(),
                "{} was answered 500 {failed} times",
                kind["kind"]
            );
        }
        let orders = &report["orders"];
        assert_eq!(
            (&orders["unended"], &orders["wrong"]),
            (&0.into(), &0.into()),
            "{orders}"
        );
        report
    }

    fn told(&self) -> String {
        std::fs::read_to_string(&self.report).unwrap()
    }
}

impl Drop for Shoppers {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// How many calls of a run met an outage.
pub fn outages(report: &Value) -> u64 {
    let refused: u64 = report["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|kind| kind["endings"]["503"].as_u64())
        .sum();
    refused + report["outages"]["calls"].as_u64().unwrap()
}
