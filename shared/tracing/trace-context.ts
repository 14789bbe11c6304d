// W3C Trace Context (https://www.w3.org/TR/trace-context/): where a request belongs in a trace, as it travels between programs in
// `traceparent` and `tracestate`. What a caller sends is either well formed or taken for absent, as the recommendation has it:
// a wrong header is never a reason to refuse a request.

export interface TraceContext {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string;
  /** 16 of them: the span that this context speaks for. */
  readonly spanId: string;
  /** Is this trace recorded? Who began it decides. */
  readonly sampled: boolean;
  /** What other vendors want passed on, as it came; undefined = nothing. */
  readonly state: string | undefined;
}

/** Versions after 00 may add fields behind the flags; ff is forbidden. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** The recommendation asks for at least this much. */
const LIMIT_STATE_LENGTH = 512;
const STATE = /^[\x20-\x7e\t]+$/;

/** Undefined where there is none, or none that is well formed. */
export function readTraceContext(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
): TraceContext | undefined {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== 'string') return undefined;
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(traceparent.trim()) ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (version === '00' && more !== undefined) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1, state: stateOf(tracestate) };
}

/** The headers that pass a context on. */
export function traceHeaders({ traceId, spanId, sampled, state }: TraceContext): Readonly<Record<string, string>> {
  const traceparent = `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
  return state === undefined ? { traceparent } : { traceparent, tracestate: state };
}

function stateOf(value: string | readonly string[] | undefined): string | undefined {
  const text = typeof value === 'string' ? value : value?.join(',');
  return text !== undefined && text.length <= LIMIT_STATE_LENGTH && STATE.test(text) ? text : undefined;
}
