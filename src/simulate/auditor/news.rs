//! What has to be mailed about an order: which words stand in which mail.

use crate::domain::Millis;
use crate::domain::order::Draft;

/// A piece of news, and what its mail must say.
#[derive(Clone, Debug)]
pub struct News {
    /// The event it is of: its place in the order, and when it was.
    pub of: (u64, Millis),
    /// A part of the subject.
    pub subject: &'static str,
    /// What stands in the text and in the HTML.
    pub says: Vec<String>,
    /// What stands in the text, written as it is there.
    pub lists: Vec<String>,
}

impl News {
    pub(super) fn new<const N: usize>(subject: &'static str, says: [&str; N]) -> Self {
        Self {
            of: Default::default(),
            subject,
            says: says.map(str::to_owned).into(),
            lists: vec![],
        }
    }

    /// With the goods, each with what all of its units cost.
    pub(super) fn with_goods(mut self, draft: &Draft) -> Self {
        for line in &draft.lines {
            let (quantity, name, total) = (line.quantity, &line.name, line.line_total);
            self.says.push(format!("{quantity} × {name}"));
            self.lists.push(format!("{quantity} × {name} — {total}\n"));
        }
        self
    }

    /// With the goods and what is paid for them.
    pub(super) fn with_sums(self, draft: &Draft) -> Self {
        let mut news = self.with_goods(draft);
        let totals = &draft.totals;
        for (what, much) in [
            ("Subtotal", totals.subtotal),
            ("Shipping", totals.shipping),
            ("Total", totals.total),
            ("Tax included", totals.tax),
        ] {
            news.says.push(what.to_owned());
            news.says.push(much.to_string());
            news.lists.push(format!("  {what}: {much}\n"));
        }
        news
    }
}
