// <order-timeline>: where an order stands and how it got there, as it happens.

import { html, nothing, type TemplateResult } from "lit";
import { live } from "./connection.js";
import { LiveElement } from "./element.js";
import { localTime } from "./local-time.js";
import type { Json } from "./merge-patch.js";
import { detailText, isOrderStatus, orderLabel, track, type HistoryEntry, type OrderStatus } from "./order.js";
import { refreshRegions } from "./regions.js";

/** A fresh order may come to wait for its shopper (3-D Secure) without a new status: look a few times. */
const LOOK_AGAIN_MS = [1_000, 3_000, 8_000];

class OrderTimeline extends LiveElement {
  static override properties = {
    order: { type: String },
    status: { type: String, reflect: true },
    live: { type: Boolean },
    history: { state: true },
  };
  declare order: string;
  declare status: OrderStatus;
  declare live: boolean;
  declare private history: HistoryEntry[] | undefined;
  /** Whether the status changed under the reader's eyes, so that it is worth saying aloud. */
  private changed = false;

  protected get ready(): boolean {
    return this.history !== undefined;
  }

  protected listen(): (() => void)[] {
    if (!this.live || !this.order) return [];
    return [
      live.subscribe(`order:${this.order}`, "stream", {
        value: (data) => this.take(data),
        event: (data) => this.grow(data),
      }),
      ...(this.status === "pending" ? LOOK_AGAIN_MS.map((ms) => this.lookAgain(ms)) : []),
    ];
  }

  private lookAgain(ms: number): () => void {
    const timer = setTimeout(() => this.status === "pending" && void refreshRegions(), ms);
    return () => clearTimeout(timer);
  }

  protected override render(): TemplateResult {
    return html`<ol class="track track-${this.status}">
        ${track(this.status).map(
          ({ status, state }) =>
            html`<li class="track-${state}" aria-current=${state === "now" ? "step" : nothing}><span>${orderLabel(status)}</span></li>`,
        )}
      </ol>
      <ol class="history" aria-label="What happened so far">
        ${this.history?.map(
          ({ at, status, detail }) =>
            html`<li>
              <time datetime=${at}>${localTime(at)}</time
              ><span class="history-what"><b>${orderLabel(status)}</b> ${detailText(detail) ? html`<span>${detailText(detail)}</span>` : nothing}</span>
            </li>`,
        )}
      </ol>
      <p class="hush" role="status">${this.changed ? `Now: ${orderLabel(this.status)}` : nothing}</p>`;
  }

  private take(data: Json): void {
    const history = (data as { history?: unknown }).history;
    if (!Array.isArray(history)) return;
    this.history = (history as HistoryEntry[]).filter((entry) => isOrderStatus(entry.status));
    this.follow();
  }

  private grow(data: Json): void {
    const entry = data as unknown as HistoryEntry;
    if (!isOrderStatus(entry?.status)) return void refreshRegions();
    this.history = [...(this.history ?? []), entry];
    this.follow();
  }

  /** The rest of the page (what can be done, payment, parcels) is the server's to draw. */
  private follow(): void {
    const latest = this.history?.at(-1)?.status;
    const moved = latest !== undefined && latest !== this.status;
    if (moved) this.status = latest;
    this.changed ||= moved;
    void refreshRegions();
  }
}

customElements.define("order-timeline", OrderTimeline);
