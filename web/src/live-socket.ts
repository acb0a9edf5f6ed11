// The one owner of the WebSocket: opens it when somebody listens, keeps it alive, comes back after
// it breaks, and hands frames to the subscriptions. Elements never see the socket.
//
//   idle ──subscribe──> connecting ──welcome──> live ──lost──> stale ──welcome──> live
//                           └──────── lost before the first welcome ────> connecting
//   no network, or told not to come back: offline

import { readFrame, type ClientFrame, type ServerFrames } from "./frames.js";
import { Subscription, type ChannelClass, type Listener } from "./subscription.js";

export type LiveState = "idle" | "connecting" | "live" | "stale" | "offline";

/** What the world looks like to the socket; tests give another one. */
export interface World {
  open(): SocketLike;
  now(): number;
  random(): number;
  after(ms: number, run: () => void): () => void;
  online(): boolean;
}

export interface SocketLike {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
}

const BACKOFF_BASE_MS = 500;
const BACKOFF_MAX_MS = 30_000;
const WELCOME_WITHIN_MS = 10_000;
const PING_DEFAULT_MS = 20_000;
const PONG_WITHIN_MS = 8_000;
/** Close codes after which coming back would change nothing: forbidden, our mistake, replaced. */
const FINAL_CODES: ReadonlySet<number> = new Set([4003, 4010, 4040]);
/** Told "too many": come back, but not soon. */
const TOO_MANY = 4029;
const TOO_MANY_MIN_MS = 10_000;

export class LiveSocket {
  private socket: SocketLike | undefined;
  private welcomed = false;
  private current: LiveState = "idle";
  private everLive = false;
  private attempts = 0;
  private nextId = 1;
  private heardAt = 0;
  private pingMs = PING_DEFAULT_MS;
  private bestRoundTrip = Number.POSITIVE_INFINITY;
  private offsetMs = 0;
  private farewell: ServerFrames["bye"] | undefined;
  private stopTimer: (() => void) | undefined;
  private readonly channels = new Map<string, Subscription>();
  private readonly watchers = new Set<(state: LiveState) => void>();

  constructor(private readonly world: World) {}

  get state(): LiveState {
    return this.current;
  }

  /** Server time minus ours, from the quickest ping so far. */
  get clockOffsetMs(): number {
    return this.offsetMs;
  }

  /** Calls back now and with every change of state; returns how to stop. */
  watch(watcher: (state: LiveState) => void): () => void {
    this.watchers.add(watcher);
    watcher(this.current);
    return () => void this.watchers.delete(watcher);
  }

  /** Listens to a channel; the first listener opens the socket. Returns how to stop. */
  subscribe(channel: string, kind: ChannelClass, listener: Listener): () => void {
    const known = this.channels.get(channel);
    if (known && kind === "state") {
      known.add(listener);
    } else {
      // A stream starts afresh for a newcomer, because its earlier events are gone.
      if (known) this.drop(known);
      const made = new Subscription(this.nextId++, channel, kind);
      for (const earlier of known?.listeners ?? []) made.add(earlier);
      made.add(listener);
      this.channels.set(channel, made);
      this.request(made);
    }
    return () => this.unsubscribe(channel, listener);
  }

  /** The network is back, or the page is: do not wait for the backoff to end. */
  wake(): void {
    if (this.channels.size === 0 || this.socket) return;
    this.attempts = 0;
    this.connect();
  }

  /** The network is gone. */
  sleep(): void {
    this.abandon();
    if (this.channels.size > 0) this.become("offline");
  }

  private unsubscribe(channel: string, listener: Listener): void {
    const subscription = this.channels.get(channel);
    if (!subscription?.listeners.delete(listener) || subscription.listeners.size > 0) return;
    this.drop(subscription);
  }

  private drop(subscription: Subscription): void {
    this.channels.delete(subscription.channel);
    if (this.welcomed) this.send({ unsub: [{ id: subscription.id, ch: subscription.channel }] });
  }

  private request(subscription: Subscription): void {
    if (this.welcomed) {
      this.send({ sub: [{ id: subscription.id, ch: subscription.channel, from: subscription.from() }] });
    } else if (!this.socket && this.current !== "stale" && this.current !== "offline") {
      this.connect();
    }
  }

  private connect(): void {
    this.stopTimer?.();
    if (!this.world.online()) return this.become("offline");
    this.become(this.everLive ? "stale" : "connecting");
    this.farewell = undefined;
    const socket = this.world.open();
    this.socket = socket;
    socket.onopen = () => this.send({ hello: { client: "storefront" } });
    socket.onmessage = (event) => {
      if (socket === this.socket) this.receive(event.data);
    };
    socket.onclose = (event) => {
      if (socket === this.socket) this.lost(event.code);
    };
    this.wait(WELCOME_WITHIN_MS, () => this.breakOff());
  }

  private receive(text: unknown): void {
    this.heardAt = this.world.now();
    const frame = readFrame(text);
    if (!frame) return;
    switch (frame.name) {
      case "welcome":
        return this.welcome(frame.body);
      case "snap":
        return this.channels.get(frame.body.ch)?.snap(frame.body.e, frame.body.o, frame.body.data);
      case "live":
        return this.channels.get(frame.body.ch)?.live(frame.body.e, frame.body.o);
      case "pub":
        for (const publication of frame.body) {
          const subscription = this.channels.get(publication.ch);
          if (subscription?.publish(publication) === "resubscribe") this.again(subscription);
        }
        return;
      case "gap":
        return this.channels.get(frame.body.ch)?.gap();
      case "pos":
        for (const [channel, offset] of frame.body) {
          const subscription = this.channels.get(channel);
          if (subscription?.stands(offset) === "resubscribe") this.again(subscription);
        }
        return;
      case "err":
        return this.refused(frame.body);
      case "ping":
        return this.send({ pong: { t0: frame.body.t0, t1: this.world.now() } });
      case "pong":
        return this.pong(frame.body);
      case "bye":
        this.farewell = frame.body;
        return;
    }
  }

  private welcome(body: ServerFrames["welcome"]): void {
    this.welcomed = true;
    this.everLive = true;
    this.attempts = 0;
    this.pingMs = body.ping_ms ?? PING_DEFAULT_MS;
    const subscriptions = [...this.channels.values()];
    for (const subscription of subscriptions) subscription.reconnected();
    if (subscriptions.length > 0) {
      this.send({ sub: subscriptions.map((one) => ({ id: one.id, ch: one.channel, from: one.from() })) });
    }
    this.become("live");
    this.bestRoundTrip = Number.POSITIVE_INFINITY;
    this.ping();
  }

  private ping(): void {
    this.send({ ping: { t0: this.world.now() } });
    this.wait(PONG_WITHIN_MS, () => {
      if (this.world.now() - this.heardAt >= PONG_WITHIN_MS) return this.breakOff();
      this.wait(this.pingMs, () => this.ping());
    });
  }

  private pong(body: ServerFrames["pong"]): void {
    const now = this.world.now();
    const roundTrip = now - body.t0;
    if (roundTrip < 0 || roundTrip > this.bestRoundTrip) return;
    this.bestRoundTrip = roundTrip;
    this.offsetMs = body.t1 - (body.t0 + roundTrip / 2);
  }

  private refused(body: ServerFrames["err"]): void {
    for (const subscription of this.channels.values()) {
      if (subscription.id !== body.id) continue;
      this.channels.delete(subscription.channel);
      subscription.refuse(body.problem);
    }
  }

  private again(subscription: Subscription): void {
    this.send({ sub: [{ id: subscription.id, ch: subscription.channel, from: subscription.from() }] });
  }

  /** The other side is silent: treat the connection as lost without waiting for its close. */
  private breakOff(): void {
    const socket = this.socket;
    this.lost(1006);
    socket?.close();
  }

  private abandon(): void {
    this.stopTimer?.();
    const socket = this.socket;
    this.socket = undefined;
    this.welcomed = false;
    socket?.close();
  }

  private lost(code: number): void {
    this.stopTimer?.();
    this.socket = undefined;
    this.welcomed = false;
    const said = this.farewell;
    const comeBack = said?.retry ?? !FINAL_CODES.has(said?.code ?? code);
    if (!comeBack || !this.world.online()) return this.become("offline");
    if (this.channels.size === 0) return this.become("idle");
    this.become(this.everLive ? "stale" : "connecting");
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** this.attempts);
    this.attempts += 1;
    const atLeast = said?.after_ms ?? ((said?.code ?? code) === TOO_MANY ? TOO_MANY_MIN_MS : 0);
    this.wait(atLeast + this.world.random() * ceiling, () => this.connect());
  }

  private wait(ms: number, run: () => void): void {
    this.stopTimer?.();
    this.stopTimer = this.world.after(ms, run);
  }

  private send(frame: ClientFrame): void {
    this.socket?.send(JSON.stringify(frame));
  }

  private become(state: LiveState): void {
    if (state === this.current) return;
    this.current = state;
    for (const watcher of [...this.watchers]) watcher(state);
  }
}
