// grpc.health.v1.Health (gRPC health checking protocol): the server as "" or by its service's name, a model by its own. A
// model is told only to who may call, the server to any probe. Watch looks at what it watches a few times a second, since no
// service announces a change, and sends a status only when it is another; a drain is told and ends it.
import { Metadata, status, type sendUnaryData, type ServerUnaryCall, type ServerWritableStream } from '@grpc/grpc-js';
import type { Clock } from '../../system/clock.js';
import type { InferenceService } from '../inference-service.js';
import { ServingError } from '../serving-error.js';
import { askAccess, callerOf, type Access, type HeldMessage } from './guarded-call.js';
import { INFERENCE_SERVICE_NAME } from './methods.js';
import { ProtoError, ProtoReader } from './proto-reader.js';
import { ProtoWriter } from './proto-writer.js';
import { refusalOf } from './refusal.js';

const LOOK_AGAIN_MS = 250;
/** Calls of Watch at one time; each costs a look. */
const WATCHERS_MAX = 1000;

/** HealthCheckResponse.ServingStatus. */
const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;

interface HealthModules {
  readonly service: InferenceService;
  readonly access: Access;
  readonly draining: () => boolean;
  readonly clock: Clock;
}

export class Health {
  readonly #modules: HealthModules;
  readonly #watchers = new Set<() => void>();

  constructor(modules: HealthModules) {
    this.#modules = modules;
  }

  readonly check = (call: ServerUnaryCall<HeldMessage, Buffer>, respond: sendUnaryData<Buffer>): void => {
    void this.#ask(call).then(({ name, refusal }) => {
      if (refusal !== undefined) {
        respond(refusal);
        return;
      }
      const found = this.#statusOf(name);
      if (found !== SERVICE_UNKNOWN) {
        respond(null, message(found));
        return;
      }
      const error = new ServingError('not-found', `no model ${JSON.stringify(name)}`, { field: 'service' });
      respond(refusalOf(error));
    });
  };

  readonly watch = (call: ServerWritableStream<HeldMessage, Buffer>): void => {
    void this.#ask(call).then(({ name, refusal }) => {
      if (refusal !== undefined) call.emit('error', refusal);
      else if (this.#watchers.size >= WATCHERS_MAX) {
        call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: `${WATCHERS_MAX} calls watch already` });
      } else if (!call.cancelled) this.#follow(call, name);
    });
  };

  /** Every watcher is told that the server ends, and is ended. */
  drain(): void {
    for (const look of this.#watchers) look();
  }

  #follow(call: ServerWritableStream<HeldMessage, Buffer>, name: string): void {
    const { clock, draining } = this.#modules;
    let told: number | undefined;
    let cancel = (): void => undefined;
    const look = (): void => {
      cancel();
      const now = this.#statusOf(name);
      if (now !== told) call.write(message(now));
      told = now;
      if (!draining()) {
        cancel = clock.after(LOOK_AGAIN_MS, look);
        return;
      }
      this.#watchers.delete(look);
      call.emit('error', { code: status.UNAVAILABLE, details: 'the server is shutting down' });
    };
    this.#watchers.add(look);
    call.on('cancelled', () => {
      cancel();
      this.#watchers.delete(look);
    });
    look();
  }

  async #ask(call: {
    readonly request: HeldMessage;
    readonly metadata: Metadata;
  }): Promise<{ readonly name: string; readonly refusal: { code: status; details: string } | undefined }> {
    const name = serviceName(call.request.bytes);
    if (name === undefined) {
      return { name: '', refusal: { code: status.INVALID_ARGUMENT, details: 'message: not a HealthCheckRequest' } };
    }
    if (isServer(name)) return { name, refusal: undefined };
    const { refusal } = await askAccess(this.#modules.access, callerOf(call.metadata, 'other'));
    return { name, refusal };
  }

  #statusOf(name: string): number {
    const { service, draining } = this.#modules;
    if (isServer(name)) return !draining() && service.ready() ? SERVING : NOT_SERVING;
    try {
      service.metadata(name, undefined);
      return !draining() && service.modelReady(name, undefined) ? SERVING : NOT_SERVING;
    } catch (error) {
      if (error instanceof ServingError && error.code === 'not-found') return SERVICE_UNKNOWN;
      return NOT_SERVING;
    }
  }
}

function isServer(name: string): boolean {
  return name === '' || name === INFERENCE_SERVICE_NAME;
}

function serviceName(bytes: Buffer): string | undefined {
  try {
    let name = '';
    const reader = new ProtoReader(bytes);
    for (let field = reader.next(); field !== 0; field = reader.next()) {
      if (field === 1) name = reader.string();
      else reader.skip();
    }
    return name;
  } catch (error) {
    if (error instanceof ProtoError) return undefined;
    throw error;
  }
}

function message(servingStatus: number): Buffer {
  const writer = new ProtoWriter();
  writer.unsigned(1, servingStatus);
  return writer.finish();
}
