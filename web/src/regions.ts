// Parts of a page that the server draws anew: elements with `data-region` and an id. The server is
// the only one who knows how they look, so the page asks it again instead of copying its templates.

let running: Promise<void> | undefined;
let again = false;

/** Asks for this page again and takes over its regions. Calls that overlap share one answer. */
export function refreshRegions(): Promise<void> {
  if (running) {
    again = true;
    return running;
  }
  running = load().finally(() => {
    running = undefined;
    if (again) {
      again = false;
      void refreshRegions();
    }
  });
  return running;
}

async function load(): Promise<void> {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" }).catch(() => undefined);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll<HTMLElement>("[data-region][id]")) {
    const next = fresh.getElementById(old.id);
    if (next && !isBeingEdited(old) && old.innerHTML !== next.innerHTML) replace(old, next);
  }
  document.dispatchEvent(new CustomEvent("regions-refreshed", { detail: fresh }));
}

/** A field somebody has changed and not sent is never taken away from under them. */
function isBeingEdited(region: HTMLElement): boolean {
  const field = document.activeElement;
  if (!(field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement)) return false;
  return region.contains(field) && field.value !== field.defaultValue;
}

function replace(old: HTMLElement, next: HTMLElement): void {
  const focused = old.contains(document.activeElement) ? document.activeElement?.id : undefined;
  old.replaceChildren(...[...next.childNodes].map((node) => document.adoptNode(node)));
  if (focused) document.getElementById(focused)?.focus();
}
