// A fleet without processes for tests of the hub's fleet and rollouts: real SQLite, a registry that knows what it is told,
// and devices that do what their desired document says, with behaviour per version digest.
import { FleetService } from '@tidegate/cloud-hub/fleet/fleet-service.js';
import type { Registry, StoredVariant } from '@tidegate/cloud-hub/registry/registry.js';
import { RolloutService } from '@tidegate/cloud-hub/rollouts/rollout-service.js';
import { recordAudit } from '@tidegate/cloud-hub/security/audit.js';
import type { Database } from '@tidegate/cloud-hub/storage/database.js';
import { openSqlite } from '@tidegate/cloud-hub/storage/sqlite/open-sqlite.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import type { Rollout, Version } from '@tidegate/shared/wire/admin-api.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import type { DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { ReportedModel, ReportedState } from '@tidegate/shared/wire/reported-state.js';
import { LATENCY_BOUNDS_MS } from '@tidegate/shared/wire/telemetry.js';
import { ManualClock } from './manual-clock.js';

export interface Behaviour {
  readonly confidence: number;
  readonly errorShare: number;
  /** Bucket of LATENCY_BOUNDS_MS. */
  readonly latencyBucket: number;
  readonly activation: 'works' | 'rolls-back';
}

export const GOOD: Behaviour = { confidence: 0.93, errorShare: 0, latencyBucket: 20, activation: 'works' };

export const versionDigestOf = (model: string, version: number): string => sha256(`${model}@${version}`);

const MODEL = 'digits';

class TestRegistry implements Pick<Registry, 'version' | 'variants' | 'variantFor'> {
  readonly #evaluations: SimulatedFleet['evaluations'];

  constructor(evaluations: SimulatedFleet['evaluations']) {
    this.#evaluations = evaluations;
  }

  async version(model: string, spec: string): Promise<Version | undefined> {
    const version = Number(spec);
    if (!Number.isInteger(version) || version < 1 || version > 9) return undefined;
    const evaluation = this.#evaluations.get(version);
    return {
      model,
      version,
      digest: versionDigestOf(model, version),
      licence: 'MIT',
      state: 'ready',
      sizeBytes: 1,
      createdAt: '',
      ...(evaluation === undefined ? {} : { evaluation }),
      variants: [],
    };
  }
  async variants(): Promise<readonly StoredVariant[]> {
    return [];
  }
  async variantFor(model: string, version: number): Promise<StoredVariant> {
    const variantDigest = sha256(`${model}@${version}/fp32`);
    const versionDigest = versionDigestOf(model, version);
    const manifest = { kind: 'variant' as const, model, parent: versionDigest, variant: 'fp32', files: [] };
    return {
      model,
      version,
      versionDigest,
      privacy: { fallback: 'hub', capture: 'none', telemetry: 'figures', answers: 'none' },
      variant: 'fp32',
      variantDigest,
      manifest,
      sizeBytes: 1,
    };
  }
}

interface SimulatedDevice {
  readonly id: string;
  seq: number;
  telemetrySeq: number;
  actedOn: number;
  running: { version: number; digest: string; variantDigest: string } | undefined;
  activation: ReportedModel['activation'];
  silent: boolean;
}

export class SimulatedFleet {
  readonly clock = new ManualClock();
  readonly rolloutEvents: Rollout[] = [];
  readonly behaviour = new Map<string, Behaviour>();
  /** Of trained versions. */
  readonly evaluations = new Map<number, NonNullable<Version['evaluation']>>();
  readonly devices: SimulatedDevice[] = [];
  readonly published: { deviceId: string; desired: DesiredState }[] = [];
  readonly db: Database;
  fleet!: FleetService;
  rollouts!: RolloutService;

  private constructor(db: Database) {
    this.db = db;
    this.restartHub();
  }

  static async open(deviceCount: number, group = 'shop'): Promise<SimulatedFleet> {
    const self = new SimulatedFleet(await openSqlite(':memory:'));
    for (let i = 0; i < deviceCount; i += 1) await self.enrol(`d${i}`, group);
    return self;
  }

  /** The services forget all that they hold in memory; the database stays. */
  restartHub(): void {
    const { db, clock } = this;
    const registry = new TestRegistry(this.evaluations);
    const publisher = {
      publish: async (deviceId: string, desired: DesiredState): Promise<void> => {
        this.published.push({ deviceId, desired });
      },
    };
    const common = { db, registry, audit: recordAudit, clock, log: silentLog };
    this.fleet = new FleetService({ ...common, publisher, onDevice: () => undefined });
    this.rollouts = new RolloutService({
      ...common,
      fleet: this.fleet,
      onRollout: (r) => this.rolloutEvents.push(r),
    });
  }

  async enrol(id: string, group = 'shop'): Promise<SimulatedDevice> {
    await this.fleet.enrolled({ id, name: id, group, certificateSerial: '1', publicKeyFingerprint: 'f' });
    const device: SimulatedDevice = {
      id,
      seq: 0,
      telemetrySeq: 0,
      actedOn: 0,
      running: undefined,
      activation: undefined,
      silent: false,
    };
    this.devices.push(device);
    await this.fleet.reported(id, this.report(device));
    return device;
  }

  report(device: SimulatedDevice): ReportedState {
    device.seq += 1;
    const { running, activation } = device;
    const model: ReportedModel = {
      name: MODEL,
      ...(running === undefined
        ? {}
        : {
            running: {
              version: running.version,
              versionDigest: running.digest,
              variant: 'fp32',
              variantDigest: running.variantDigest,
              provider: 'cpu',
              since: 0,
              committed: true,
            },
          }),
      ...(activation === undefined ? {} : { activation }),
    };
    return {
      deviceId: device.id,
      seq: device.seq,
      bootId: 'boot',
      desiredVersion: device.actedOn,
      agentVersion: '0.1.0',
      deviceClass: { architecture: 'x64', instructions: ['avx2'], provider: 'cpu', cores: 2, memoryTierGiB: 4 },
      models: running === undefined && activation === undefined ? [] : [model],
    };
  }

  /** Each device acts on its desired document and reports; then each measures `requests` requests. */
  async live(requests = 40): Promise<void> {
    for (const device of this.devices) {
      if (device.silent) continue;
      const desired = await this.fleet.desired(device.id);
      if (desired !== undefined && desired.version > device.actedOn) {
        this.#act(device, desired);
        await this.fleet.reported(device.id, this.report(device));
      }
      if (device.running !== undefined && requests > 0) await this.#measure(device, requests);
    }
  }

  /** `seconds` of life: devices act and measure, the hub judges. */
  async run(seconds: number, requests = 40): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      await this.live(requests);
      this.clock.advance(1000);
      await this.rollouts.tick();
    }
  }

  #act(device: SimulatedDevice, desired: DesiredState): void {
    device.actedOn = desired.version;
    const wanted = desired.models.find((m) => m.name === MODEL);
    if (wanted === undefined) {
      device.running = undefined;
      device.activation = undefined;
      return;
    }
    if (wanted.versionDigest === device.running?.digest) return;
    const behaviour = this.behaviour.get(wanted.versionDigest) ?? GOOD;
    if (behaviour.activation === 'rolls-back') {
      device.activation = {
        versionDigest: wanted.versionDigest,
        variantDigest: wanted.variantDigest,
        step: 'self-test',
        state: 'rolled-back',
        attempt: 1,
        error: 'goldens 0.20 under 0.90',
      };
      return;
    }
    device.activation = undefined;
    device.running = { version: wanted.version, digest: wanted.versionDigest, variantDigest: wanted.variantDigest };
  }

  async #measure(device: SimulatedDevice, requests: number): Promise<void> {
    const running = device.running as NonNullable<SimulatedDevice['running']>;
    const behaviour = this.behaviour.get(running.digest) ?? GOOD;
    const errors = Math.round(requests * behaviour.errorShare);
    const answered = requests - errors;
    const buckets = new Array<number>(LATENCY_BOUNDS_MS.length + 1).fill(0);
    buckets[behaviour.latencyBucket] = answered;
    device.telemetrySeq += 1;
    await this.fleet.telemetry(device.id, {
      deviceId: device.id,
      seq: device.telemetrySeq,
      fromMs: 0,
      toMs: 0,
      evidence: [
        {
          model: MODEL,
          versionDigest: running.digest,
          variantDigest: running.variantDigest,
          requests: answered,
          errors,
          cacheHits: 0,
          hubAnswers: 0,
          latencyBuckets: buckets,
          confidenceCount: answered,
          confidenceSum: answered * behaviour.confidence,
          confidenceSumOfSquares: answered * (behaviour.confidence ** 2 + 0.01),
        },
      ],
      events: [],
    });
  }

  runningVersions(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const device of this.devices) {
      const key = device.running === undefined ? 'none' : `v${device.running.version}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
    return counts;
  }

  async close(): Promise<void> {
    await this.rollouts.stop();
    await this.db.destroy();
  }
}
