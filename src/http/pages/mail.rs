//! `/dev/mail`: the local mailbox. For who sits at this machine, and only where mail stays in it.

use std::sync::Arc;

use axum::extract::Path;
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::private;
use super::model::{MailPage, MailSummary, MailboxPage};
use super::visit::Visit;
use crate::http::auth::chain;
use crate::http::money::moment;
use crate::http::problem::{Problem, kind};
use crate::workers::mail::{Mailbox, PostFault, StoredMail};

/// How many mails are listed.
const MAILS: u32 = 100;

fn mailbox(visit: &Visit) -> Result<&Arc<Mailbox>, Problem> {
    let mailbox = visit.edge().mailbox.as_ref();
    mailbox
        .filter(|_| visit.is_local())
        .ok_or_else(Problem::not_found)
}

async fn find(visit: &Visit) -> Result<(String, Vec<StoredMail>), Problem> {
    let mailbox = mailbox(visit)?;
    let to = visit.asked_for("to").trim().to_owned();
    let wanted = (!to.is_empty()).then_some(to.as_str());
    let mails = mailbox
        .list(wanted, None, MAILS)
        .await
        .map_err(|fault| failed(&fault))?;
    Ok((to, mails))
}

fn failed(fault: &PostFault) -> Problem {
    Problem::new(&kind::UNAVAILABLE)
        .retry_after(std::time::Duration::from_secs(1))
        .cause(chain(fault))
}

/// Lists the mails.
pub(super) async fn list(visit: Visit) -> Result<Response, Problem> {
    let (to, mails) = find(&visit).await?;
    let page = MailboxPage {
        shell: visit.shell("Mailbox").await,
        to,
        mails: mails
            .into_iter()
            .map(|stored| MailSummary {
                id: stored.number.to_string(),
                to: stored.mail.to,
                subject: stored.mail.subject,
                sent_at: stored.mail.at.into(),
            })
            .collect(),
    };
    private(&page)
}

/// Lists the mails for programs.
pub(super) async fn list_json(visit: Visit) -> Result<axum::Json<Value>, Problem> {
    let (_, mails) = find(&visit).await?;
    let items: Vec<Value> = mails.into_iter().map(render).collect();
    Ok(axum::Json(json!({"items": items, "next_cursor": null})))
}

fn render(stored: StoredMail) -> Value {
    let mail = stored.mail;
    json!({
        "id": stored.number.to_string(),
        "message_id": mail.message_id,
        "from": mail.from,
        "to": mail.to,
        "subject": mail.subject,
        "sent_at": moment(mail.at),
        "text": mail.text,
        "html": mail.html,
    })
}

/// Shows a mail.
pub(super) async fn show(visit: Visit, Path(number): Path<String>) -> Result<Response, Problem> {
    let number = number.parse().map_err(|_| Problem::not_found())?;
    let found = mailbox(&visit)?
        .get(number)
        .await
        .map_err(|fault| failed(&fault))?;
    let mail = found.ok_or_else(Problem::not_found)?.mail;
    let page = MailPage {
        shell: visit.shell(mail.subject.as_str()).await,
        from: mail.from,
        to: mail.to,
        subject: mail.subject,
        sent_at: mail.at.into(),
        message_id: mail.message_id,
        text: mail.text,
    };
    private(&page)
}
