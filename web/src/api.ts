// Calls to the JSON API with the page's session.

import type { Money } from "./money.js";

export interface CartLine {
  sku: string;
  name: string;
  quantity: number;
  unit_price: Money;
  line_total: Money;
}

export interface Cart {
  cart_id: string;
  version: number;
  lines: CartLine[];
  subtotal: Money;
}

/** The shop said no, in its own words, or could not be reached. */
export class CallFailed extends Error {}

const TIMEOUT_MS = 10_000;

async function call(method: string, path: string, body?: unknown): Promise<Cart> {
  const headers: Record<string, string> = { Accept: "application/json" };
  const token = document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content;
  if (method !== "GET" && token) headers["X-CSRF-Token"] = token;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      headers,
      credentials: "same-origin",
      signal: AbortSignal.timeout(TIMEOUT_MS),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new CallFailed("The shop cannot be reached. Check your connection and try again.");
  }
  if (answer.ok) return (await answer.json()) as Cart;
  const problem: { title?: string; detail?: string } = await answer.json().catch(() => ({}));
  throw new CallFailed(problem.detail ?? problem.title ?? "That did not work. Please try again.");
}

export const MOST_UNITS = 99;

export const getCart = (): Promise<Cart> => call("GET", "/v1/cart");

export const setQuantity = (sku: string, quantity: number): Promise<Cart> =>
  call("PUT", `/v1/cart/lines/${encodeURIComponent(sku)}`, { quantity });

export const removeLine = (sku: string): Promise<Cart> =>
  call("DELETE", `/v1/cart/lines/${encodeURIComponent(sku)}`);

export const units = (cart: Pick<Cart, "lines">): number =>
  cart.lines.reduce((sum, line) => sum + line.quantity, 0);
