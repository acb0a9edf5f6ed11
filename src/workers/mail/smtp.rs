//! Mail by SMTP, through lettre.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use lettre::message::{Mailbox as Address, MultiPart};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::post::{Mail, Post, PostFault};

/// How long a server may take for one command.
const LIMIT: Duration = Duration::from_secs(20);

/// Sends through a mail server.
pub struct SmtpPost {
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl fmt::Debug for SmtpPost {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpPost").finish_non_exhaustive()
    }
}

/// An address of a mail server that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("mail.smtp is no smtp:// or smtps:// address of a server")]
pub struct BadServer(#[source] lettre::transport::smtp::Error);

impl SmtpPost {
    /// The server at `smtp://` (add `?tls=required` for STARTTLS) or `smtps://`.
    ///
    /// # Errors
    /// When that is no address.
    pub fn new(url: &str) -> Result<Self, BadServer> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(BadServer)?
            .timeout(Some(LIMIT))
            .build();
        Ok(Self { transport })
    }
}

/// The mail as it goes over the wire.
fn message(mail: &Mail) -> Result<Message, Box<dyn std::error::Error + Send + Sync>> {
    let millis = u64::try_from(mail.at.0).unwrap_or(0);
    Ok(Message::builder()
        .from(mail.from.parse::<Address>()?)
        .to(mail.to.parse::<Address>()?)
        .subject(mail.subject.clone())
        .message_id(Some(mail.message_id.clone()))
        .date(UNIX_EPOCH + Duration::from_millis(millis))
        .multipart(MultiPart::alternative_plain_html(
            mail.text.clone(),
            mail.html.clone(),
        ))?)
}

#[async_trait]
impl Post for SmtpPost {
    async fn send(&self, mail: &Mail) -> Result<(), PostFault> {
        let message = message(mail).map_err(PostFault::Refused)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(PostFault::Refused(error.into())),
            Err(error) => Err(PostFault::Failed(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Millis;

    fn mail() -> Mail {
        Mail {
            message_id: "<order-1@shop.example>".to_owned(),
            from: "GlobalShop <shop@shop.example>".to_owned(),
            to: "ada@example.org".to_owned(),
            subject: "Grüße".to_owned(),
            text: "Hello Ada".to_owned(),
            html: "<p>Hello Ada</p>".to_owned(),
            at: Millis(1_700_000_000_000),
        }
    }

    #[test]
    fn a_mail_has_both_bodies_and_a_stable_id_and_date() {
        let formatted = String::from_utf8(message(&mail()).unwrap().formatted()).unwrap();
        assert_eq!(
            formatted.matches("Message-ID: <order-1@shop.example>").count(),
            1,
            "{formatted}"
        );
        assert!(formatted.contains("Date: Tue, 14 Nov 2023 22:13:20"));
        assert!(formatted.contains("multipart/alternative"));
        assert!(formatted.contains("text/plain") && formatted.contains("text/html"));
    }

    #[test]
    fn an_address_that_cannot_be_is_refused_for_good() {
        let wrong = Mail {
            to: "nobody at home\r\nBcc: all@example.org".to_owned(),
            ..mail()
        };
        assert!(message(&wrong).is_err());
    }

    /// A mail server for one mail: answers each command, `verdict` after the data; gives back what it heard.
    async fn serve_one(listener: tokio::net::TcpListener, verdict: &str) -> String {
        use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = stream.into_split();
        let (mut lines, mut heard) = (BufReader::new(reader).lines(), String::new());
        writer.write_all(b"220 test\r\n").await.unwrap();
        let mut in_data = false;
        while let Ok(Some(line)) = lines.next_line().await {
            heard.push_str(&line);
            heard.push('\n');
            let answer = match line.as_str() {
                "." => {
                    in_data = false;
                    verdict
                }
                _ if in_data => continue,
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                "QUIT" => break,
                _ => "250 ok",
            };
            writer
                .write_all(format!("{answer}\r\n").as_bytes())
                .await
                .unwrap();
        }
        heard
    }

    #[tokio::test]
    async fn a_server_gets_the_mail_and_its_answer_decides_what_comes_next() {
        for (verdict, again) in [
            ("250 taken", None),
            ("451 come back", Some(true)),
            ("550 never", Some(false)),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("smtp://{}", listener.local_addr().unwrap());
            let server = tokio::spawn(serve_one(listener, verdict));
            let result = SmtpPost::new(&url).unwrap().send(&mail()).await;
            let heard = server.await.unwrap();
            assert!(heard.contains("RCPT TO:<ada@example.org>"), "{heard}");
            assert!(heard.contains("Message-ID: <order-1@shop.example>"), "{heard}");
            match again {
                None => assert!(result.is_ok(), "{result:?}"),
                Some(true) => assert!(matches!(result, Err(PostFault::Failed(_))), "{result:?}"),
                Some(false) => assert!(matches!(result, Err(PostFault::Refused(_))), "{result:?}"),
            }
        }
    }
}
