// The standing MQTT connection to the hub: the fast way for hints, reports and telemetry, never the only one (design 6).
// Reconnects for ever with exponential backoff and full jitter, also after a refusal, so that a fleet that lost its broker at
// one moment does not come back at one moment (field lesson B11). Each connection has an id that its will carries: the hub
// ignores the will of a connection that is not the newest.
import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { fullJitterMs, type BackoffPolicy } from '@tidegate/shared/system/backoff.js';
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { Random } from '@tidegate/shared/system/random.js';
import { deviceTopics, telemetryAckSchema, type Presence } from '@tidegate/shared/wire/device-api.js';
import { parseDocument } from '../state/documents.js';
import type { MqttSession, OpenMqttSession } from './mqtt-session.js';

interface HubLinkOptions {
  readonly deviceId: string;
  /** Dials the broker with the device's certificate. */
  readonly openSocket: () => Duplex;
  readonly backoff?: BackoffPolicy;
  readonly connectTimeoutMs?: number;
  readonly keepaliveS?: number;
}

interface HubLinkListeners {
  /** The hub has published a desired state: look at the truth. */
  readonly desiredHint: () => void;
  readonly telemetryAck: (seq: number) => void;
  readonly up: () => void;
  readonly down: (reason: string) => void;
}

interface HubLinkModules {
  readonly open: OpenMqttSession;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const DEFAULT_BACKOFF: BackoffPolicy = { baseMs: 1000, maxMs: 120_000 };
/** A connection that lived so long was a good one: the next backoff starts small again. */
const GOOD_AFTER_MS = 10_000;
/** Largest message that is looked at. */
const LIMIT_MESSAGE_BYTES = 1024 * 1024;
const ANSWER_TIMEOUT_MS = 15_000;
/** A broker that hangs must not hold up the end of the agent; its will says the same. */
const GOODBYE_TIMEOUT_MS = 2000;

export class HubLink {
  readonly #options: HubLinkOptions;
  readonly #listeners: HubLinkListeners;
  readonly #modules: HubLinkModules;
  readonly #topics: ReturnType<typeof deviceTopics>;
  readonly #stop = new AbortController();
  #session: MqttSession | undefined;
  #loop: Promise<void> = Promise.resolve();
  #lastError: string | undefined;

  constructor(options: HubLinkOptions, listeners: HubLinkListeners, modules: HubLinkModules) {
    this.#options = options;
    this.#listeners = listeners;
    this.#modules = modules;
    this.#topics = deviceTopics(options.deviceId);
  }

  get connected(): boolean {
    return this.#session !== undefined;
  }

  /** Why the last connection ended or could not be made; undefined while connected. */
  get lastError(): string | undefined {
    return this.connected ? undefined : this.#lastError;
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Says goodbye where it can, and stays away. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the agent is stopping'));
    await this.#loop;
  }

  /** Resolves when the broker has it. Rejects while not connected, and when the broker does not answer in time. */
  async publish(topic: 'reported' | 'telemetry', document: object, signal: AbortSignal): Promise<void> {
    const session = this.#session;
    if (session === undefined) throw new Error('not connected to the broker');
    await this.#inTime(session.publish(this.#topics[topic], JSON.stringify(document)), signal);
  }

  async #run(): Promise<void> {
    const { clock, random, log } = this.#modules;
    const backoff = this.#options.backoff ?? DEFAULT_BACKOFF;
    let failures = 0;
    while (!this.#stop.signal.aborted) {
      const { reason, upMs } = await this.#connectOnce();
      if (this.#stop.signal.aborted) return;
      this.#lastError = reason;
      failures = upMs > GOOD_AFTER_MS ? 0 : failures + 1;
      const waitMs = fullJitterMs(failures, backoff, random);
      log.info({ reason, waitMs: Math.round(waitMs), failures }, 'not connected to the broker');
      await delay(clock, waitMs, this.#stop.signal).catch(() => undefined); // stopping ends the wait
    }
  }

  /** One connection from begin to end; resolves with why it is over, and how long it stood. */
  async #connectOnce(): Promise<{ readonly reason: string; readonly upMs: number }> {
    const connectionId = randomUUID();
    const presence = (online: boolean): string => JSON.stringify({ connectionId, online } satisfies Presence);
    let session: MqttSession;
    try {
      session = await this.#open(presence(false));
    } catch (cause) {
      return { reason: messageOf(cause), upMs: 0 };
    }
    try {
      await this.#inTime(session.subscribe([this.#topics.desired, this.#topics.telemetryAck]), this.#stop.signal);
      await this.#inTime(session.publish(this.#topics.presence, presence(true)), this.#stop.signal);
    } catch (cause) {
      session.destroy();
      return { reason: messageOf(cause), upMs: 0 };
    }
    this.#session = session;
    this.#modules.log.info({ connectionId }, 'connected to the broker');
    const upSinceMs = this.#modules.clock.monotonicMs();
    this.#listeners.up();
    const stopped = new Promise<'stop'>((resolve) => {
      if (this.#stop.signal.aborted) resolve('stop');
      this.#stop.signal.addEventListener('abort', () => resolve('stop'), { once: true });
    });
    const ended = await Promise.race([session.closed, stopped]);
    this.#session = undefined;
    if (ended === 'stop') await this.#sayGoodbye(session, presence(false));
    this.#listeners.down(ended);
    return { reason: ended, upMs: this.#modules.clock.monotonicMs() - upSinceMs };
  }

  async #sayGoodbye(session: MqttSession, presence: string): Promise<void> {
    try {
      await this.#inTime(session.publish(this.#topics.presence, presence), undefined, GOODBYE_TIMEOUT_MS);
      await this.#inTime(session.end(), undefined, GOODBYE_TIMEOUT_MS);
    } catch (cause) {
      this.#modules.log.debug({ error: messageOf(cause) }, 'the broker did not hear the goodbye');
      session.destroy();
    }
  }

  #open(willPayload: string): Promise<MqttSession> {
    const { deviceId, openSocket, connectTimeoutMs, keepaliveS } = this.#options;
    return this.#modules.open(
      {
        openSocket,
        clientId: deviceId,
        will: { topic: this.#topics.presence, payload: willPayload },
        connectTimeoutMs: connectTimeoutMs ?? 15_000,
        keepaliveS: keepaliveS ?? 60,
      },
      (topic, payload) => this.#message(topic, payload),
      this.#stop.signal,
    );
  }

  #message(topic: string, payload: Uint8Array): void {
    if (payload.byteLength > LIMIT_MESSAGE_BYTES) return;
    if (topic === this.#topics.desired) this.#listeners.desiredHint();
    if (topic !== this.#topics.telemetryAck) return;
    const ack = parseDocument(Buffer.from(payload).toString('utf8'), telemetryAckSchema);
    if (ack !== undefined) this.#listeners.telemetryAck(ack.seq);
  }

  async #inTime<T>(work: Promise<T>, signal: AbortSignal | undefined, limitMs = ANSWER_TIMEOUT_MS): Promise<T> {
    const limit = new AbortController();
    const either = signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]);
    const late = delay(this.#modules.clock, limitMs, either).then(() => {
      throw new Error(`the broker did not answer within ${limitMs} ms`);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      limit.abort();
    }
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
