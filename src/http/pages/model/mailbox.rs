//! The local mailbox of the embedded default.

use askama::Template;

use super::{Shell, When};

/// A mail in the list.
#[derive(Debug, Clone)]
pub struct MailSummary {
    /// `/dev/mail/{id}`.
    pub id: String,
    /// Addressee.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// When it was sent.
    pub sent_at: When,
}

/// `/dev/mail?to=`
#[derive(Debug, Clone, Template)]
#[template(path = "mailbox.html")]
pub struct MailboxPage {
    /// Around it.
    pub shell: Shell,
    /// Whose mails are shown; empty for all.
    pub to: String,
    /// Newest first.
    pub mails: Vec<MailSummary>,
}

/// `/dev/mail/{id}`
#[derive(Debug, Clone, Template)]
#[template(path = "mail.html")]
pub struct MailPage {
    /// Around it.
    pub shell: Shell,
    /// Sender.
    pub from: String,
    /// Addressee.
    pub to: String,
    /// Subject.
    pub subject: String,
    /// When it was sent.
    pub sent_at: When,
    /// Message-ID: the same for the same mail sent again.
    pub message_id: String,
    /// Plain text; addresses starting with `http` become links.
    pub text: String,
}

impl MailPage {
    /// The text, cut where an address begins and ends: `(piece, is a link)`.
    pub fn pieces(&self) -> Vec<(&str, bool)> {
        let mut pieces = Vec::new();
        let mut rest = self.text.as_str();
        while let Some(start) = rest
            .find("http://")
            .into_iter()
            .chain(rest.find("https://"))
            .min()
        {
            let (before, link) = rest.split_at(start);
            let end = link
                .find(|c: char| c.is_whitespace() || c == '>')
                .unwrap_or(link.len());
            let end = link[..end].trim_end_matches(['.', ',', ')']).len();
            let (link, after) = link.split_at(end);
            pieces.extend([(before, false), (link, true)]);
            rest = after;
        }
        pieces.push((rest, false));
        pieces
    }
}
