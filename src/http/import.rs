//! Catalogue files: taken from sellers, worked on in the background, told about.

use std::io;
use std::path::Path as FilePath;
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Edge;
use super::auth::Seller;
use super::idempotency::{Once, REPLAYED};
use super::money::moment;
use super::openapi::KeyHeader;
use super::problem::{Problem, kind};
use super::query::Query;
use crate::domain::Currency;
use crate::import::book::ImportRow;
use crate::import::job::{JobFault, Wanted};
use crate::import::{Format, Rejection};

/// The largest file.
pub const FILE_LIMIT: u64 = 512 << 20;
/// How long the file may be silent on its way.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// How many refused rows an answer shows.
const REJECTIONS_SHOWN: i64 = 100;

pub(super) fn routes() -> OpenApiRouter<Edge> {
    OpenApiRouter::new().routes(routes!(upload)).routes(routes!(read))
}

/// What is asked with a file.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadQuery {
    /// The format; found out unless it is named.
    format: Option<FileFormat>,
    /// The currency of prices that name none.
    #[schema(example = "EUR", min_length = 3, max_length = 3)]
    currency: Option<String>,
    /// Units for new SKUs whose stock the file does not say.
    #[schema(example = 25, minimum = 0, maximum = 1_000_000)]
    stock: Option<u32>,
    /// Whether nothing is to be written.
    dry_run: Option<Answered>,
}

/// The format of a catalogue file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// Found out from the file.
    Auto,
    /// Icecat JSON.
    Icecat,
    /// Shopify product CSV.
    ShopifyCsv,
    /// JSON lines.
    Jsonl,
}

/// A yes or no in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// Yes.
    True,
    /// No.
    False,
}

/// Which refused rows are asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadQuery {
    /// Refused rows after this one.
    #[schema(example = 0, minimum = 0)]
    after_row: Option<i64>,
}

/// An import.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Import)]
pub struct ImportBody {
    /// Its id.
    #[schema(example = "0197f0a4-3c1e-8000-8000-0d5e3c0fde30")]
    import_id: String,
    /// `queued`, `running`, `done` or `failed`.
    #[schema(example = "running")]
    status: String,
    /// Where to ask again.
    #[schema(example = "/v1/imports/0197f0a4-3c1e-8000-8000-0d5e3c0fde30")]
    status_url: String,
    /// Whether nothing is written.
    dry_run: bool,
    /// Rows read so far.
    #[schema(example = 5000)]
    rows: i64,
    /// Products that are new.
    #[schema(example = 4990)]
    created: i64,
    /// Products that changed.
    #[schema(example = 0)]
    changed: i64,
    /// Products that were so already.
    #[schema(example = 0)]
    unchanged: i64,
    /// Rows that were refused.
    #[schema(example = 10)]
    rejected: i64,
    /// Bytes read so far.
    #[schema(example = 1_558_268)]
    bytes_read: i64,
    /// Bytes in all.
    #[schema(example = 6_287_343)]
    bytes_total: i64,
    /// Refused rows, at most 100, in the order of the file; `after_row` asks for more.
    rejections: Vec<RejectionBody>,
    /// When it was asked for.
    #[schema(example = "2026-11-22T09:00:00.000Z", format = "date-time")]
    created_at: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-11-22T09:00:12.000Z", format = "date-time")]
    ended_at: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A row that did not become a product.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImportRejection)]
pub struct RejectionBody {
    /// The row.
    #[schema(example = 17)]
    row: u64,
    /// The file where there are several, and the column or field.
    #[schema(example = "price")]
    place: String,
    /// What is wrong.
    #[schema(example = "is negative")]
    reason: String,
    /// What to do about it.
    #[schema(example = "give a price of 0 or more")]
    remedy: String,
    /// The beginning of the row as it was found.
    #[schema(example = "-5.00")]
    excerpt: String,
}

fn render(row: &ImportRow, rejections: Vec<Rejection>) -> ImportBody {
    ImportBody {
        import_id: row.id.to_string(),
        status: row.status.clone(),
        status_url: format!("/v1/imports/{}", row.id),
        dry_run: row.dry_run,
        rows: row.tally.rows,
        created: row.tally.created,
        changed: row.tally.changed,
        unchanged: row.tally.unchanged,
        rejected: row.tally.rejected,
        bytes_read: row.tally.bytes_read,
        bytes_total: row.tally.bytes_total,
        rejections: rejections
            .into_iter()
            .map(|one| RejectionBody {
                row: one.row,
                place: one.place,
                reason: one.reason,
                remedy: one.remedy,
                excerpt: one.excerpt,
            })
            .collect(),
        created_at: moment(row.created_at),
        ended_at: row.ended_at.map(moment),
        error: row.error.clone(),
    }
}

/// Import a catalogue file
///
/// Icecat JSON (or zips of it), Shopify product CSV, or JSON lines; zipped or gzipped or plain. The
/// answer comes as soon as the file is here; the import goes on in the background.
#[utoipa::path(
    post, path = "/v1/imports", tag = "Catalogue",
    params(
        ("format" = inline(Option<FileFormat>), Query, description = "auto, icecat, shopify-csv or jsonl.", example = "auto"),
        ("currency" = Option<String>, Query, description = "Of prices that name none.", example = "EUR"),
        ("stock" = Option<u32>, Query, description = "Units for new SKUs whose stock the file does not say.", example = 25),
        ("dry_run" = inline(Option<Answered>), Query, description = "true: nothing is written.", example = "false"),
        KeyHeader
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The file.", example = json!("{\"sku\":\"MUG-1\",\"name\":\"Mug\",\"price\":{\"amount\":990,\"currency\":\"EUR\"}}")),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses(
        (status = 202, description = "Taken.", body = ImportBody),
        (status = 413, description = "Larger than 512 MiB."),
        (status = 408, description = "The file stopped coming."),
    )
)]
async fn upload(
    State(edge): State<Edge>,
    _: Seller,
    once: Once,
    Query(query): Query<UploadQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let format = match query.format {
        None | Some(FileFormat::Auto) => None,
        Some(FileFormat::Icecat) => Some(Format::Icecat),
        Some(FileFormat::ShopifyCsv) => Some(Format::ShopifyCsv),
        Some(FileFormat::Jsonl) => Some(Format::JsonLines),
    };
    let currency: Currency = query.currency.as_deref().unwrap_or("EUR").parse().map_err(
        |error: crate::domain::money::BadCurrency| Problem::invalid_at("/currency", error.to_string()),
    )?;
    let dry_run = query.dry_run == Some(Answered::True);
    let id = once.id();

    // Into a name of this request's own: two at once with one key do not write into each other.
    let incoming = edge.imports.file(edge.clock.new_id());
    let received = receive(request, &incoming).await;
    let (bytes, mut digest) = match received {
        Ok(received) => received,
        Err(problem) => {
            discard(&incoming).await;
            return Err(problem);
        }
    };
    digest.update(format!("{format:?}/{currency}/{:?}/{dry_run}", query.stock));
    let body: [u8; 32] = digest.finalize().into();

    if let Some(row) = edge.imports.find(id).await.map_err(failed)? {
        discard(&incoming).await;
        if row.body != body {
            return Err(Problem::new(&kind::KEY_REUSED));
        }
        let first = ImportRow {
            status: "queued".to_owned(),
            tally: Default::default(),
            ended_at: None,
            error: None,
            ..row
        };
        return Ok(taken(&first, bytes, true));
    }
    tokio::fs::rename(&incoming, edge.imports.file(id))
        .await
        .map_err(disk)?;
    let wanted = Wanted {
        id,
        body,
        format,
        currency,
        stock: query.stock,
        dry_run,
        bytes,
    };
    let row = edge.imports.take(&wanted).await.map_err(failed)?;
    Ok(taken(&row, bytes, false))
}

fn taken(row: &ImportRow, bytes: u64, replayed: bool) -> Response {
    let mut body = render(row, vec![]);
    body.bytes_total = i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut answer = (StatusCode::ACCEPTED, Answer(body)).into_response();
    if let Ok(place) = HeaderValue::from_str(&format!("/v1/imports/{}", row.id)) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    if replayed {
        answer
            .headers_mut()
            .insert(REPLAYED, HeaderValue::from_static("true"));
    }
    answer
}

/// Writes the body of a request into a file, within its limits.
async fn receive(request: Request, path: &FilePath) -> Result<(u64, Sha256), Problem> {
    let mut file = tokio::fs::File::create(path).await.map_err(disk)?;
    let mut digest = Sha256::new();
    let mut bytes = 0_u64;
    let mut body = request.into_body().into_data_stream();
    loop {
        let chunk = tokio::time::timeout(SILENCE_LIMIT, body.next())
            .await
            .map_err(|_| Problem::new(&kind::TOO_SLOW))?;
        let Some(chunk) = chunk else {
            break;
        };
        let chunk = chunk
            .map_err(|_| Problem::new(&kind::MALFORMED).detail("The file ended before it was whole."))?;
        bytes += chunk.len() as u64;
        if bytes > FILE_LIMIT {
            return Err(Problem::new(&kind::TOO_LARGE));
        }
        digest.update(&chunk);
        file.write_all(&chunk).await.map_err(disk)?;
    }
    if bytes == 0 {
        return Err(
            Problem::new(&kind::MALFORMED).detail("The body is the catalogue file; this one is empty.")
        );
    }
    file.sync_all().await.map_err(disk)?;
    Ok((bytes, digest))
}

async fn discard(path: &FilePath) {
    if let Err(error) = tokio::fs::remove_file(path).await
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a file that is not needed could not be removed");
    }
}

/// Read an import
#[utoipa::path(
    get, path = "/v1/imports/{id}", tag = "Catalogue",
    params(
        ("id" = String, Path, description = "The import.", example = "0197f0a4-3c1e-8000-8000-0d5e3c0fde30"),
        ("after_row" = Option<i64>, Query, description = "Refused rows after this one.", example = 0)
    ),
    security(("bearer" = ["seller"]), ("session" = ["seller"])),
    responses((status = 200, description = "How far it is.", body = ImportBody))
)]
async fn read(
    State(edge): State<Edge>,
    _: Seller,
    Path(id): Path<String>,
    Query(query): Query<ReadQuery>,
) -> Result<Answer<ImportBody>, Problem> {
    let id: Uuid = id.parse().map_err(|_| Problem::not_found())?;
    let row = edge
        .imports
        .find(id)
        .await
        .map_err(failed)?
        .ok_or_else(Problem::not_found)?;
    let after = query.after_row.unwrap_or(-1);
    let rejections = edge
        .imports
        .rejections(id, after, REJECTIONS_SHOWN)
        .await
        .map_err(failed)?;
    Ok(Answer(render(&row, rejections)))
}

fn disk(error: io::Error) -> Problem {
    Problem::new(&kind::UNAVAILABLE)
        .retry_after(Duration::from_secs(30))
        .cause(error.to_string())
}

fn failed(fault: JobFault) -> Problem {
    match fault {
        JobFault::Full => Problem::new(&kind::OVERLOADED).retry_after(Duration::from_secs(60)),
        other => Problem::new(&kind::UNAVAILABLE)
            .retry_after(Duration::from_secs(5))
            .cause(other.to_string()),
    }
}
