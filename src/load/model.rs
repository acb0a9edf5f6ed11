//! What a cart must hold, as its shopper knows it: the oracle of the cart scenario.
//!
//! Pure. The shopper is the only writer of its cart, so after every answer the cart of the shop and
//! this one must be equal: no line lost, none invented, every read its own write.

use std::collections::BTreeMap;

use super::wire::Cart;

/// The cart a shopper expects to see.
#[derive(Clone, Debug, Default)]
pub struct CartModel {
    lines: BTreeMap<String, u32>,
    cart_id: Option<String>,
    version: u64,
}

/// What a call was expected to do to the version of the cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A write that changes the cart: the version rises.
    Changes,
    /// A write that may leave it as it is, or one that was sent more than once: it does not fall.
    MayChange,
    /// A read: it stays.
    Reads,
}

impl CartModel {
    /// Sets a line; 0 removes it. Says what that does to the version.
    pub fn set(&mut self, sku: &str, quantity: u32) -> Step {
        let before = match quantity {
            0 => self.lines.remove(sku),
            _ => self.lines.insert(sku.to_owned(), quantity),
        };
        if before.unwrap_or(0) == quantity {
            Step::MayChange
        } else {
            Step::Changes
        }
    }

    /// Empties it. Says what that does to the version.
    pub fn empty(&mut self) -> Step {
        if self.lines.is_empty() {
            return Step::MayChange;
        }
        self.lines.clear();
        Step::Changes
    }

    /// The lines, by SKU.
    #[must_use]
    pub const fn lines(&self) -> &BTreeMap<String, u32> {
        &self.lines
    }

    /// Compares an answer with what is expected and says every difference; then takes over what only
    /// the shop can know: the id and the version.
    pub fn compare(&mut self, cart: &Cart, step: Step) -> Vec<String> {
        let mut wrong = Vec::new();
        let expected_id = self.cart_id.get_or_insert_with(|| cart.cart_id.clone());
        if *expected_id != cart.cart_id {
            wrong.push(format!("cart_id was {expected_id}, is {}", cart.cart_id));
        }
        let version_holds = match step {
            Step::Changes => cart.version > self.version,
            Step::MayChange => cart.version >= self.version,
            // The very first read tells the version.
            Step::Reads => cart.version == self.version || self.version == 0,
        };
        if !version_holds {
            wrong.push(format!(
                "version {} after {} ({step:?})",
                cart.version, self.version
            ));
        }
        self.version = cart.version;
        self.compare_lines(cart, &mut wrong);
        compare_amounts(cart, &mut wrong);
        wrong
    }

    fn compare_lines(&self, cart: &Cart, wrong: &mut Vec<String>) {
        let mut seen = BTreeMap::new();
        for line in &cart.lines {
            if seen.insert(line.sku.as_str(), line.quantity).is_some() {
                wrong.push(format!("two lines of {}", line.sku));
            }
        }
        let expected: BTreeMap<&str, u32> = self
            .lines
            .iter()
            .map(|(sku, quantity)| (sku.as_str(), *quantity))
            .collect();
        if seen != expected {
            wrong.push(format!("lines are {seen:?}, expected {expected:?}"));
        }
    }
}

fn compare_amounts(cart: &Cart, wrong: &mut Vec<String>) {
    let mut subtotal = 0;
    for line in &cart.lines {
        subtotal += line.line_total.amount;
        let product = line.unit_price.amount.checked_mul(i64::from(line.quantity));
        if product != Some(line.line_total.amount) {
            wrong.push(format!(
                "{}: {} x {} is not {}",
                line.sku, line.quantity, line.unit_price.amount, line.line_total.amount
            ));
        }
        if line.unit_price.currency != cart.currency || line.line_total.currency != cart.currency {
            wrong.push(format!("{}: not in {}", line.sku, cart.currency));
        }
        if !matches!(
            line.availability.as_deref(),
            Some("in_stock" | "low" | "out_of_stock")
        ) {
            wrong.push(format!("{}: availability {:?}", line.sku, line.availability));
        }
    }
    if cart.subtotal.amount != subtotal || cart.subtotal.currency != cart.currency {
        wrong.push(format!(
            "subtotal {} {}, lines {subtotal}",
            cart.subtotal.amount, cart.subtotal.currency
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cart(version: u64, lines: &[(&str, u32)]) -> Cart {
        let money = |amount: u32| json!({"amount": amount, "currency": "EUR"});
        let lines_json: Vec<_> = lines
            .iter()
            .map(|(sku, quantity)| {
                json!({"sku": sku, "name": "x", "quantity": quantity, "unit_price": money(250),
                       "line_total": money(250 * quantity), "availability": "low"})
            })
            .collect();
        let subtotal: u32 = lines.iter().map(|(_, quantity)| 250 * quantity).sum();
        serde_json::from_value(json!({
            "cart_id": "c-1", "version": version, "lines": lines_json, "subtotal": money(subtotal), "currency": "EUR",
        }))
        .unwrap()
    }

    #[test]
    fn a_cart_that_does_as_told_has_no_difference() {
        let mut model = CartModel::default();
        let step = model.set("A", 2);
        assert_eq!(step, Step::Changes);
        assert!(model.compare(&cart(1, &[("A", 2)]), step).is_empty());
        assert!(model.compare(&cart(1, &[("A", 2)]), Step::Reads).is_empty());
        assert_eq!(model.set("A", 2), Step::MayChange);
        assert!(model.compare(&cart(1, &[("A", 2)]), Step::MayChange).is_empty());
        let step = model.set("A", 0);
        assert!(model.compare(&cart(2, &[]), step).is_empty());
        assert_eq!(model.empty(), Step::MayChange);
    }

    #[test]
    fn a_lost_write_an_invented_line_and_a_version_that_stands_still_are_told() {
        let mut model = CartModel::default();
        let step = model.set("A", 2);
        let wrong = model.compare(&cart(0, &[("B", 1)]), step);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("version 0"));
        assert!(wrong[1].starts_with("lines are"));
    }

    #[test]
    fn a_stale_read_is_told() {
        let mut model = CartModel::default();
        for (version, quantity) in [(1, 1), (2, 5)] {
            let step = model.set("A", quantity);
            assert!(model.compare(&cart(version, &[("A", quantity)]), step).is_empty());
        }
        let wrong = model.compare(&cart(1, &[("A", 1)]), Step::Reads);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
    }

    #[test]
    fn wrong_sums_doubled_lines_and_another_cart_are_told() {
        let mut model = CartModel::default();
        let step = model.set("A", 2);
        assert!(model.compare(&cart(1, &[("A", 2)]), step).is_empty());
        let mut odd = cart(1, &[("A", 2), ("A", 2)]);
        odd.cart_id = "c-2".to_owned();
        odd.subtotal.amount = 1;
        odd.lines[0].line_total.amount = 499;
        odd.lines[1].unit_price.currency = "USD".to_owned();
        let wrong = model.compare(&odd, Step::Reads);
        assert_eq!(wrong.len(), 5, "{wrong:?}");
    }
}
