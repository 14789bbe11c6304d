// What stands before every gRPC call: who may call is decided before a message is read, each message that has come counts
// against the budget of bytes in flight until its work is done, and of a stream no more messages are read than are being
// answered (grpc-js itself would read 16 ahead, of any size each). Everything is given back when the call ends, however it ends.
import {
  Metadata,
  ServerInterceptingCall,
  status,
  type ServerInterceptingCallInterface,
  type ServerListener,
  type ServerMethodDefinition,
} from '@grpc/grpc-js';
import type { BodyBudget } from '../http/body-budget.js';
import { ServingError } from '../serving-error.js';

/** What a handler gets for a message. */
export interface HeldMessage {
  readonly bytes: Buffer;
  /** The budget had no room for it: it must be refused so. */
  readonly refusal: ServingError | undefined;
  /** Its work is done; another may be read. */
  release(): void;
}

export interface Caller {
  /** Calls that only tell whether the server lives or is ready. */
  readonly kind: 'health' | 'other';
  /** The metadata `authorization`. */
  readonly authorization: string | undefined;
}

interface AccessRefusal {
  /** As over HTTP: 401 says that no valid token was given. */
  readonly status: 401 | 403;
  readonly error: string;
}

/** Undefined = the call may go on. */
export type Access = (caller: Caller) => AccessRefusal | undefined | Promise<AccessRefusal | undefined>;

interface GuardOptions {
  readonly access: Access;
  readonly budget: BodyBudget;
  readonly streamMessagesMax: number;
  /** Paths of the calls of kind `health`. */
  readonly healthPaths: ReadonlySet<string>;
}

export function callerOf(metadata: Metadata, kind: Caller['kind']): Caller {
  const [authorization] = metadata.get('authorization');
  return { kind, authorization: authorization === undefined ? undefined : String(authorization) };
}

/** The status that the caller is refused with; undefined = the call may go on. Never rejects. */
export async function refusedAccess(
  access: Access,
  caller: Caller,
): Promise<{ code: status; details: string } | undefined> {
  try {
    const refusal = await access(caller);
    if (refusal === undefined) return undefined;
    return { code: refusal.status === 401 ? status.UNAUTHENTICATED : status.PERMISSION_DENIED, details: refusal.error };
  } catch {
    return { code: status.UNAVAILABLE, details: 'who calls could not be found out' };
  }
}

/** An interceptor for grpc-js. */
export function guardCalls(options: GuardOptions) {
  return (method: ServerMethodDefinition<unknown, unknown>, call: ServerInterceptingCallInterface): GuardedCall =>
    new GuardedCall(method, call, options);
}

class GuardedCall extends ServerInterceptingCall {
  readonly #held = new Set<() => void>();
  readonly #heldMax: number;
  readonly #options: GuardOptions;
  #readWanted = false;

  constructor(
    method: ServerMethodDefinition<unknown, unknown>,
    call: ServerInterceptingCallInterface,
    options: GuardOptions,
  ) {
    super(call, { start: (next) => next(this.#listener(method.path)) });
    this.#options = options;
    this.#heldMax = method.requestStream ? options.streamMessagesMax : Number.POSITIVE_INFINITY;
  }

  override startRead(): void {
    if (this.#held.size < this.#heldMax) super.startRead();
    else this.#readWanted = true;
  }

  #listener(path: string): ServerListener {
    const kind = this.#options.healthPaths.has(path) ? 'health' : 'other';
    return {
      onReceiveMetadata: (metadata, next) => void this.#admit(metadata, kind, next),
      onReceiveMessage: (bytes: Buffer, next) => next(this.#hold(bytes)),
      onCancel: () => {
        this.#readWanted = false;
        for (const release of this.#held) release();
      },
    };
  }

  async #admit(metadata: Metadata, kind: Caller['kind'], next: (metadata: Metadata) => void): Promise<void> {
    const refusal = await refusedAccess(this.#options.access, callerOf(metadata, kind));
    if (refusal === undefined) next(metadata);
    else this.sendStatus(refusal);
  }

  #hold(bytes: Buffer): HeldMessage {
    const share = this.#options.budget.open();
    const release = (): void => {
      if (!this.#held.delete(release)) return;
      share.release();
      if (!this.#readWanted) return;
      this.#readWanted = false;
      super.startRead();
    };
    this.#held.add(release);
    try {
      share.grow(bytes.byteLength);
      return { bytes, refusal: undefined, release };
    } catch (error) {
      if (!(error instanceof ServingError)) throw error;
      return { bytes: Buffer.alloc(0), refusal: error, release };
    }
  }
}
