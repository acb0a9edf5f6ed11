//! Everybody who may come to a door, the wrong ones above all, and what each shows.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use globalshop::accounts::{Registration, Role, Secret};
use globalshop::domain::id::CustomerId;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use crate::edge::{Call, Shop};

/// Under which name the shop is reached.
pub const HOST: &str = "shop.example";
const PASSWORD: &str = "correct horse battery";

/// Somebody with an account of this test's own.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: CustomerId,
    pub email: String,
    pub role: Role,
}

/// The cast.
#[derive(Debug)]
pub struct People {
    pub shopper: Person,
    pub other: Person,
    pub seller: Person,
    pub operator: Person,
}

/// What a browser holds.
#[derive(Clone, Debug)]
pub struct Cookie {
    pub header: String,
    pub csrf_token: String,
}

impl People {
    pub async fn gather(shop: &'static Shop) -> Self {
        Self {
            shopper: Person::register(shop, Role::Shopper).await,
            other: Person::register(shop, Role::Shopper).await,
            seller: Person::register(shop, Role::Seller).await,
            operator: Person::register(shop, Role::Operator).await,
        }
    }

    /// Who has this role.
    pub fn with(&self, role: Role) -> &Person {
        match role {
            Role::Shopper => &self.shopper,
            Role::Seller => &self.seller,
            Role::Operator => &self.operator,
        }
    }
}

impl Person {
    async fn register(shop: &'static Shop, role: Role) -> Self {
        let email = format!("{}@example.org", shop.fresh("matrix"));
        let registration = Registration {
            email: email.clone(),
            password: Secret::new(PASSWORD),
            name: role.to_string(),
        };
        let id = shop
            .on_node(async move {
                let known = shop.accounts.register(registration, None).await.unwrap();
                known.customer_id
            })
            .await;
        let person = Self { id, email, role };
        if role != Role::Shopper {
            let email = person.email.clone();
            shop.on_node(async move {
                shop.accounts.grant(&email, role).await.unwrap();
                shop.accounts.revoke_role(&email, Role::Shopper).await.unwrap();
            })
            .await;
        }
        person
    }

    /// Somebody with a role and without an account, for as long as a token lasts.
    pub fn passing(shop: &Shop, role: Role) -> Self {
        Self {
            id: CustomerId(shop.fresh_id()),
            email: String::new(),
            role,
        }
    }

    /// What proves that it is them, at `POST /v1/sessions`.
    pub fn credentials(&self) -> Value {
        json!({"email": self.email, "password": PASSWORD})
    }

    /// A token of a session of its own.
    pub async fn token(&self, shop: &'static Shop) -> String {
        let id = self.id;
        let grant = shop
            .on_node(async move { shop.accounts.open_tokens(id).await.unwrap() })
            .await;
        grant.access_token.expose().to_owned()
    }

    /// A token whose session has ended.
    pub async fn ended_token(&self, shop: &'static Shop) -> String {
        let id = self.id;
        shop.on_node(async move {
            let grant = shop.accounts.open_tokens(id).await.unwrap();
            shop.accounts.end_session(grant.session_id).await.unwrap();
            grant.access_token.expose().to_owned()
        })
        .await
    }

    /// A cookie of a session of its own; of one that has `ended`, if so.
    pub async fn cookie(&self, shop: &'static Shop, ended: bool) -> Cookie {
        let id = self.id;
        let grant = shop
            .on_node(async move {
                let grant = shop.accounts.open_browser(id, None).await.unwrap();
                if ended {
                    shop.accounts.end_session(grant.session_id).await.unwrap();
                }
                grant
            })
            .await;
        Cookie {
            header: format!("session={}", grant.cookie.expose()),
            csrf_token: grant.csrf_token,
        }
    }

    /// A token the shop signed for them some time ago: good in everything but its time.
    pub async fn expired_token(&self, shop: &Shop) -> String {
        self.sign(shop, &shop.signing_key, -1).await
    }

    /// A token that this test signs with the shop's key: a good one.
    pub async fn signed_token(&self, shop: &Shop) -> String {
        self.sign(shop, &shop.signing_key, 900).await
    }

    /// A token as good as the shop's own, but for the key.
    pub async fn forged_token(&self, shop: &Shop) -> String {
        // The test key of RFC 8032 §7.1.
        let mut key = shop.signing_key.clone();
        let secret = key.len() - 32;
        key[secret..].copy_from_slice(&[
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
            0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ]);
        self.sign(shop, &key, 900).await
    }

    async fn sign(&self, shop: &Shop, key: &[u8], seconds_left: i64) -> String {
        let keys = shop.ask(Call::get("/.well-known/jwks.json")).await.expect(200);
        let now = shop.now().0 / 1_000;
        let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": keys["keys"][0]["kid"]});
        let claims = json!({
            "iss": "globalshop", "aud": "globalshop", "sub": self.id, "exp": now + seconds_left,
            "nbf": now - 900, "iat": now + seconds_left - 900, "jti": "0197f0a4-0000-7000-8000-000000000001",
            "roles": [self.role.name()],
        });
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).unwrap();
        format!(
            "{message}.{}",
            URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()))
        )
    }
}

/// Who comes to a door of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Nobody,
    Expired,
    Ended,
    Forged,
    Shopper,
    Other,
    Seller,
    Operator,
    /// A page of ours, with everything a page has.
    Page,
    /// A page without its token.
    Tokenless,
    /// Another site's page, in a browser that has the cookie.
    Foreign,
}

impl Caller {
    pub const ALL: [Self; 11] = [
        Self::Nobody,
        Self::Expired,
        Self::Ended,
        Self::Forged,
        Self::Shopper,
        Self::Other,
        Self::Seller,
        Self::Operator,
        Self::Page,
        Self::Tokenless,
        Self::Foreign,
    ];

    /// The head of its column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Expired => "expired token",
            Self::Ended => "ended session",
            Self::Forged => "forged token",
            Self::Shopper => "shopper",
            Self::Other => "other shopper",
            Self::Seller => "seller",
            Self::Operator => "operator",
            Self::Page => "cookie, own page",
            Self::Tokenless => "cookie, no CSRF token",
            Self::Foreign => "cookie, other origin",
        }
    }

    /// Whether it shows a cookie; whose does not matter then.
    pub const fn is_browser(self) -> bool {
        matches!(self, Self::Page | Self::Tokenless | Self::Foreign)
    }

    /// The call with what this caller shows. `right` is who would be let in.
    pub async fn show(self, call: Call, shop: &'static Shop, people: &People, right: &Person) -> Call {
        if self.is_browser() {
            let cookie = right.cookie(shop, false).await;
            let origin = match self {
                Self::Foreign => "https://evil.example".to_owned(),
                _ => format!("http://{HOST}"),
            };
            let call = call
                .header("host", HOST)
                .header("cookie", cookie.header)
                .header("origin", origin);
            return match self {
                Self::Tokenless => call,
                _ => call.header("x-csrf-token", cookie.csrf_token),
            };
        }
        match self.token(shop, people, right).await {
            Some(token) => call.by(&token),
            None => call,
        }
    }

    /// The token it shows, if it has one.
    pub async fn token(self, shop: &'static Shop, people: &People, right: &Person) -> Option<String> {
        Some(match self {
            Self::Expired => right.expired_token(shop).await,
            Self::Ended => right.ended_token(shop).await,
            Self::Forged => right.forged_token(shop).await,
            Self::Shopper => people.shopper.token(shop).await,
            Self::Other => people.other.token(shop).await,
            Self::Seller => people.seller.token(shop).await,
            Self::Operator => people.operator.token(shop).await,
            _ => return None,
        })
    }

    /// Its role, if it is somebody.
    pub const fn role(self) -> Option<Role> {
        match self {
            Self::Shopper | Self::Other => Some(Role::Shopper),
            Self::Seller => Some(Role::Seller),
            Self::Operator => Some(Role::Operator),
            _ => None,
        }
    }
}
