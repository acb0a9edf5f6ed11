import assert from "node:assert/strict";
import { test } from "node:test";
import { mergePatch, type Json } from "../src/merge-patch.js";

// Proves the examples of RFC 7396, appendix A.
test("merge patch follows the RFC", () => {
  const cases: [Json, Json, Json][] = [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [["a", "b"], ["c", "d"], ["c", "d"]],
    [{ a: "b" }, ["c"], ["c"]],
    [{ a: "foo" }, null, null],
    [{ a: "foo" }, "bar", "bar"],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, expected] of cases) {
    assert.equal(JSON.stringify(mergePatch(target, patch)), JSON.stringify(expected), JSON.stringify(patch));
  }
});

// Proves that neither side is changed and that a member named __proto__ is only a member.
test("merge patch leaves its inputs and the prototype alone", () => {
  const target: Json = { price: { amount: 1, currency: "EUR" } };
  const patched = mergePatch(target, { price: { amount: 2 } });
  assert.equal(JSON.stringify(target), '{"price":{"amount":1,"currency":"EUR"}}');
  assert.equal(JSON.stringify(patched), '{"price":{"amount":2,"currency":"EUR"}}');
  mergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}') as Json);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});
