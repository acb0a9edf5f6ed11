// What all our elements share: they keep the server's HTML until they know something newer, and
// then draw in its place with the styles of the page.

import { LitElement } from "lit";

export abstract class LiveElement extends LitElement {
  private drawn = false;
  private stop: (() => void)[] = [];

  /** Whether there is something newer to draw than what the server sent. */
  protected abstract get ready(): boolean;

  /** Takes part in the live feed; what it returns is undone when the element leaves the page. */
  protected abstract listen(): (() => void)[];

  override connectedCallback(): void {
    super.connectedCallback();
    this.stop = this.listen();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    for (const undo of this.stop.splice(0)) undo();
  }

  /** Lit would put its nodes beside the fallback; without its default root we say where. */
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override shouldUpdate(): boolean {
    if (!this.ready) return false;
    if (!this.drawn) {
      this.drawn = true;
      this.replaceChildren();
    }
    return true;
  }
}

/** Calls `start` when the element first comes near the screen; a grid does not subscribe to what nobody sees. */
export function whenNear(element: Element, start: () => () => void): () => void {
  let stop: (() => void) | undefined;
  const observer = new IntersectionObserver(
    (entries) => {
      const near = entries.some((entry) => entry.isIntersecting);
      if (near && !stop) stop = start();
      if (!near && stop) {
        stop();
        stop = undefined;
      }
    },
    { rootMargin: "200px" },
  );
  observer.observe(element);
  return () => {
    observer.disconnect();
    stop?.();
  };
}
