// The Open Inference Protocol v2 over gRPC (open_inference_grpc.proto), for any InferenceService: the same checks, limits and
// refusals as over HTTP, since both are the same code below the protocol. Invariants: every call gets exactly one status, a
// client that goes away or whose deadline passes aborts its work, and a stream's answers come in the order of its requests.
import { setMaxListeners } from 'node:events';
import {
  Metadata,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Clock } from '../../system/clock.js';
import type { Log } from '../../system/log.js';
import type { TensorSpec } from '../../tensor/tensor.js';
import type { RequestTrace, Tracer } from '../../tracing/span.js';
import { pushProvenanceHeaders } from '../http/answer-body.js';
import { classifiedAnswer } from '../classified-answer.js';
import type { BodyBudget } from '../http/body-budget.js';
import { checkRequest } from '../http/check-request.js';
import { invalid } from '../http/invalid.js';
import { isLoopbackAddress, isProxied, memoryAccess, memoryRefusal } from '../http/memory-access.js';
import { makeInferRequest } from '../http/make-request.js';
import { readRequestOptions } from '../http/request-options.js';
import { ifHere } from '../if-here.js';
import type { InferenceService, InferRequest, Provenance } from '../inference-service.js';
import type { LogControl } from '../log-settings.js';
import { offeredExtensions } from '../offered.js';
import { inferTraced, inTrace, requestTrace, type Entrance } from '../request-trace.js';
import type { SharedMemoryRegions } from '../shared-memory.js';
import { asServingError, ServingError, shuttingDown } from '../serving-error.js';
import { changeModel, modelAsked, writeConfig, writeIndex, writeStatistics } from './extension-messages.js';
import type { HeldMessage } from './guarded-call.js';
import { idOf, readInferRequest, writeInferResponse, writeStreamError, type InferMessage } from './infer-message.js';
import { registerRegion, unregisterRegions, writeRegions } from './memory-messages.js';
import { INFERENCE_SERVICE_NAME, NOT_OFFERED } from './methods.js';
import { ProtoError } from './proto-reader.js';
import { ProtoWriter } from './proto-writer.js';
import { writeLogSettings, writeTraceSettings } from './settings-messages.js';
import { GRPC_STATUS, refusalOf, refusalText } from './refusal.js';

interface GrpcFrontOptions {
  readonly service: InferenceService;
  /** Bytes in flight, what is copied from shared memory included. */
  readonly budget: BodyBudget;
  /** The largest input that may lie in shared memory. */
  readonly bodyBytesMax: number;
  /** For the logging extension; absent where callers may not change the log. */
  readonly logControl?: LogControl | undefined;
  /** Absent where memory can't be shared with callers. */
  readonly sharedMemory?: SharedMemoryRegions | undefined;
  readonly defaultTimeoutMs: number;
  readonly timeoutMsMax: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Absent = nothing is told to tracing. */
  readonly tracer?: Tracer | undefined;
  readonly serverName: string;
  readonly serverVersion: string;
}

/** Asks for a last, empty answer in a stream; ours are always the last of their request, and say so. */
const FINAL_RESPONSE = 'triton_enable_empty_final_response';

const overGrpc = (method: string): Entrance => ({
  name: `${INFERENCE_SERVICE_NAME}/${method}`,
  attributes: { 'rpc.system': 'grpc', 'rpc.service': INFERENCE_SERVICE_NAME, 'rpc.method': method },
  ended: (code) => ({ 'rpc.grpc.status_code': code === 'ok' ? 0 : GRPC_STATUS[code] }),
});
const MODEL_INFER = overGrpc('ModelInfer');
const MODEL_STREAM_INFER = overGrpc('ModelStreamInfer');

type Unary = ServerUnaryCall<HeldMessage, Buffer>;
type Stream = ServerDuplexStream<HeldMessage, Buffer>;
/** What both have of a call. */
type Call = Pick<Unary, 'metadata' | 'getDeadline' | 'getPeer'>;

interface Telling {
  readonly signal: AbortSignal;
  readonly call: Call;
}

/** How a request came, and in which trace. */
interface Way {
  readonly call: Call;
  readonly headers: Record<string, string>;
  readonly trace: RequestTrace | undefined;
  readonly inStream: boolean;
}

interface Answered {
  /** A ModelInferResponse, or a ModelStreamInferResponse around it. */
  readonly response: Buffer;
  readonly provenance: Provenance;
}

export class GrpcFront {
  readonly #options: GrpcFrontOptions;
  readonly #streams = new Set<() => void>();
  #draining = false;
  /** Requests that are being answered. */
  inFlight = 0;

  constructor(options: GrpcFrontOptions) {
    this.#options = options;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** From now on new inference is refused with `not-ready`; streams end when what came is answered. */
  drain(): void {
    this.#draining = true;
    for (const end of this.#streams) end();
  }

  implementation(): UntypedServiceImplementation {
    const { service } = this.#options;
    const notOffered = Object.entries(NOT_OFFERED).map(([name, text]) => [
      name,
      (_call: Unary, respond: sendUnaryData<Buffer>) =>
        respond(refusalOf(new ServingError('unimplemented', `${name}: ${text}`))),
    ]);
    return {
      ServerLive: this.#telling((writer) => writer.bool(1, true)),
      ServerReady: this.#telling((writer) => writer.bool(1, !this.#draining && service.ready())),
      ServerMetadata: this.#telling((writer) => this.#writeServer(writer)),
      ModelReady: this.#telling((writer, message) => writer.bool(1, this.#modelReady(message))),
      ModelMetadata: this.#telling((writer, message) => this.#writeMetadata(writer, message)),
      RepositoryIndex: this.#telling((writer, message) => writeIndex(writer, message, service)),
      ModelConfig: this.#telling((writer, message) => writeConfig(writer, message, service)),
      ModelStatistics: this.#telling((writer, message) => writeStatistics(writer, message, service)),
      RepositoryModelLoad: this.#telling((_writer, message, { signal }) =>
        changeModel('load', message, service, signal),
      ),
      RepositoryModelUnload: this.#telling((_writer, message, { signal }) =>
        changeModel('unload', message, service, signal),
      ),
      SystemSharedMemoryStatus: this.#telling((writer, message, { call }) =>
        writeRegions(writer, message, this.#regions(call)),
      ),
      SystemSharedMemoryRegister: this.#telling((_writer, message, { call }) =>
        registerRegion(message, this.#regions(call)),
      ),
      SystemSharedMemoryUnregister: this.#telling((_writer, message, { call }) =>
        unregisterRegions(message, this.#regions(call)),
      ),
      CudaSharedMemoryUnregister: this.#telling(() => undefined), // clients begin with it, and there is nothing to unregister
      TraceSetting: this.#telling((writer, message) => writeTraceSettings(writer, message, service)),
      LogSettings: this.#telling((writer, message) => writeLogSettings(writer, message, this.#log())),
      ModelInfer: (call: Unary, respond: sendUnaryData<Buffer>) => void this.#infer(call, respond),
      ModelStreamInfer: (call: Stream) => this.#stream(call),
      ...Object.fromEntries(notOffered),
    };
  }

  /** A method that answers what `write` writes. */
  #telling(write: (writer: ProtoWriter, message: Buffer, of: Telling) => void | Promise<void>) {
    return async (call: Unary, respond: sendUnaryData<Buffer>): Promise<void> => {
      const { signal, end } = signalOf(call);
      try {
        if (call.request.refusal !== undefined) throw call.request.refusal;
        const writer = new ProtoWriter();
        await write(writer, call.request.bytes, { signal, call });
        respond(null, writer.finish());
      } catch (error) {
        const wrong = error instanceof ProtoError ? invalid('message', error.message, error) : error;
        respond(refusalOf(this.#servingError(wrong)));
      } finally {
        end();
      }
    };
  }

  /** Throws ServingError where memory can't be shared with this caller. */
  #regions(call: Call): SharedMemoryRegions {
    const { sharedMemory } = this.#options;
    if (sharedMemory !== undefined && isLocal(call, metadataOf(call))) return sharedMemory;
    throw memoryRefusal(sharedMemory !== undefined, 'name');
  }

  #log(): LogControl {
    const { logControl } = this.#options;
    if (logControl !== undefined) return logControl;
    throw new ServingError('unimplemented', 'LogSettings: settings of the log are not offered here');
  }

  #writeServer(writer: ProtoWriter): void {
    const { serverName, serverVersion, service, logControl, sharedMemory } = this.#options;
    writer.string(1, serverName);
    writer.string(2, serverVersion);
    for (const extension of offeredExtensions(service)) writer.givenString(3, extension);
    if (logControl !== undefined) writer.givenString(3, 'logging');
    if (sharedMemory !== undefined) writer.givenString(3, 'system_shared_memory');
  }

  /** An unknown model is not ready, which is what clients ask; it is no error over gRPC (specification, "Model Ready"). */
  #modelReady(message: Buffer): boolean {
    const { service } = this.#options;
    const { model, version } = modelAsked(message);
    if (ifHere(() => service.metadata(model, version)) === undefined) return false;
    return !this.#draining && service.modelReady(model, version);
  }

  #writeMetadata(writer: ProtoWriter, message: Buffer): void {
    const { model, version } = modelAsked(message);
    const { name, versions, platform, inputs, outputs } = this.#options.service.metadata(model, version);
    writer.string(1, name);
    for (const one of versions) writer.givenString(2, one);
    writer.string(3, platform);
    const write = (field: number, specs: readonly TensorSpec[]): void => {
      for (const spec of specs) {
        writer.message(field, () => {
          writer.string(1, spec.name);
          writer.string(2, spec.datatype);
          writer.packed(3, spec.shape);
        });
      }
    };
    write(4, inputs);
    write(5, outputs);
  }

  async #infer(call: Unary, respond: sendUnaryData<Buffer>): Promise<void> {
    const { signal, end } = signalOf(call);
    try {
      const { response, provenance } = await this.#answer(call.request, call, MODEL_INFER, signal);
      respond(null, response, trailersOf(provenance));
    } catch (error) {
      respond(refusalOf(this.#servingError(error)));
    } finally {
      end();
    }
  }

  #stream(call: Stream): void {
    const abort = new AbortController();
    setMaxListeners(0, abort.signal); // all requests of the stream listen: as many as there are is no leak
    let last = Promise.resolve();
    const answerInTurn = (request: HeldMessage): void => {
      const answered = this.#answerInStream(request, call, abort.signal);
      last = last.then(async () => {
        await written(call, await answered, abort.signal);
        request.release();
      });
    };
    /** Once nothing more is taken: what came is answered, then the stream ends. */
    const end = (refusal?: object): void => {
      this.#streams.delete(drain);
      call.off('data', answerInTurn);
      void last.then(() => {
        if (abort.signal.aborted) return;
        if (refusal === undefined) call.end();
        else call.emit('error', refusal);
      });
    };
    const drain = (): void => end(refusalOf(shuttingDown()));
    call.on('cancelled', () => {
      this.#streams.delete(drain);
      abort.abort(gone());
    });
    if (this.#draining) {
      drain();
      return;
    }
    this.#streams.add(drain);
    call.on('end', () => end());
    call.on('data', answerInTurn);
  }

  /** A ModelStreamInferResponse, also for a request that is refused: the stream goes on. */
  async #answerInStream(request: HeldMessage, call: Call, signal: AbortSignal): Promise<Buffer> {
    try {
      return (await this.#answer(request, call, MODEL_STREAM_INFER, signal)).response;
    } catch (error) {
      return writeStreamError(refusalText(this.#servingError(error)), idOf(request.bytes));
    }
  }

  async #answer(request: HeldMessage, call: Call, entrance: Entrance, signal: AbortSignal): Promise<Answered> {
    this.inFlight++;
    const { tracer, clock } = this.#options;
    const headers = metadataOf(call);
    const trace = requestTrace(tracer, headers, entrance, clock.monotonicMs());
    try {
      return await inTrace(trace, entrance, () =>
        this.#answerTraced(request, { call, headers, trace, inStream: entrance === MODEL_STREAM_INFER }, signal),
      );
    } finally {
      this.inFlight--;
    }
  }

  async #answerTraced(request: HeldMessage, way: Way, signal: AbortSignal): Promise<Answered> {
    if (this.#draining) throw shuttingDown();
    if (request.refusal !== undefined) throw request.refusal;
    const { service, budget, bodyBytesMax, sharedMemory } = this.#options;
    const share = budget.open();
    const memory = memoryAccess(sharedMemory, isLocal(way.call, way.headers), { bodyBytesMax, share });
    try {
      const message = readInferRequest(request.bytes, memory);
      const { [FINAL_RESPONSE]: final, ...parameters } = message.parameters;
      const inferRequest = this.#requestOf({ ...message, parameters }, way, request.identity);
      const answer = await inferTraced(service, inferRequest, signal);
      const classified = classifiedAnswer(service, answer, message.outputs, message.version);
      const form = { id: message.id, outputs: message.outputs, final: final === true, inStream: way.inStream };
      return { response: writeInferResponse(classified, form), provenance: answer.provenance };
    } finally {
      memory.release();
      share.release();
    }
  }

  #requestOf(
    { model, version, id, parameters, inputs, outputs }: InferMessage,
    { call, headers, trace }: Way,
    identity: string | undefined,
  ): InferRequest {
    const { service, clock, defaultTimeoutMs, timeoutMsMax } = this.#options;
    const options = readRequestOptions(parameters, headers);
    const metadata = ifHere(() => service.metadata(model, version));
    if (metadata !== undefined) checkRequest(metadata, inputs, outputs);
    const arrivedMs = clock.monotonicMs();
    const grantedMs = Number(call.getDeadline()) - clock.nowMs();
    if (grantedMs <= 0) throw new ServingError('deadline-exceeded', 'the deadline of the call has passed');
    const names = outputs.map(({ name }) => name);
    return makeInferRequest(
      {
        model,
        version,
        id: id === '' ? undefined : id,
        inputs,
        outputs: names,
        options,
        identity,
        arrivedMs,
        grantedMs,
        trace,
      },
      { defaultTimeoutMs, timeoutMsMax },
    );
  }

  #servingError(error: unknown): ServingError {
    return asServingError(error, this.#options.log, 'a gRPC call');
  }
}

/** Aborts when the call is cancelled before `end`: grpc-js says so of each call that is over, also of an answered one. */
function signalOf(call: Unary): { readonly signal: AbortSignal; readonly end: () => void } {
  const abort = new AbortController();
  const onCancelled = (): void => abort.abort(gone());
  call.on('cancelled', onCancelled);
  return { signal: abort.signal, end: () => call.off('cancelled', onCancelled) };
}

/** Values of binary keys are Buffers; none of those is read. */
function metadataOf({ metadata }: Call): Record<string, string> {
  return metadata.getMap() as Record<string, string>;
}

/** `127.0.0.1:PORT`; the last colon is the port's. */
function isLocal(call: Call, headers: Record<string, string>): boolean {
  return !isProxied(headers) && isLoopbackAddress(call.getPeer().replace(/:[0-9]+$/, ''));
}

function gone(): ServingError {
  return new ServingError('cancelled', 'the client went away, or its deadline passed');
}

/** What HTTP says in the headers of an answer. */
function trailersOf(provenance: Provenance): Metadata {
  const pairs: string[] = [];
  pushProvenanceHeaders(pairs, provenance);
  const metadata = new Metadata();
  for (let i = 0; i < pairs.length; i += 2) metadata.set(pairs[i] as string, pairs[i + 1] as string);
  return metadata;
}

/** Settles once the client's window has taken the message, or will never take it. */
function written(call: Stream, message: Buffer, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const settle = (): void => {
      signal.removeEventListener('abort', settle);
      resolve();
    };
    signal.addEventListener('abort', settle, { once: true });
    call.write(message, settle);
  });
}
