// <live-price> and <live-availability>: a product's channel on cards and on its page.

import { html, nothing, type TemplateResult } from "lit";
import { availabilityLabel, isAvailability, type Availability } from "./availability.js";
import { live } from "./connection.js";
import { LiveElement, whenNear } from "./element.js";
import type { Json } from "./merge-patch.js";
import { formatMoney, isMoney, type Money } from "./money.js";

/** What `product:{id}` says. */
interface ProductState {
  price?: Money;
  sale_price?: Money | null;
  availability?: Availability;
}

abstract class ProductElement extends LiveElement {
  static override properties = { product: { type: String }, state: { state: true } };
  declare product: string;
  declare protected state: ProductState | undefined;

  protected listen(): (() => void)[] {
    if (!this.product) return [];
    const listener = { value: (data: Json) => void (this.state = data as ProductState) };
    return [whenNear(this, () => live.subscribe(`product:${this.product}`, "state", listener))];
  }
}

class LivePrice extends ProductElement {
  private shown: string | undefined;

  protected get ready(): boolean {
    return isMoney(this.state?.price);
  }

  protected override willUpdate(): void {
    this.shown ??= this.querySelector(".price")?.lastChild?.textContent?.trim();
  }

  protected override updated(): void {
    const price = formatMoney(this.now());
    if (this.shown !== undefined && this.shown !== price) this.flash();
    this.shown = price;
  }

  protected override render(): TemplateResult {
    const { price, sale_price: sale } = this.state ?? {};
    if (isMoney(sale) && isMoney(price)) {
      return html`<span class="price price-sale"><span class="hush">Now </span>${formatMoney(sale)}</span>
        <s class="price-was"><span class="hush">before </span>${formatMoney(price)}</s>`;
    }
    return html`<span class="price">${formatMoney(this.now())}</span>`;
  }

  private now(): Money {
    const sale = this.state?.sale_price;
    if (isMoney(sale)) return sale;
    return this.state?.price ?? { amount: 0, currency: "EUR" };
  }

  /** Restarts the highlight; the style sheet leaves it out where motion is not wanted. */
  private flash(): void {
    this.classList.remove("moved");
    requestAnimationFrame(() => this.classList.add("moved"));
  }
}

class LiveAvailability extends ProductElement {
  protected get ready(): boolean {
    return isAvailability(this.state?.availability);
  }

  protected override render(): TemplateResult | typeof nothing {
    const availability = this.state?.availability;
    if (!availability) return nothing;
    return html`<span class="stock stock-${availability}">${availabilityLabel(availability)}</span>`;
  }

  protected override updated(): void {
    const button = document.querySelector("[data-add-to-cart] button");
    if (!button || !this.closest(".product-buy")) return;
    const soldOut = this.state?.availability === "out_of_stock";
    button.toggleAttribute("data-sold-out", soldOut);
    button.textContent = soldOut ? "Add to cart anyway" : "Add to cart";
  }
}

customElements.define("live-price", LivePrice);
customElements.define("live-availability", LiveAvailability);
