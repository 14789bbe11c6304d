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
  /** Who calls, where the token says it. */
  readonly identity: string | undefined;
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

/** Whose call goes on; the name is undefined where nobody is known. */
interface AccessGrant {
  readonly identity: string | undefined;
}

/** Undefined = the call may go on, as nobody's. */
export type Access = (caller: Caller) => AccessAnswer | Promise<AccessAnswer>;
type AccessAnswer = AccessRefusal | AccessGrant | undefined;

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

interface AskedAccess {
  /** The status that the caller is refused with; undefined = the call may go on. */
  readonly refusal: { readonly code: status; readonly details: string } | undefined;
  readonly identity: string | undefined;
}

/** Never rejects. */
export async function askAccess(access: Access, caller: Caller): Promise<AskedAccess> {
  const refused = (code: status, details: string): AskedAccess => ({ refusal: { code, details }, identity: undefined });
  try {
    const answer = await access(caller);
    if (answer === undefined || 'identity' in answer) return { refusal: undefined, identity: answer?.identity };
    return refused(answer.status === 401 ? status.UNAUTHENTICATED : status.PERMISSION_DENIED, answer.error);
  } catch {
    return refused(status.UNAVAILABLE, 'who calls could not be found out');
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
  #identity: string | undefined;

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
    const { refusal, identity } = await askAccess(this.#options.access, callerOf(metadata, kind));
    this.#identity = identity;
    if (refusal === undefined) next(metadata);
    else this.sendStatus(refusal);
  }

  #hold(bytes: Buffer): HeldMessage {
    const share = this.#options.budget.open();
    const identity = this.#identity;
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
      return { bytes, refusal: undefined, identity, release };
    } catch (error) {
      if (!(error instanceof ServingError)) throw error;
      return { bytes: Buffer.alloc(0), refusal: error, identity, release };
    }
  }
}
