// One channel as this page knows it: where it stands, its value, and who listens.
// Decides what a frame means for the channel; never touches the socket.

import type { From, Publication } from "./frames.js";
import { mergePatch, type Json } from "./merge-patch.js";

/** A state channel has a newest value; a stream has events, each exactly once and in order. */
export type ChannelClass = "state" | "stream";

export interface Listener {
  /** The whole value: at the start, after a gap, and with every change of a state channel. */
  value?(data: Json): void;
  /** One event of a stream. */
  event?(data: Json, name: string | undefined): void;
  /** The server does not let us see it. */
  refused?(problem: Json | undefined): void;
}

/** What has to happen next: nothing, or subscribing again from `from()`. */
export type Outcome = "fine" | "resubscribe";

export class Subscription {
  readonly listeners = new Set<Listener>();
  private epoch: string | number | undefined;
  private offset = 0;
  private data: Json | undefined;

  constructor(
    readonly id: number,
    readonly channel: string,
    readonly kind: ChannelClass,
  ) {}

  /** Where to begin: a stream goes on behind the last event seen, a state starts afresh. */
  from(): From {
    if (this.kind === "stream" && this.epoch !== undefined) return { e: this.epoch, o: this.offset };
    return "snapshot";
  }

  /** A new connection: patches refer to frames sent on it, so an old value is no base for them. */
  reconnected(): void {
    if (this.kind === "state") this.data = undefined;
  }

  add(listener: Listener): void {
    this.listeners.add(listener);
    if (this.data !== undefined) listener.value?.(this.data);
  }

  snap(epoch: string | number, offset: number, data: Json): void {
    this.epoch = epoch;
    this.offset = offset;
    this.data = data;
    this.tell((listener) => listener.value?.(data));
  }

  live(epoch: string | number, offset: number): void {
    // A stream takes its offset from what it was given, so that what follows this frame still counts.
    if (this.epoch === undefined) {
      this.epoch = epoch;
      this.offset = offset;
    }
  }

  publish(publication: Publication): Outcome {
    if (publication.o <= this.offset) return "fine";
    return this.kind === "stream" ? this.append(publication) : this.replace(publication);
  }

  gap(): void {
    this.epoch = undefined;
    this.offset = 0;
    this.data = undefined;
  }

  /** The server says where the channel stands; being behind means that something was lost. */
  stands(offset: number): Outcome {
    return offset > this.offset ? "resubscribe" : "fine";
  }

  refuse(problem: Json | undefined): void {
    this.tell((listener) => listener.refused?.(problem));
  }

  private append(publication: Publication): Outcome {
    if (publication.o !== this.offset + 1) return "resubscribe";
    this.offset = publication.o;
    // Whoever comes later needs a snapshot of its own.
    this.data = undefined;
    const data = publication.d ?? null;
    this.tell((listener) => listener.event?.(data, publication.ev));
    return "fine";
  }

  private replace(publication: Publication): Outcome {
    let next = publication.d;
    if (publication.p !== undefined) {
      if (this.data === undefined) return "resubscribe";
      next = mergePatch(this.data, publication.p);
    }
    if (next === undefined) return "fine";
    const data = next;
    this.offset = publication.o;
    this.data = data;
    this.tell((listener) => listener.value?.(data));
    return "fine";
  }

  private tell(say: (listener: Listener) => void): void {
    for (const listener of [...this.listeners]) say(listener);
  }
}
