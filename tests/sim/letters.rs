//! Post that keeps what it is given.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use globalshop::domain::id::OrderId;
use globalshop::workers::mail::{Mail, Post, PostFault};

/// Keeps mail as a mail server would: by Message-ID.
#[derive(Debug, Default)]
pub struct Letters(Mutex<BTreeMap<String, Mail>>);

#[async_trait]
impl Post for Letters {
    async fn send(&self, mail: &Mail) -> Result<(), PostFault> {
        self.0
            .lock()
            .unwrap()
            .insert(mail.message_id.clone(), mail.clone());
        Ok(())
    }
}

impl Letters {
    /// The subjects of the mails about an order, in the order of its events.
    pub fn about(&self, order: OrderId) -> Vec<String> {
        let letters = self.0.lock().unwrap();
        let number = order.number();
        let mut found: Vec<&Mail> = letters
            .values()
            .filter(|mail| mail.subject.contains(&number))
            .collect();
        found.sort_by_key(|mail| {
            let id = mail.message_id.split('@').next().unwrap();
            id.rsplit('.').next().unwrap().parse::<i64>().unwrap()
        });
        found.iter().map(|mail| mail.subject.clone()).collect()
    }
}
