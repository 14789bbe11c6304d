// A request is refused while its body is still to come, where its path and headers are enough to be sure of it: a caller over its
// rate or its share, a full queue, a deadline that the queue makes it miss. Nothing of the body is kept then, and who wants to go
// elsewhere may at once. What headers say is taken at its word: parameters in the body, which else win over them, are not known.
import type { IncomingHttpHeaders } from 'node:http';
import type { InferenceService, RequestHead } from '../inference-service.js';
import { ServingError } from '../serving-error.js';
import { makeInferRequest } from './make-request.js';
import type { OipLimits } from './oip-limits.js';
import { readJsonBytes } from './parse-infer.js';
import { readRequestOptions } from './request-options.js';

interface Head {
  readonly headers: IncomingHttpHeaders;
  readonly model: string;
  readonly version: string | undefined;
  readonly identity: string | undefined;
  /** Monotonic. */
  readonly arrivedMs: number;
}

interface RefuseUnreadModules {
  readonly service: Pick<InferenceService, 'refuseUnread'>;
  readonly limits: Pick<OipLimits, 'timeoutMsMax'>;
  readonly defaultTimeoutMs: number;
}

/** Undefined = read it. */
export function refuseUnread(head: Head, modules: RefuseUnreadModules): ServingError | undefined {
  const { headers, ...parts } = head;
  const { service, limits, defaultTimeoutMs } = modules;
  const request = (): RequestHead => {
    const options = readRequestOptions(undefined, headers);
    const asked = makeInferRequest(
      { id: undefined, inputs: [], outputs: [], options, ...parts },
      { defaultTimeoutMs, timeoutMsMax: limits.timeoutMsMax },
    );
    return { inputBytes: inputBytes(headers), ...asked };
  };
  try {
    return service.refuseUnread?.(head.model, head.version, deadlineMs(head, modules), request);
  } catch (error) {
    if (error instanceof ServingError) return undefined; // a header is wrong, and a parameter in the body may say it right
    throw error;
  }
}

/** As makeInferRequest has it, without reading the other options; what is no number is told later. */
function deadlineMs({ headers, arrivedMs }: Head, { limits, defaultTimeoutMs }: RefuseUnreadModules): number {
  const statedUs = Number(headers['tidegate-timeout']);
  return arrivedMs + (statedUs > 0 ? Math.min(statedUs / 1000, limits.timeoutMsMax) : defaultTimeoutMs);
}

/** What is behind the JSON of a body that isn't compressed: undefined where that doesn't tell the inputs' size. */
function inputBytes(headers: IncomingHttpHeaders): number | undefined {
  const { 'content-length': length, 'content-encoding': coding = 'identity' } = headers;
  const jsonBytes = readJsonBytes(headers);
  if (length === undefined || coding !== 'identity' || jsonBytes === undefined) return undefined;
  return Number(length) - jsonBytes;
}
