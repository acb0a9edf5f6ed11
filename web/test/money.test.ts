import assert from "node:assert/strict";
import { test } from "node:test";
import { formatMoney } from "../src/money.js";

// Proves that the browser writes amounts exactly as the server does (src/http/pages/model/money.rs).
test("amounts read as the server writes them", () => {
  const check = (amount: number, currency: string, shown: string): void =>
    assert.equal(formatMoney({ amount, currency }), shown);
  check(1999, "EUR", "€19.99");
  check(5, "EUR", "€0.05");
  check(123456789, "EUR", "€1,234,567.89");
  check(-490, "EUR", "−€4.90");
  check(1200, "JPY", "¥1,200");
  check(1999, "CHF", "CHF\u00a019.99");
  check(1234567, "KWD", "KWD\u00a01,234.567");
});
