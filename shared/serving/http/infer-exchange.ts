// One inference, from the bytes of its request to the parts of its answer: what HTTP bodies and stream frames have in
// common. It parses, checks against the model, asks the service, and writes the outputs in the form that was asked for.
import type { IncomingHttpHeaders } from 'node:http';
import type { Clock } from '../../system/clock.js';
import type { RequestTrace, Tracer } from '../../tracing/span.js';
import { classifiedAnswer } from '../classified-answer.js';
import { ifHere } from '../if-here.js';
import type { InferenceService, Provenance } from '../inference-service.js';
import { inferTraced, inTrace, requestTrace, type Entrance } from '../request-trace.js';
import type { RegionUse } from '../shared-memory.js';
import { buildAnswer, type AnswerBody } from './answer-body.js';
import { checkRequest, rawInput } from './check-request.js';
import { generateAnswer } from './generate-answer.js';
import { makeInferRequest } from './make-request.js';
import type { OipLimits } from './oip-limits.js';
import { invalid } from './invalid.js';
import { checkVersion } from './model-version.js';
import { parseGenerate } from './parse-generate.js';
import { parseInfer, type ParsedInfer } from './parse-infer.js';
import { readRequestOptions } from './request-options.js';

interface InferExchangeModules {
  readonly service: InferenceService;
  readonly limits: Pick<OipLimits, 'jsonBytesMax' | 'timeoutMsMax'>;
  /** For a request that states no timeout. */
  readonly defaultTimeoutMs: number;
  readonly clock: Clock;
  /** Absent = nothing is told to tracing. */
  readonly tracer?: Tracer | undefined;
}

export interface ReceivedInfer {
  readonly body: Buffer;
  /** Length of the JSON part; undefined = the body is all JSON, 0 = it is the one input's data. */
  readonly jsonBytes: number | undefined;
  readonly entrance: Entrance;
  /** Where `tidegate-...` headers and those of a trace are looked for. */
  readonly headers: IncomingHttpHeaders;
  /** Undefined = the body says it (`model_name`). */
  readonly model: string | undefined;
  readonly version: string | undefined;
  /** Who calls, where token or certificate say it. */
  readonly identity: string | undefined;
  /** Monotonic. */
  readonly arrivedMs: number;
  readonly memory: Pick<RegionUse, 'read' | 'place'>;
  /** Whose the ids of sequences are; absent = everybody's. */
  readonly scope?: string;
}

interface SentInfer {
  readonly body: AnswerBody;
  readonly provenance: Provenance;
  /** Memory that may be used again once the answer is sent. */
  readonly spent?: readonly Uint8Array[] | undefined;
}

export class InferExchange {
  readonly #modules: InferExchangeModules;

  constructor(modules: InferExchangeModules) {
    this.#modules = modules;
  }

  /** Rejects with ServingError. */
  answer(received: ReceivedInfer, signal: AbortSignal): Promise<SentInfer> {
    const trace = this.#trace(received);
    return inTrace(trace, received.entrance, () => this.#answer(received, trace, signal));
  }

  /** The same by Triton's generate extension. The model is the path's. Rejects with ServingError. */
  generate(received: ReceivedInfer & { readonly model: string }, signal: AbortSignal): Promise<SentInfer> {
    const trace = this.#trace(received);
    return inTrace(trace, received.entrance, () => this.#generate(received, trace, signal));
  }

  #trace({ headers, entrance, arrivedMs }: ReceivedInfer): RequestTrace | undefined {
    return requestTrace(this.#modules.tracer, headers, entrance, arrivedMs);
  }

  async #answer(received: ReceivedInfer, trace: RequestTrace | undefined, signal: AbortSignal): Promise<SentInfer> {
    const { service, limits, defaultTimeoutMs } = this.#modules;
    const { parsed, model, version } = this.#read(received);
    const { id, inputs, options } = parsed;
    const outputs = parsed.outputs.map((output) => output.name);
    const { arrivedMs, identity, scope } = received;
    const request = makeInferRequest(
      { model, version, id, inputs, outputs, options, identity, arrivedMs, scope, trace },
      { defaultTimeoutMs, timeoutMsMax: limits.timeoutMsMax },
    );
    const answer = await inferTraced(service, request, signal);
    const classified = classifiedAnswer(service, answer, parsed.outputs, version);
    const body = buildAnswer(classified, id, parsed.outputs, options.binaryDataOutput);
    const spent = answer.unshared === true ? [received.body, ...answer.outputs.map(({ data }) => data)] : undefined;
    return { body, provenance: answer.provenance, spent };
  }

  async #generate(
    { body, jsonBytes, headers, model, version, identity, arrivedMs }: ReceivedInfer & { readonly model: string },
    trace: RequestTrace | undefined,
    signal: AbortSignal,
  ): Promise<SentInfer> {
    const { service, limits, defaultTimeoutMs } = this.#modules;
    if (jsonBytes !== undefined) throw invalid('Inference-Header-Content-Length', 'a body of generate is all JSON');
    const metadata =
      service.metadataElsewhere === undefined
        ? service.metadata(model, version)
        : (ifHere(() => service.metadata(model, version)) ?? (await service.metadataElsewhere(model, version, signal)));
    const { id, inputs, options } = parseGenerate(body, headers, metadata);
    const request = makeInferRequest(
      { model, version, id, inputs, outputs: [], options, identity, arrivedMs, trace },
      { defaultTimeoutMs, timeoutMsMax: limits.timeoutMsMax },
    );
    const answer = await inferTraced(service, request, signal);
    return { body: { json: generateAnswer(answer, id), binary: undefined }, provenance: answer.provenance };
  }

  #read(received: ReceivedInfer): { parsed: ParsedInfer; model: string; version: string | undefined } {
    const { service, limits } = this.#modules;
    const { body, jsonBytes, headers, memory } = received;
    if (jsonBytes === 0) {
      const { version } = received;
      const model = named(received.model);
      const input = rawInput(service.metadata(model, version), body);
      const options = readRequestOptions(undefined, headers);
      const parsed = { id: undefined, modelName: undefined, modelVersion: undefined, outputs: [], options };
      return { parsed: { ...parsed, inputs: [input] }, model, version };
    }
    const parsed = parseInfer(body, jsonBytes, headers, limits.jsonBytesMax, memory);
    const model = named(received.model ?? parsed.modelName);
    const version = versionOf(received.model === undefined ? parsed.modelVersion : received.version);
    const metadata = ifHere(() => service.metadata(model, version));
    if (metadata !== undefined) checkRequest(metadata, parsed.inputs, parsed.outputs);
    return { parsed, model, version };
  }
}

function named(model: string | undefined): string {
  if (model !== undefined && model !== '') return model;
  throw invalid('model_name', 'neither the request nor its connection names a model');
}

/** Nothing is the active version. */
function versionOf(version: string | undefined): string | undefined {
  return version === undefined || version === '' ? undefined : checkVersion(version, 'model_version');
}
