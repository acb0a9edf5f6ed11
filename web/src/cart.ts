// <cart-badge> and <live-cart>: one cart in every tab; and adding to it without leaving the page.

import { html, nothing, type TemplateResult } from "lit";
import { CallFailed, MOST_UNITS, getCart, removeLine, setQuantity, units, type Cart } from "./api.js";
import { live } from "./connection.js";
import { LiveElement } from "./element.js";
import type { Json } from "./merge-patch.js";
import { refreshRegions } from "./regions.js";
import { say } from "./toast.js";

/** Guests without a session have no cart yet; their first form makes one. */
const hasSession = (): boolean => "session" in document.body.dataset;

class CartBadge extends LiveElement {
  static override properties = { count: { type: Number, reflect: true } };
  declare count: number;
  private told = false;

  protected get ready(): boolean {
    return this.told;
  }

  /** Shows a number at once; the cart's own word replaces it. */
  show(count: number): void {
    this.told = true;
    this.count = count;
    this.requestUpdate();
  }

  protected listen(): (() => void)[] {
    if (!hasSession()) return [];
    return [live.subscribe("cart", "state", { value: (data) => this.take(data) })];
  }

  protected override render(): TemplateResult | typeof nothing {
    if (this.count === 0) return nothing;
    return html`<span class="badge">${this.count}<span class="hush"> item${this.count === 1 ? "" : "s"}</span></span>`;
  }

  private take(data: Json): void {
    const { lines } = data as unknown as Cart;
    if (Array.isArray(lines)) this.show(units({ lines }));
  }
}

/** Around the cart page's lines: the server draws them, a newer version makes it draw them again. */
class LiveCart extends HTMLElement {
  private stop: (() => void) | undefined;

  connectedCallback(): void {
    this.addEventListener("submit", this);
    this.addEventListener("change", this);
    document.addEventListener("regions-refreshed", this);
    if (hasSession()) this.stop = live.subscribe("cart", "state", { value: (data) => this.take(data) });
  }

  disconnectedCallback(): void {
    document.removeEventListener("regions-refreshed", this);
    this.stop?.();
  }

  handleEvent(event: Event): void {
    if (event.type === "regions-refreshed") {
      const page = (event as CustomEvent<Document>).detail;
      this.setAttribute("version", page.querySelector("live-cart")?.getAttribute("version") ?? "0");
      return;
    }
    const form = event.target instanceof Element ? event.target.closest("form") : null;
    if (!form?.matches("[data-cart-line]") || !hasSession()) return;
    if (event.type === "change") {
      if (form.reportValidity()) form.requestSubmit();
      return;
    }
    event.preventDefault();
    void this.send(form);
  }

  private take(data: Json): void {
    const { version } = data as unknown as Cart;
    if (version > Number(this.getAttribute("version"))) void refreshRegions();
  }

  private async send(form: HTMLFormElement): Promise<void> {
    const fields = new FormData(form);
    const sku = String(fields.get("sku"));
    form.closest(".line")?.setAttribute("aria-busy", "true");
    try {
      const quantity = form.action.endsWith("/cart/remove") ? 0 : Number(fields.get("quantity"));
      await (quantity === 0 ? removeLine(sku) : setQuantity(sku, quantity));
      for (const field of form.querySelectorAll("input")) field.defaultValue = field.value;
    } catch (failure) {
      form.reset();
      say(failure instanceof CallFailed ? failure.message : "That did not work. Please try again.", "fault");
    }
    await refreshRegions();
    form.closest(".line")?.removeAttribute("aria-busy");
  }
}

customElements.define("cart-badge", CartBadge);
customElements.define("live-cart", LiveCart);

/** Adds without leaving the page; without a session the form itself is sent, which makes one. */
async function add(form: HTMLFormElement): Promise<void> {
  const fields = new FormData(form);
  const sku = String(fields.get("sku"));
  const wanted = Number(fields.get("quantity"));
  const badge = document.querySelector("cart-badge");
  const before = Number(badge?.getAttribute("count") ?? 0);
  const show = (count: number): void => {
    if (badge instanceof CartBadge) badge.show(count);
  };
  form.setAttribute("aria-busy", "true");
  show(before + wanted);
  try {
    const had = (await getCart()).lines.find((line) => line.sku === sku)?.quantity ?? 0;
    const cart = await setQuantity(sku, Math.min(MOST_UNITS, had + wanted));
    show(units(cart));
    void refreshRegions();
    const full = had + wanted > MOST_UNITS;
    say(full ? `A cart holds at most ${MOST_UNITS} of one item.` : "Added to your cart.", "done", { href: "/cart", text: "Go to cart" });
  } catch (failure) {
    show(before);
    say(failure instanceof CallFailed ? failure.message : "That did not work. Please try again.", "fault");
  } finally {
    form.removeAttribute("aria-busy");
  }
}

addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.matches("[data-add-to-cart]") || !hasSession()) return;
  event.preventDefault();
  if (!form.hasAttribute("aria-busy")) void add(form);
});
