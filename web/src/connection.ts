// The page's one live socket, in the browser's world.

import { LiveSocket, type SocketLike } from "./live-socket.js";

const SUBPROTOCOL = "live.1.json";

function open(): SocketLike {
  const address = new URL("/live/ws", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  // WebSocket's handlers take richer events than we ask for; the shape is otherwise ours.
  return new WebSocket(address, SUBPROTOCOL) as SocketLike;
}

export const live = new LiveSocket({
  open,
  now: () => Date.now(),
  random: () => Math.random(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  online: () => navigator.onLine,
});

addEventListener("online", () => live.wake());
addEventListener("offline", () => live.sleep());
// A page in the back-forward cache may not keep a socket.
addEventListener("pagehide", (event) => event.persisted && live.sleep());
addEventListener("pageshow", (event) => event.persisted && live.wake());
