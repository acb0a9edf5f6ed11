//! Names of entities, and the shards they fall into.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The kinds of entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A shopper's cart; keyed by cart id.
    Cart,
    /// An order and its payment; keyed by a UUID derived from cart and checkout number.
    Order,
    /// A product's details and price; keyed by product id.
    Product,
    /// The stock of one SKU.
    Stock,
    /// Something under a name that is none: nobody can be asked it, and no command reaches it.
    Unknown,
}

impl Kind {
    /// All kinds that there are, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Cart, Self::Order, Self::Product, Self::Stock];

    /// The stable lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cart => "cart",
            Self::Order => "order",
            Self::Product => "product",
            Self::Stock => "stock",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = BadEntityId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| BadEntityId(text.to_owned()))
    }
}

/// `kind/key`: the name of one entity, everywhere the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntityId {
    text: Box<str>,
    kind: Kind,
}

impl EntityId {
    /// The entity of `kind` with `key`.
    #[must_use]
    pub fn new(kind: Kind, key: impl fmt::Display) -> Self {
        Self {
            text: format!("{kind}/{key}").into(),
            kind,
        }
    }

    /// The entity of this name as it is stored. A name that is none, which only another build or
    /// somebody by hand can have stored, is kept as it is, as one of [`Kind::Unknown`].
    #[must_use]
    pub fn stored(name: &str) -> Self {
        name.parse().unwrap_or_else(|_| Self {
            text: name.into(),
            kind: Kind::Unknown,
        })
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The key within its kind.
    #[must_use]
    pub fn key(&self) -> &str {
        if self.kind == Kind::Unknown {
            return &self.text;
        }
        self.text.get(self.kind.as_str().len() + 1..).unwrap_or_default()
    }

    /// The whole name, `kind/key`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The shard this entity belongs to, for ever.
    #[must_use]
    pub fn shard(&self, shards: ShardCount) -> Shard {
        Shard::of(self.as_str(), shards)
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for EntityId {
    type Err = BadEntityId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((kind, key)) if !key.is_empty() => Ok(Self::new(kind.parse()?, key)),
            _ => Err(BadEntityId(text.to_owned())),
        }
    }
}

impl TryFrom<String> for EntityId {
    type Error = BadEntityId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EntityId> for String {
    fn from(id: EntityId) -> Self {
        id.text.into()
    }
}

/// A name that is not `kind/key`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no entity id: expected kind/key")]
pub struct BadEntityId(String);

/// How many shards there are; fixed when the journal is first opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCount(u16);

impl ShardCount {
    /// The default number of shards.
    pub const DEFAULT: Self = Self(64);

    /// `count` shards, if that is between 1 and 1,024.
    #[must_use]
    pub const fn new(count: u16) -> Option<Self> {
        if count >= 1 && count <= 1_024 {
            Some(Self(count))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Every shard.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0).map(Shard)
    }
}

/// A hash slice of all entities: the unit of ownership, of order, and of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard of a name: FNV-1a over its bytes (Fowler, Noll, Vo; 64 bit), finished with the
    /// avalanche of `MurmurHash3` because FNV alone leaves the low bits poor.
    #[must_use]
    pub fn of(name: &str, shards: ShardCount) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^= hash >> 33;
        let slot = hash % u64::from(shards.0);
        Self(u16::try_from(slot).unwrap_or(0))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! uuid_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            /// Accepts only the hyphenated lower-case form, so that one thing has one name.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let id = Uuid::try_parse(text)?;
                if id.as_hyphenated().to_string() == text {
                    Ok(Self(id))
                } else {
                    Uuid::try_parse("").map(Self)
                }
            }
        }
    };
}

uuid_id!(
    /// Who shops: a guest or a customer with an account.
    CustomerId
);
uuid_id!(
    /// A cart. A shopper's cart has the shopper's own id.
    CartId
);
uuid_id!(
    /// An order, derived from the cart and the number of its checkout.
    OrderId
);
uuid_id!(
    /// One command, said once; a repetition carries the same id.
    OperationId
);

impl CartId {
    /// The cart of a shopper: each has exactly one.
    #[must_use]
    pub const fn of(customer: CustomerId) -> Self {
        Self(customer.0)
    }

    /// The entity.
    #[must_use]
    pub fn entity(self) -> EntityId {
        EntityId::new(Kind::Cart, self)
    }
}

impl OrderId {
    /// The order that checkout number `checkout` of `cart` makes. Anyone can compute it, so anyone
    /// can place the order, and it is the same order (UUID version 5, RFC 9562 §5.5).
    #[must_use]
    pub fn derive(cart: CartId, checkout: u64) -> Self {
        let name = format!("order/{checkout}");
        Self(Uuid::new_v5(&cart.0, name.as_bytes()))
    }

    /// The entity.
    #[must_use]
    pub fn entity(self) -> EntityId {
        EntityId::new(Kind::Order, self)
    }

    /// The short number people read out: `GS-` and ten characters of Crockford's base 32.
    #[must_use]
    pub fn number(self) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let mut bits = self.0.as_u128();
        let mut text = String::from("GS-");
        for _ in 0..10 {
            let index = usize::try_from(bits & 31).unwrap_or(0);
            text.push(char::from(ALPHABET[index]));
            bits >>= 5;
        }
        text
    }
}

impl OperationId {
    /// The operation that `what` of `cause` stands for: the same cause gives the same id.
    #[must_use]
    pub fn derive(cause: Uuid, what: &str) -> Self {
        Self(Uuid::new_v5(&cause, what.as_bytes()))
    }
}

/// A stock-keeping unit: `[A-Za-z0-9._-]{1,64}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(std::sync::Arc<str>);

impl Sku {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stock entity of this SKU.
    #[must_use]
    pub fn stock(&self) -> EntityId {
        EntityId::new(Kind::Stock, self)
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Sku {
    type Err = BadSku;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if fits { Ok(Self(text.into())) } else { Err(BadSku) }
    }
}

impl TryFrom<String> for Sku {
    type Error = BadSku;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.as_str().to_owned()
    }
}

/// A text that is no SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SKU has 1 to 64 of the characters A-Z a-z 0-9 . _ -")]
pub struct BadSku;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_falls_into_the_same_shard_for_ever() {
        let shards = ShardCount::DEFAULT;
        assert_eq!(Shard::of("stock/TV-1", shards), Shard::of("stock/TV-1", shards));
        let mut used = std::collections::BTreeSet::new();
        for n in 0..2_000 {
            used.insert(Shard::of(&format!("stock/{n}"), shards));
        }
        assert_eq!(used.len(), 64);
    }

    #[test]
    fn ids_have_one_spelling() {
        assert!("CART/1".parse::<EntityId>().is_err());
        assert!("cart/".parse::<EntityId>().is_err());
        let nobody = EntityId::stored("CART/1");
        assert_eq!((nobody.kind(), nobody.as_str()), (Kind::Unknown, "CART/1"));
        assert!("unknown/1".parse::<EntityId>().is_err());
        assert_eq!(EntityId::stored("cart/1"), EntityId::new(Kind::Cart, 1));
        let id = "0197f0a4-0000-7000-8000-000000000001";
        assert!(id.parse::<OrderId>().is_ok());
        assert!(id.to_uppercase().replace('0', "A").parse::<OrderId>().is_err());
        assert!(format!("{{{id}}}").parse::<OrderId>().is_err());
        assert!("ok.SKU_1-a".parse::<Sku>().is_ok());
        assert!("no space".parse::<Sku>().is_err());
        assert!("".parse::<Sku>().is_err());
    }
}
