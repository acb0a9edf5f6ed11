//! What stands around the content of every page.

use crate::http::asset;

/// Header, footer and everything else a page does not own.
///
/// A caller without a session gets an empty `csrf_token` and no `visitor`, so that the page is the
/// same for everybody and may be cached; its forms then rest on the check of `Origin` alone.
#[derive(Debug, Clone, Default)]
pub struct Shell {
    /// Title of the page, without the name of the shop.
    pub title: String,
    /// One sentence for search engines; catalogue pages only.
    pub description: Option<String>,
    /// Path and query of this page, where sign-in returns to.
    pub path: String,
    /// Sent with every form and with `X-CSRF-Token`; empty without a session.
    pub csrf_token: String,
    /// Whether the caller has a session (a guest's or an account's), so that the cart may go live.
    pub has_session: bool,
    /// Who is signed in; `None` for guests.
    pub visitor: Option<Visitor>,
    /// Units in the caller's cart.
    pub cart_count: u32,
    /// Top categories, in the order of the navigation (at most about 10).
    pub categories: Vec<NavCategory>,
    /// What the search box holds.
    pub query: String,
    /// A message to be read first, for example after a redirect.
    pub banner: Option<Banner>,
    /// Whether to link the local mailbox page (embedded default only).
    pub local_mailbox: bool,
}

impl Shell {
    /// Where an asset of the front end lies, by its logical name.
    pub fn asset(&self, name: &str) -> &'static str {
        asset::url(name)
    }
}

/// The person who is signed in.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Name as given at registration.
    pub name: String,
    /// E-mail address of the account.
    pub email: String,
    /// May open the seller pages.
    pub seller: bool,
    /// May open the inspector.
    pub operator: bool,
}

/// One entry of the category navigation.
#[derive(Debug, Clone)]
pub struct NavCategory {
    /// `/c/{slug}`.
    pub slug: String,
    /// English name.
    pub name: String,
    /// Whether this page belongs to it.
    pub current: bool,
}

/// A link with its text.
#[derive(Debug, Clone)]
pub struct Link {
    /// Where it goes.
    pub href: String,
    /// What it says.
    pub text: String,
}

/// A message above the content.
#[derive(Debug, Clone)]
pub struct Banner {
    /// How it is meant.
    pub tone: Tone,
    /// One or two sentences.
    pub text: String,
    /// Where to go from here, if anywhere.
    pub link: Option<Link>,
}

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It is done.
    Done,
    /// Good to know.
    Info,
    /// Look before you go on.
    Care,
    /// It did not work.
    Fault,
}

impl Tone {
    /// The suffix of the style class.
    pub fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Info => "info",
            Self::Care => "care",
            Self::Fault => "fault",
        }
    }

    /// Whether screen readers should interrupt for it.
    pub fn is_urgent(self) -> bool {
        matches!(self, Self::Care | Self::Fault)
    }
}
