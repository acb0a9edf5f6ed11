// <toast-stack>: short messages at the edge of the screen, read out politely.

const SHOWN_MS = 7_000;

export type Tone = "done" | "fault";

class ToastStack extends HTMLElement {
  say(text: string, tone: Tone, link?: { href: string; text: string }): void {
    const toast = document.createElement("div");
    toast.className = `toast toast-${tone}`;
    const words = document.createElement("p");
    words.textContent = text;
    if (link) {
      const anchor = document.createElement("a");
      anchor.href = link.href;
      anchor.textContent = link.text;
      words.append(" ", anchor);
    }
    const close = document.createElement("button");
    close.type = "button";
    close.className = "toast-close";
    close.setAttribute("aria-label", "Dismiss");
    close.addEventListener("click", () => toast.remove());
    toast.append(words, close);
    this.append(toast);
    while (this.childElementCount > 3) this.firstElementChild?.remove();
    this.expire(toast);
  }

  /** Waits longer while somebody reads or reaches for it. */
  private expire(toast: HTMLElement): void {
    setTimeout(() => {
      if (toast.matches(":hover, :focus-within")) this.expire(toast);
      else toast.remove();
    }, SHOWN_MS);
  }
}

customElements.define("toast-stack", ToastStack);

export function say(text: string, tone: Tone = "done", link?: { href: string; text: string }): void {
  const stack = document.querySelector("toast-stack");
  if (stack instanceof ToastStack) stack.say(text, tone, link);
}
