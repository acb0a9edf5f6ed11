//! Imports at work: one at a time, in batches, resumed after a restart.
//!
//! A file is read on a blocking thread; its products are appended in bulk, without waking an actor
//! for each. Everything an import does is repeatable: a product that is so already is left alone, so
//! a restart begins the file again and only counts anew.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::book::{ImportBook, ImportRow, Tally};
use super::{Format, ImportedProduct, Rejection, generate, open};
use crate::actors::bulk::{Bulk, BulkCommand, BulkError, Done};
use crate::clock::Clock;
use crate::domain::Currency;
use crate::domain::product::{self, Product};
use crate::domain::stock::{self, Stock};

/// How many products are appended at once.
const BATCH: usize = 500;
/// How many rows may be read ahead.
const AHEAD: usize = 1_000;
/// How many imports may wait.
const WAITING: usize = 64;
/// How often a batch is tried before the import gives up.
const TRIES: u32 = 6;
/// The folder of files, below the data folder.
const FOLDER: &str = "imports";
/// The file of an import that is the demo catalogue, not a file.
const DEMO: Uuid = Uuid::from_u128(0x9c1f_0f3e_6f0a_5a6b_8a55_0d5e_3c0f_de30);

/// The imports of a node.
#[derive(Clone, Debug)]
pub struct Imports {
    book: ImportBook,
    bulk: Bulk,
    clock: Clock,
    folder: PathBuf,
    queue: mpsc::Sender<Uuid>,
}

/// What is asked with a file.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The import's id: the same request has the same.
    pub id: Uuid,
    /// SHA-256 of the file and of what follows here.
    pub body: [u8; 32],
    /// The format; found out if it is `None`.
    pub format: Option<Format>,
    /// The currency of prices that name none.
    pub currency: Currency,
    /// Units for new SKUs whose stock the file does not say.
    pub stock: Option<u32>,
    /// Whether nothing is to be written.
    pub dry_run: bool,
    /// How large the file is.
    pub bytes: u64,
}

/// An import cannot be taken or looked at.
#[derive(Debug, thiserror::Error)]
pub enum JobFault {
    /// The database does not answer.
    #[error("the rows about imports cannot be reached")]
    Database(#[from] sqlx::Error),
    /// The folder of files cannot be used.
    #[error("the folder {folder} cannot be used")]
    Folder {
        /// Which.
        folder: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Too many imports wait.
    #[error("{WAITING} imports are waiting already")]
    Full,
    /// The demo catalogue was not taken.
    #[error("the demo catalogue was not imported: {0}")]
    Demo(String),
}

impl Imports {
    /// Starts the worker and goes on with imports that had not ended.
    ///
    /// # Errors
    /// When database or folder cannot be used.
    pub async fn start(
        book: ImportBook,
        bulk: Bulk,
        clock: Clock,
        data: &Path,
    ) -> Result<(Self, JoinHandle<()>), JobFault> {
        let folder = data.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(|source| JobFault::Folder {
            folder: folder.display().to_string(),
            source,
        })?;
        let (queue, waiting) = mpsc::channel(WAITING);
        let imports = Self {
            book,
            bulk,
            clock,
            folder,
            queue,
        };
        for id in imports.book.open().await? {
            if imports.queue.try_send(id).is_err() {
                tracing::warn!(import = %id, "too many imports to go on with; this one waits for the next start");
            }
        }
        let worker = tokio::spawn(work(imports.clone(), waiting));
        Ok((imports, worker))
    }

    /// Where the file of an import is to be put before it is handed over.
    #[must_use]
    pub fn file(&self, id: Uuid) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// Takes an import whose file is in place. The same id again changes nothing.
    ///
    /// # Errors
    /// When there is no room or the database does not answer.
    pub async fn take(&self, wanted: &Wanted) -> Result<ImportRow, JobFault> {
        let row = ImportRow {
            id: wanted.id,
            body: wanted.body.to_vec(),
            status: "queued".to_owned(),
            format: wanted.format.map(|format| format.as_str().to_owned()),
            currency: wanted.currency.to_string(),
            stock: wanted.stock.map(i64::from),
            dry_run: wanted.dry_run,
            tally: Tally {
                bytes_total: i64::try_from(wanted.bytes).unwrap_or(i64::MAX),
                ..Tally::default()
            },
            error: None,
            created_at: self.clock.now(),
            ended_at: None,
        };
        let place = self.queue.try_reserve().map_err(|_| JobFault::Full)?;
        if self.book.enter(&row).await? {
            place.send(wanted.id);
        }
        Ok(row)
    }

    /// An import, if there is one of this id.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find(&self, id: Uuid) -> Result<Option<ImportRow>, JobFault> {
        Ok(self.book.find(id).await?)
    }

    /// Refused rows of an import after a row.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn rejections(&self, id: Uuid, after: i64, limit: i64) -> Result<Vec<Rejection>, JobFault> {
        Ok(self.book.rejections(id, after, limit).await?)
    }

    /// Fills an empty shop with the demo catalogue.
    ///
    /// # Errors
    /// When a product was not taken.
    pub async fn fill_demo(&self) -> Result<usize, JobFault> {
        let mut batch = Batch::new(self, DEMO, None, false);
        let products = generate::demo();
        let count = products.len();
        for product in products {
            batch.add(product).await.map_err(JobFault::Demo)?;
        }
        batch.flush().await.map_err(JobFault::Demo)?;
        match batch.refused.first() {
            Some(refused) => Err(JobFault::Demo(format!("row {}: {}", refused.row, refused.reason))),
            None => Ok(count),
        }
    }
}

async fn work(imports: Imports, mut waiting: mpsc::Receiver<Uuid>) {
    while let Some(id) = waiting.recv().await {
        let result = run(&imports, id).await;
        let error = result.err();
        if let Some(error) = &error {
            tracing::error!(import = %id, error, "an import failed");
        }
        if let Err(error) = imports.book.end(id, error.as_deref(), imports.clock.now()).await {
            tracing::error!(import = %id, %error, "the end of an import could not be noted; it is begun again at the next start");
            continue;
        }
        if let Err(error) = tokio::fs::remove_file(imports.file(id)).await {
            tracing::warn!(import = %id, %error, "the file of an import could not be removed");
        }
    }
}

/// Reads a file to its end. The error is a sentence for whoever asked.
async fn run(imports: &Imports, id: Uuid) -> Result<(), String> {
    let failed = |error: sqlx::Error| format!("the database does not answer: {error}");
    let row = imports
        .book
        .find(id)
        .await
        .map_err(failed)?
        .ok_or("there is no such import")?;
    imports.book.begin(id).await.map_err(failed)?;
    let format = row
        .format
        .as_deref()
        .map(str::parse::<Format>)
        .transpose()
        .map_err(|error| error.to_string())?;
    let currency: Currency = row
        .currency
        .parse()
        .map_err(|error: crate::domain::money::BadCurrency| error.to_string())?;
    let stock = row.stock.and_then(|units| u32::try_from(units).ok());

    let (rows, mut read) = mpsc::channel(AHEAD);
    let file = imports.file(id);
    let reader = tokio::task::spawn_blocking(move || reading(&file, format, currency, &rows));
    let mut batch = Batch::new(imports, id, stock, row.dry_run);
    while let Some(Read { product, bytes }) = read.recv().await {
        batch.tally.rows += 1;
        (batch.tally.bytes_read, batch.tally.bytes_total) = bytes;
        match product {
            Ok(product) => batch.add(product).await?,
            Err(rejection) => batch.refuse(rejection),
        }
    }
    batch.flush().await?;
    reader.await.map_err(|error| error.to_string())?
}

struct Read {
    product: Result<ImportedProduct, Rejection>,
    bytes: (i64, i64),
}

/// Reads a source to its end, as far as somebody wants its rows.
fn reading(
    file: &Path,
    format: Option<Format>,
    currency: Currency,
    rows: &mpsc::Sender<Read>,
) -> Result<(), String> {
    let mut source = open(file, format, currency).map_err(|fault| chain(&fault))?;
    while let Some(product) = source.next() {
        let (read, total) = source.progress();
        let whole = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        if rows
            .blocking_send(Read {
                product,
                bytes: (whole(read), whole(total)),
            })
            .is_err()
        {
            return Ok(());
        }
    }
    source.fault().map_or(Ok(()), |fault| Err(chain(fault)))
}

/// Products on their way into the journal.
struct Batch<'a> {
    imports: &'a Imports,
    id: Uuid,
    stock: Option<u32>,
    dry_run: bool,
    products: Vec<ImportedProduct>,
    skus: HashSet<String>,
    refused: Vec<Rejection>,
    tally: Tally,
}

impl<'a> Batch<'a> {
    fn new(imports: &'a Imports, id: Uuid, stock: Option<u32>, dry_run: bool) -> Self {
        Self {
            imports,
            id,
            stock,
            dry_run,
            products: Vec::new(),
            skus: HashSet::new(),
            refused: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn refuse(&mut self, rejection: Rejection) {
        self.tally.rejected += 1;
        self.refused.push(rejection);
    }

    async fn add(&mut self, product: ImportedProduct) -> Result<(), String> {
        // An entity is written once in a bulk; the second of a name comes in the next.
        let skus: Vec<String> = product.skus().map(ToString::to_string).collect();
        if skus.iter().any(|sku| self.skus.contains(sku)) {
            self.flush().await?;
        }
        self.skus.extend(skus);
        self.products.push(product);
        if self.products.len() >= BATCH || self.refused.len() >= BATCH {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), String> {
        let products = std::mem::take(&mut self.products);
        self.skus.clear();
        if self.dry_run {
            self.tally.created += i64::try_from(products.len()).unwrap_or(0);
        } else {
            self.write(products).await?;
        }
        if self.id != DEMO {
            let noted = self.imports.book.note(self.id, &self.tally, &self.refused).await;
            noted.map_err(|error| format!("the database does not answer: {error}"))?;
            self.refused.clear();
        }
        Ok(())
    }

    async fn write(&mut self, products: Vec<ImportedProduct>) -> Result<(), String> {
        let mut commands = Vec::with_capacity(products.len());
        let mut stocks = Vec::with_capacity(products.len());
        for product in &products {
            commands.push(BulkCommand::<Product> {
                entity: product.details.sku.product(),
                command: product::Command::Import {
                    details: product.details.clone(),
                    price: product.price,
                },
                only_new: false,
            });
            for sku in product.skus() {
                let units = product.stock.get(sku).copied().or(self.stock).unwrap_or(0);
                if units > 0 {
                    stocks.push(BulkCommand::<Stock> {
                        entity: sku.stock(),
                        command: stock::Command::Adjust {
                            delta: i64::from(units),
                            reason: "catalogue import".to_owned(),
                        },
                        only_new: true,
                    });
                }
            }
        }
        let done = self.apply(commands).await?;
        for (product, outcome) in products.into_iter().zip(done) {
            match outcome {
                Ok(Done::Created) => self.tally.created += 1,
                Ok(Done::Changed) => self.tally.changed += 1,
                Ok(Done::Same) => self.tally.unchanged += 1,
                Err(refusal) => self.refuse(Rejection {
                    row: product.row,
                    place: "price".to_owned(),
                    reason: refusal.to_string(),
                    remedy: "correct the row and import it again".to_owned(),
                    excerpt: product.details.sku.to_string(),
                }),
            }
        }
        self.apply(stocks).await?;
        Ok(())
    }

    /// Applies commands; those that the world failed are tried again, with pauses, within a budget.
    async fn apply<E: crate::actors::Hosted>(
        &self,
        commands: Vec<BulkCommand<E>>,
    ) -> Result<Vec<Result<Done, E::Refusal>>, String> {
        let mut outcomes: Vec<Option<Result<Done, E::Refusal>>> = commands.iter().map(|_| None).collect();
        let mut left: Vec<usize> = (0..commands.len()).collect();
        for attempt in 0..TRIES {
            let asked: Vec<_> = left.iter().map(|index| commands[*index].clone()).collect();
            let results = self.imports.bulk.apply(asked).await;
            let mut failed = None;
            let mut again = Vec::new();
            for (index, result) in left.into_iter().zip(results) {
                match result {
                    Ok(done) => outcomes[index] = Some(Ok(done)),
                    Err(BulkError::Refused(refusal)) => outcomes[index] = Some(Err(refusal)),
                    Err(BulkError::Fault(reason)) => {
                        again.push(index);
                        failed = Some(reason);
                    }
                }
            }
            let Some(reason) = failed else {
                return Ok(outcomes.into_iter().flatten().collect());
            };
            if attempt + 1 == TRIES {
                return Err(format!("the journal did not take a batch: {reason}"));
            }
            tracing::warn!(
                reason,
                left = again.len(),
                "a batch of an import was not taken whole; trying the rest again"
            );
            let pause =
                self.imports
                    .clock
                    .backoff(attempt, Duration::from_millis(100), Duration::from_secs(5));
            self.imports.clock.sleep(pause).await;
            left = again;
        }
        Err("the journal did not take a batch".to_owned())
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
