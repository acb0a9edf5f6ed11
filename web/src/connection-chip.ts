// <connection-chip>: whether what the page shows is live, in a word and a shape.

import { html, nothing, type TemplateResult } from "lit";
import { live } from "./connection.js";
import { LiveElement } from "./element.js";
import type { LiveState } from "./live-socket.js";

const WORDS: Record<Exclude<LiveState, "idle">, string> = {
  connecting: "Connecting",
  live: "Live",
  stale: "Reconnecting, figures may be old",
  offline: "Offline, figures may be old",
};

/** A page that changes takes a moment to connect; only a longer wait is news. */
const PATIENCE_MS = 600;

class ConnectionChip extends LiveElement {
  static override properties = { state: { state: true } };
  declare private state: LiveState;
  private timer: ReturnType<typeof setTimeout> | undefined;

  protected get ready(): boolean {
    return this.state !== undefined;
  }

  protected listen(): (() => void)[] {
    return [live.watch((state) => this.see(state)), () => clearTimeout(this.timer)];
  }

  protected override render(): TemplateResult | typeof nothing {
    if (this.state === "idle") return nothing;
    return html`<span class="chip-live chip-${this.state}">${WORDS[this.state]}</span>`;
  }

  private see(state: LiveState): void {
    clearTimeout(this.timer);
    if (state === "live" || state === "idle") this.state = state;
    else this.timer = setTimeout(() => (this.state = state), PATIENCE_MS);
  }
}

customElements.define("connection-chip", ConnectionChip);
