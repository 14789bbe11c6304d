// The device's way to its hub: identity, connections with its certificate, and the renewal of that certificate from two thirds
// of its life on (field lesson B3). Users hold one dispatcher for good; after a renewal it hands their requests to connections
// that show the new certificate.
import type { Duplex } from 'node:stream';
import { Dispatcher, type Agent } from 'undici';
import { delay, type Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import type { TrustedTime } from '@tidegate/shared/tuf/trusted-time.js';
import { hubDispatcher, hubSocket, trustOf, type HubTrust } from '../identity/hub-transport.js';
import { IdentityError } from '../identity/identity-error.js';
import type { Identity } from '../identity/identity.js';
import { renewalDue, renewCertificate } from '../identity/renewal.js';

/** Between two looks at the certificate's age, and after a renewal that failed. */
const LOOK_INTERVAL_MS = 3_600_000;

interface HubAccessModules {
  readonly files: Files;
  readonly clock: Clock;
  readonly trustedTime: Pick<TrustedTime, 'floorMs' | 'nowMs'>;
  readonly log: Log;
}

export class HubAccess {
  /** Mutual TLS to the hub's device port, for as long as the agent runs. */
  readonly dispatcher: Dispatcher;
  readonly #dataDir: string;
  readonly #modules: HubAccessModules;
  readonly #stop = new AbortController();
  #identity: Identity;
  #trust: HubTrust;
  #agent: Agent;
  #clockState: 'plausible' | 'behind' | 'ahead' = 'plausible';
  #loop: Promise<void> = Promise.resolve();

  constructor(options: { readonly dataDir: string; readonly identity: Identity }, modules: HubAccessModules) {
    this.#dataDir = options.dataDir;
    this.#modules = modules;
    this.#identity = options.identity;
    this.#trust = this.#trustOf(options.identity);
    this.#agent = hubDispatcher(this.#trust);
    this.dispatcher = new Forwarding(() => this.#agent);
  }

  get identity(): Identity {
    return this.#identity;
  }

  /** What the last handshake said about the device's clock. */
  get clockState(): 'plausible' | 'behind' | 'ahead' {
    return this.#clockState;
  }

  /** A socket to the broker, as MQTT's client wants it. */
  openMqttSocket(): Duplex {
    return hubSocket(this.#identity.mqttUrl, this.#trust);
  }

  /** Renews the certificate in the background when it is due. */
  start(): void {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    await this.#agent.destroy();
  }

  async #run(): Promise<void> {
    const { clock, trustedTime, log } = this.#modules;
    while (!this.#stop.signal.aborted) {
      if (renewalDue(this.#identity.certificatePem, trustedTime.nowMs())) {
        try {
          await this.#renew();
          log.info({}, "the device's certificate was renewed");
        } catch (cause) {
          if (this.#stop.signal.aborted) return;
          const final = cause instanceof IdentityError && cause.hubCode === 'revoked';
          log.warn({ error: (cause as Error).message }, "the device's certificate could not be renewed yet");
          if (final) return;
        }
      }
      await delay(clock, LOOK_INTERVAL_MS, this.#stop.signal).catch(() => undefined); // stopping ends the wait
    }
  }

  async #renew(): Promise<void> {
    const { files } = this.#modules;
    const before = this.#agent;
    this.#identity = await renewCertificate(
      this.#dataDir,
      this.#identity,
      { files, dispatcher: before },
      this.#stop.signal,
    );
    this.#trust = this.#trustOf(this.#identity);
    this.#agent = hubDispatcher(this.#trust);
    void before.close(); // after what is under way on it
  }

  #trustOf(identity: Identity): HubTrust {
    const { clock, trustedTime, log } = this.#modules;
    const trust = trustOf(identity, { clock, floorMs: () => trustedTime.floorMs() }, (state) => {
      if (state !== this.#clockState)
        log.warn({ clock: state }, "the device's clock is wrong; the hub is recognised all the same");
      this.#clockState = state;
    });
    return { ...trust, signal: this.#stop.signal };
  }
}

class Forwarding extends Dispatcher {
  readonly #target: () => Dispatcher;

  constructor(target: () => Dispatcher) {
    super();
    this.#target = target;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.#target().dispatch(options, handler);
  }
}
