//! What a customer may do. Roles do not imply each other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// One role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Fills carts and places orders.
    Shopper,
    /// Keeps the catalogue and the stock, and sees orders to the door.
    Seller,
    /// Watches and steers the machine.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Shopper, Self::Seller, Self::Operator];

    /// The name in tokens, rows and the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shopper => "shopper",
            Self::Seller => "seller",
            Self::Operator => "operator",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no role.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a role is shopper, seller or operator")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or(UnknownRole)
    }
}

/// A set of roles; a list of names on the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Roles(u8);

impl Roles {
    /// Who shops, and no more.
    pub const SHOPPER: Self = Self(Role::Shopper.bit());

    /// Whether `role` is among them.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// These and `role`.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    /// The roles, in the order of [`Role::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }

    pub(super) fn names(self) -> Vec<String> {
        self.iter().map(|role| role.name().to_owned()).collect()
    }

    pub(super) fn from_names(names: &[String]) -> Result<Self, UnknownRole> {
        names
            .iter()
            .try_fold(Self::default(), |roles, name| Ok(roles.with(name.parse()?)))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Role>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_role_implies_another() {
        for one in Role::ALL {
            for other in Role::ALL {
                assert_eq!(Roles::default().with(one).has(other), one == other);
            }
        }
    }

    #[test]
    fn roles_are_a_list_of_names() {
        let roles = Roles::SHOPPER.with(Role::Operator);
        assert_eq!(
            serde_json::to_string(&roles).unwrap(),
            r#"["shopper","operator"]"#
        );
        assert_eq!(Roles::from_names(&roles.names()), Ok(roles));
        assert!(Roles::from_names(&["root".to_owned()]).is_err());
    }
}
