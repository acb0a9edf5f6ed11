//! The witness: what the shop acknowledged, written down outside the shop.
//!
//! One JSON object a line. A line is on the disk (`fdatasync`) before the shopper goes on, so after
//! a `kill -9` of the node every line is a promise the shop must have kept (invariant I1). Shoppers
//! that wait at the same time share one sync.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

/// How many acknowledgements may wait for the disk. Each shopper waits for its own, so this is
/// rarely more than there are shoppers.
const WAITING: usize = 4_096;

/// What was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckKind {
    /// A guest exists, or its tokens were renewed: `customer_id`, `access_token`, `expires_at`,
    /// `refresh_token`. The newest line of a customer counts.
    Guest,
    /// A line was set: `cart_id`, `sku`, `quantity` (0: removed), `version`, `position`.
    CartLine,
    /// A cart was emptied: `cart_id`, `version`, `position`.
    CartEmptied,
    /// An order was taken: `cart_id`, `order_id`, `total`, `payment_token`, `idempotency_key`,
    /// `body`, `body_hash`, `position`. The cart is empty afterwards.
    Checkout,
    /// The 3-D-Secure step: `order_id`, `outcome`, `idempotency_key`.
    ConfirmPayment,
    /// Not an acknowledgement: a write to this cart whose answer never came. What the cart holds
    /// from here on is not known.
    Unknown,
}

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ack {
    /// When the answer was read, in milliseconds since the Unix epoch.
    pub at: i64,
    /// What it was.
    pub kind: AckKind,
    /// Whose.
    pub customer_id: String,
    /// On [`AckKind::Guest`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// When the access token ends, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Good for one renewal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// The cart that was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cart_id: Option<String>,
    /// The order that was placed or moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// The line that was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// The quantity it was set to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u32>,
    /// The cart's version in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The total of the order, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// How it was paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_token: Option<String>,
    /// The outcome chosen in the 3-D-Secure step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The `Position` header of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// The `Idempotency-Key` it was sent with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// SHA-256 of the answer's body, in hexadecimal: the same key must answer these bytes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_hash: Option<String>,
    /// The body that was sent, so that it can be sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<RawValue>>,
}

impl Ack {
    /// A line with nothing but its kind, its time and its customer.
    #[must_use]
    pub fn new(kind: AckKind, at: i64, customer_id: impl Into<String>) -> Self {
        Self {
            at,
            kind,
            customer_id: customer_id.into(),
            access_token: None,
            expires_at: None,
            refresh_token: None,
            cart_id: None,
            order_id: None,
            sku: None,
            quantity: None,
            version: None,
            total: None,
            payment_token: None,
            outcome: None,
            position: None,
            idempotency_key: None,
            body_hash: None,
            body: None,
        }
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn body_hash(body: &[u8]) -> String {
    Sha256::digest(body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Why the witness cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum AckFault {
    /// The file cannot be opened, read or written.
    #[error("the file of acknowledgements")]
    File(#[from] io::Error),
    /// A line that is not the torn last one is no acknowledgement.
    #[error("line {line} of the acknowledgements is damaged")]
    Damaged {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The thread that writes has ended, after an error it told somebody else.
    #[error("the writer of acknowledgements has stopped")]
    Stopped,
}

type Waiting = (Vec<u8>, oneshot::Sender<Result<(), io::ErrorKind>>);

/// Appends acknowledgements to a file, durably.
#[derive(Clone, Debug)]
pub struct AckLog(mpsc::Sender<Waiting>);

impl AckLog {
    /// Opens `path` for appending. A torn last line (the generator itself was killed) is ended first.
    pub fn open(path: &Path) -> Result<Self, AckFault> {
        end_torn_line(path)?;
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.sync_all()?;
        let (sender, receiver) = mpsc::channel(WAITING);
        // Disk syncs block; they get a thread that is allowed to.
        tokio::task::spawn_blocking(move || write_groups(file, receiver));
        Ok(Self(sender))
    }

    /// Returns once the line is on the disk.
    pub async fn write(&self, ack: &Ack) -> Result<(), AckFault> {
        let mut line = serde_json::to_vec(ack).map_err(io::Error::from)?;
        line.push(b'\n');
        let (done, written) = oneshot::channel();
        self.0.send((line, done)).await.map_err(|_| AckFault::Stopped)?;
        match written.await {
            Ok(outcome) => outcome.map_err(|kind| AckFault::File(kind.into())),
            Err(_) => Err(AckFault::Stopped),
        }
    }
}

/// Takes everything that waits, writes it, syncs once, answers everybody. Ends with the last sender.
fn write_groups(mut file: File, mut receiver: mpsc::Receiver<Waiting>) {
    let mut bytes = Vec::new();
    let mut waiting = Vec::new();
    while let Some(first) = receiver.blocking_recv() {
        let mut next = Some(first);
        while let Some((line, done)) = next {
            bytes.extend_from_slice(&line);
            waiting.push(done);
            next = receiver.try_recv().ok();
        }
        let outcome = file
            .write_all(&bytes)
            .and_then(|()| file.sync_data())
            .map_err(|error| error.kind());
        bytes.clear();
        for done in waiting.drain(..) {
            // A shopper that was cancelled does not wait any more.
            let _ = done.send(outcome);
        }
        if outcome.is_err() {
            return;
        }
    }
}

fn end_torn_line(path: &Path) -> io::Result<()> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let whole = content
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1);
    if whole == content.len() {
        return Ok(());
    }
    let mut file = OpenOptions::new().append(true).open(path)?;
    if serde_json::from_slice::<Ack>(&content[whole..]).is_ok() {
        return file.write_all(b"\n");
    }
    file.set_len(whole as u64)
}

/// Reads a file of acknowledgements from its start. A torn last line was never acknowledged to
/// anybody and is left out; any other damaged line is an error, and the reading goes on after it.
pub fn read_acks(path: &Path) -> Result<impl Iterator<Item = Result<Ack, AckFault>> + use<>, AckFault> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut number = 0;
    Ok(std::iter::from_fn(move || {
        loop {
            let mut line = Vec::new();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error.into())),
            }
            number += 1;
            let ended = line.last() == Some(&b'\n');
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(ack) => return Some(Ok(ack)),
                Err(_) if !ended => return None,
                Err(source) => return Some(Err(AckFault::Damaged { line: number, source })),
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("globalshop-acks-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn line_ack(sku: &str, version: u64) -> Ack {
        Ack {
            cart_id: Some("cart-1".to_owned()),
            sku: Some(sku.to_owned()),
            quantity: Some(2),
            version: Some(version),
            body: RawValue::from_string(r#"{"quantity":2}"#.to_owned()).ok(),
            ..Ack::new(AckKind::CartLine, 5, "guest-1")
        }
    }

    #[tokio::test]
    async fn what_was_written_is_read_again_and_shoppers_may_write_at_once() {
        let path = scratch("written");
        let log = AckLog::open(&path).unwrap();
        let writes = (1..=50).map(|version| {
            let log = log.clone();
            async move { log.write(&line_ack("TV-1", version)).await }
        });
        for outcome in futures_util::future::join_all(writes).await {
            outcome.unwrap();
        }
        let mut versions: Vec<u64> = read_acks(&path)
            .unwrap()
            .map(|ack| ack.unwrap().version.unwrap())
            .collect();
        versions.sort_unstable();
        assert_eq!(versions, (1..=50).collect::<Vec<_>>());
        let first = read_acks(&path).unwrap().next().unwrap().unwrap();
        assert_eq!(first.body.unwrap().get(), r#"{"quantity":2}"#);
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn a_torn_last_line_is_left_out_and_cut_off_before_more_is_written() {
        let path = scratch("torn");
        let whole = serde_json::to_string(&line_ack("TV-1", 1)).unwrap();
        std::fs::write(&path, format!("{whole}\n{{\"at\": 7, \"kind\": \"cart_l")).unwrap();
        assert_eq!(read_acks(&path).unwrap().filter(Result::is_ok).count(), 1);
        assert_eq!(read_acks(&path).unwrap().filter(Result::is_err).count(), 0);

        let log = AckLog::open(&path).unwrap();
        log.write(&line_ack("TV-2", 2)).await.unwrap();
        let skus: Vec<_> = read_acks(&path)
            .unwrap()
            .map(|ack| ack.unwrap().sku.unwrap())
            .collect();
        assert_eq!(skus, ["TV-1", "TV-2"]);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error() {
        let path = scratch("damaged");
        let whole = serde_json::to_string(&line_ack("TV-1", 1)).unwrap();
        std::fs::write(&path, format!("{whole}\nnonsense\n{whole}\n")).unwrap();
        let read: Vec<_> = read_acks(&path).unwrap().collect();
        assert_eq!(read.len(), 3);
        assert!(matches!(read[1], Err(AckFault::Damaged { line: 2, .. })));
        std::fs::remove_file(path).unwrap();
    }
}
