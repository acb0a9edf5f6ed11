//! The names of channels.

use std::fmt;

use crate::domain::id::{CartId, CustomerId, OrderId, Sku};

/// What a client calls a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelName {
    /// `product:{id}`: price and availability. State.
    Product(Sku),
    /// `cart`: the caller's own. State.
    Cart,
    /// `order:{id}`: its history. Stream.
    Order(OrderId),
}

impl ChannelName {
    /// Reads a name; `None` if there can be no such channel.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "cart" => Some(Self::Cart),
            Some(("product", id)) => id.parse().ok().map(Self::Product),
            Some(("order", id)) => id.parse().ok().map(Self::Order),
            _ => None,
        }
    }

    /// The channel that `caller` means.
    #[must_use]
    pub fn of(self, caller: Option<CustomerId>) -> Option<Channel> {
        match self {
            Self::Product(sku) => Some(Channel::Product(sku)),
            Self::Order(order) => Some(Channel::Order(order)),
            Self::Cart => caller.map(CartId::of).map(Channel::Cart),
        }
    }
}

/// One channel, whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A product's price and availability.
    Product(Sku),
    /// A shopper's cart.
    Cart(CartId),
    /// An order's history.
    Order(OrderId),
}

impl Channel {
    /// Whether its offsets are gapless and can be resumed; otherwise only its newest value counts.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(self, Self::Order(_))
    }
}

/// As the clients call it.
impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Product(sku) => write!(f, "product:{sku}"),
            Self::Cart(_) => f.write_str("cart"),
            Self::Order(order) => write!(f, "order:{order}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_contract_are_channels() {
        let order = "0197f0a4-0000-7000-8000-000000000001";
        for good in ["cart", "product:TV-1", &format!("order:{order}")] {
            let name = ChannelName::parse(good).unwrap();
            let channel = name.of(Some(CustomerId::default())).unwrap();
            assert_eq!(channel.to_string(), good);
        }
        assert_eq!(ChannelName::Cart.of(None), None);
        for bad in [
            "",
            "cart:",
            "cart:1",
            "product",
            "product:",
            "product:a b",
            "order:",
            "order:*",
            "order:1",
            &format!("order:{}", order.replace('f', "F")),
            &format!("order:{{{order}}}"),
            &format!("order:{order} "),
            "sale:1",
            "ops:tree",
        ] {
            assert_eq!(ChannelName::parse(bad), None, "{bad}");
        }
    }
}
