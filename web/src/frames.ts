// The frames of live.1.json as they travel. A frame is one JSON object with one key, its name.

import type { Json } from "./merge-patch.js";

/** Where a subscription begins: afresh, from now, or behind a known position. */
export type From = "snapshot" | "live" | { e: string | number; o: number };

export type ClientFrame =
  | { hello: { client: string } }
  | { sub: { id: number; ch: string; from: From }[] }
  | { unsub: { id: number; ch: string }[] }
  | { ping: { t0: number } }
  | { pong: { t0: number; t1: number } };

export interface Publication {
  ch: string;
  o: number;
  t?: string | number;
  ev?: string;
  /** The whole value or event. */
  d?: Json;
  /** What changed since the last frame of this channel on this connection. */
  p?: Json;
}

export interface ServerFrames {
  welcome: { session?: string; ping_ms?: number; server_now?: string | number };
  snap: { ch: string; e: string | number; o: number; data: Json };
  live: { id: number; ch: string; e: string | number; o: number; recovered?: boolean };
  pub: Publication[];
  gap: { ch: string; reason?: string };
  pos: [string, number][];
  err: { id: number; problem?: Json };
  ping: { t0: number };
  pong: { t0: number; t1: number };
  bye: { code: number; reason?: string; retry?: boolean; after_ms?: number };
}

export type ServerFrame = { [Name in keyof ServerFrames]: { name: Name; body: ServerFrames[Name] } }[keyof ServerFrames];

const NAMES: ReadonlySet<string> = new Set<keyof ServerFrames>([
  "welcome", "snap", "live", "pub", "gap", "pos", "err", "ping", "pong", "bye",
]);

/** Reads one frame; what is no frame of ours is undefined and ignored, so that newer servers can say more. */
export function readFrame(text: unknown): ServerFrame | undefined {
  if (typeof text !== "string") return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const [entry] = Object.entries(value);
    if (!entry || !NAMES.has(entry[0])) return undefined;
    return { name: entry[0], body: entry[1] } as ServerFrame;
  } catch {
    return undefined;
  }
}
