import assert from "node:assert/strict";
import { test } from "node:test";
import { LiveSocket, type LiveState, type SocketLike, type World } from "../src/live-socket.js";
import type { Json } from "../src/merge-patch.js";

/** A socket whose other end is the test. */
class Wire implements SocketLike {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  readonly sent: Record<string, unknown>[] = [];
  closed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close(): void {
    this.closed = true;
  }
  say(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  welcome(): void {
    this.onopen?.();
    this.say({ welcome: { session: "s", ping_ms: 20_000 } });
  }
  /** The subscriptions asked for so far, newest last. */
  subs(): { id: number; ch: string; from: unknown }[] {
    return this.sent.flatMap((frame) => (frame["sub"] as { id: number; ch: string; from: unknown }[] | undefined) ?? []);
  }
}

/** A world with a clock in the test's hand. */
class Bench implements World {
  readonly wires: Wire[] = [];
  readonly states: LiveState[] = [];
  readonly socket: LiveSocket;
  time = 1_000_000;
  chance = 0.5;
  connected = true;
  private timers: { at: number; run: () => void }[] = [];

  constructor() {
    this.socket = new LiveSocket(this);
    this.socket.watch((state) => this.states.push(state));
  }
  open(): Wire {
    const wire = new Wire();
    this.wires.push(wire);
    return wire;
  }
  now(): number {
    return this.time;
  }
  random(): number {
    return this.chance;
  }
  online(): boolean {
    return this.connected;
  }
  after(ms: number, run: () => void): () => void {
    const timer = { at: this.time + ms, run };
    this.timers.push(timer);
    return () => void (this.timers = this.timers.filter((one) => one !== timer));
  }
  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = this.timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.time = next.at;
      next.run();
    }
    this.time = end;
  }
  get wire(): Wire {
    const last = this.wires.at(-1);
    assert.ok(last, "a socket was opened");
    return last;
  }
}

/** A listener that keeps what it hears. */
function collect() {
  const values: Json[] = [];
  const events: Json[] = [];
  return {
    values,
    events,
    value: (data: Json): void => void values.push(data),
    event: (data: Json): void => void events.push(data),
  };
}

const json = (value: unknown): string => JSON.stringify(value);

// Proves that nothing is opened before somebody listens, and that hello and welcome come before subscriptions.
test("the first listener opens the socket, welcome makes it live", () => {
  const bench = new Bench();
  assert.equal(bench.wires.length, 0);
  bench.socket.subscribe("product:1", "state", {});
  bench.socket.subscribe("product:2", "state", {});
  assert.equal(bench.wires.length, 1);
  bench.wire.onopen?.();
  assert.deepEqual(bench.wire.sent, [{ hello: { client: "storefront" } }]);
  bench.wire.say({ welcome: { ping_ms: 20_000 } });
  assert.deepEqual(bench.wire.subs().map((sub) => sub.ch), ["product:1", "product:2"]);
  assert.deepEqual(bench.states, ["idle", "connecting", "live"]);
});

// Proves that a state channel takes snapshots, whole values and patches, drops old offsets, and asks again when a patch has no base.
test("a state channel follows snapshots and patches", () => {
  const bench = new Bench();
  const seen = collect();
  bench.socket.subscribe("product:1", "state", seen);
  bench.wire.welcome();
  bench.wire.say({ snap: { ch: "product:1", e: "a", o: 5, data: { price: 10, availability: "low" } } });
  bench.wire.say({ pub: [{ ch: "product:1", o: 9, p: { price: 12 } }] });
  bench.wire.say({ pub: [{ ch: "product:1", o: 9, p: { price: 99 } }] });
  assert.equal(json(seen.values), json([{ price: 10, availability: "low" }, { price: 12, availability: "low" }]));
  const late = collect();
  bench.socket.subscribe("product:1", "state", late);
  assert.equal(json(late.values), json([{ price: 12, availability: "low" }]));
});

test("a patch without a base asks for a snapshot", () => {
  const bench = new Bench();
  const seen = collect();
  bench.socket.subscribe("cart", "state", seen);
  bench.wire.welcome();
  bench.wire.say({ pub: [{ ch: "cart", o: 3, p: { version: 2 } }] });
  assert.equal(seen.values.length, 0);
  assert.deepEqual(bench.wire.subs().at(-1)?.from, "snapshot");
  assert.equal(bench.wire.subs().length, 2);
});

// Proves resume: the stream goes on behind the last event seen, the state channel starts afresh.
test("a reconnect resumes streams and snapshots states", () => {
  const bench = new Bench();
  const order = collect();
  bench.socket.subscribe("order:7", "stream", order);
  bench.socket.subscribe("cart", "state", collect());
  bench.wire.welcome();
  bench.wire.say({ snap: { ch: "order:7", e: "x", o: 1, data: { history: [] } } });
  bench.wire.say({ live: { id: 1, ch: "order:7", e: "x", o: 1, recovered: true } });
  bench.wire.say({ pub: [{ ch: "order:7", o: 2, d: { status: "confirmed" } }] });
  bench.wire.onclose?.({ code: 1006 });
  assert.equal(bench.socket.state, "stale");
  bench.pass(250);
  assert.equal(bench.wires.length, 2);
  bench.wire.welcome();
  assert.deepEqual(bench.wire.subs().map((sub) => sub.from), [{ e: "x", o: 2 }, "snapshot"]);
  bench.wire.say({ pub: [{ ch: "order:7", o: 2, d: { status: "confirmed" } }, { ch: "order:7", o: 3, d: { status: "packed" } }] });
  assert.equal(json(order.events), json([{ status: "confirmed" }, { status: "packed" }]));
  assert.equal(bench.socket.state, "live");
});

// Proves that a hole in a stream is never passed over: the client asks again from where it stands.
test("a hole in a stream is noticed", () => {
  const bench = new Bench();
  const order = collect();
  bench.socket.subscribe("order:7", "stream", order);
  bench.wire.welcome();
  bench.wire.say({ snap: { ch: "order:7", e: "x", o: 1, data: {} } });
  bench.wire.say({ pub: [{ ch: "order:7", o: 3, d: "lost one" }] });
  assert.equal(order.events.length, 0);
  assert.deepEqual(bench.wire.subs().at(-1)?.from, { e: "x", o: 1 });
  bench.wire.say({ pos: [["order:7", 4]] });
  assert.equal(bench.wire.subs().length, 3);
  bench.wire.say({ gap: { ch: "order:7", reason: "too_old" } });
  bench.wire.say({ snap: { ch: "order:7", e: "y", o: 8, data: "whole" } });
  assert.equal(order.values.at(-1), "whole");
});

// Proves full jitter with a ceiling that doubles, and that a coded goodbye sets the earliest return.
test("backoff grows with jitter and keeps to a goodbye", () => {
  const bench = new Bench();
  bench.chance = 1;
  bench.socket.subscribe("cart", "state", {});
  const opened = (): number => bench.wires.length;
  bench.wire.onclose?.({ code: 1006 });
  bench.pass(499);
  assert.equal(opened(), 1);
  bench.pass(1);
  assert.equal(opened(), 2);
  bench.wire.onclose?.({ code: 1006 });
  bench.pass(999);
  assert.equal(opened(), 2);
  bench.pass(1);
  assert.equal(opened(), 3);
  bench.wire.welcome();
  bench.wire.say({ bye: { code: 4000, reason: "drain", retry: true, after_ms: 2_000 } });
  bench.chance = 0;
  bench.wire.onclose?.({ code: 4000 });
  bench.pass(1_999);
  assert.equal(opened(), 3);
  bench.pass(1);
  assert.equal(opened(), 4);
});

test("a final goodbye is obeyed", () => {
  const bench = new Bench();
  bench.socket.subscribe("cart", "state", {});
  bench.wire.welcome();
  bench.wire.onclose?.({ code: 4010 });
  assert.equal(bench.socket.state, "offline");
  bench.pass(600_000);
  assert.equal(bench.wires.length, 1);
});

// Proves that a silent connection is given up, and that the network's word is taken.
test("silence and a lost network are noticed", () => {
  const bench = new Bench();
  bench.socket.subscribe("cart", "state", {});
  bench.wire.welcome();
  const first = bench.wire;
  bench.pass(8_000);
  assert.equal(bench.socket.state, "stale");
  assert.ok(first.closed);
  bench.connected = false;
  bench.socket.sleep();
  assert.equal(bench.socket.state, "offline");
  bench.connected = true;
  bench.socket.wake();
  bench.wire.welcome();
  assert.equal(bench.socket.state, "live");
});

// Proves that pings are answered and that the clock offset comes from the quickest round trip.
test("pings are answered and set the clock", () => {
  const bench = new Bench();
  bench.socket.subscribe("cart", "state", {});
  bench.wire.welcome();
  const t0 = bench.time;
  bench.time += 100;
  bench.wire.say({ pong: { t0, t1: t0 + 50 + 7_000 } });
  assert.equal(bench.socket.clockOffsetMs, 7_000);
  bench.wire.say({ ping: { t0: 42 } });
  assert.deepEqual(bench.wire.sent.at(-1), { pong: { t0: 42, t1: bench.time } });
});

// Proves that a refused channel is dropped and that leaving the last listener unsubscribes.
test("refusals and leaving end a subscription", () => {
  const bench = new Bench();
  let refused = 0;
  bench.socket.subscribe("order:9", "stream", { refused: () => void (refused += 1) });
  const leave = bench.socket.subscribe("cart", "state", {});
  bench.wire.welcome();
  bench.wire.say({ err: { id: 1, problem: { status: 403 } } });
  assert.equal(refused, 1);
  leave();
  assert.deepEqual(bench.wire.sent.at(-1), { unsub: [{ id: 2, ch: "cart" }] });
});

// Proves that what is no frame of ours changes nothing.
test("strange frames are ignored", () => {
  const bench = new Bench();
  bench.socket.subscribe("cart", "state", {});
  bench.wire.welcome();
  for (const data of ["", "null", "[]", "{", '{"news":1}', 7, new ArrayBuffer(2)]) bench.wire.onmessage?.({ data });
  assert.equal(bench.socket.state, "live");
});
