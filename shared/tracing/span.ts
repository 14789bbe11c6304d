// Spans of a trace: what was done for a request, from when to when, under what. Names and attributes follow OpenTelemetry's
// semantic conventions where they have a word, else begin with `tidegate.`; never an input or an output. A span is told to the
// exporter once, when it ends; what is done to it afterwards changes nothing. Whoever holds no span pays one comparison.
//
// Times are monotonic; a trace's own spans share one reading of the wall clock, so that they lie rightly to each other
// whatever the device's clock does meanwhile.
import type { Clock } from '../system/clock.js';
import type { Random } from '../system/random.js';
import type { TraceContext } from './trace-context.js';

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;
export type SpanKind = 'internal' | 'server' | 'client';

export interface FinishedSpan {
  readonly context: TraceContext;
  /** Undefined for the root of a trace. */
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: SpanKind;
  /** Milliseconds since 1970, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  readonly events: readonly { readonly atMs: number; readonly name: string }[];
  /** Spans of other traces that it has to do with. */
  readonly links: readonly TraceContext[];
  /** What went wrong on this side; undefined = nothing did. */
  readonly error: string | undefined;
}

interface SpanOptions {
  readonly kind?: SpanKind;
  /** Monotonic; absent = now. */
  readonly startMs?: number;
  readonly attributes?: Attributes;
  readonly links?: readonly TraceContext[];
}

interface SpanEnd {
  /** Monotonic; absent = now. */
  readonly endMs?: number;
  readonly attributes?: Attributes;
  readonly error?: string | undefined;
}

interface TracerModules {
  readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs'>;
  readonly random: Random;
  /** Takes each span that has ended; must not throw. */
  readonly take: (span: FinishedSpan) => void;
}

/** Where the work of a request belongs. */
export interface RequestTrace {
  /** What is passed on to whom this server asks. */
  readonly context: TraceContext;
  /** Undefined where nothing is recorded. */
  readonly span: Span | undefined;
}

/** Of one span. Further events are left out. */
export const LIMIT_EVENTS = 64;
/** Of one span, as OpenTelemetry's own. Further links are left out. */
export const LIMIT_LINKS = 128;

export class Tracer {
  readonly #ratio: number;
  readonly #modules: TracerModules;

  /** `ratio`: the share of traces that begin here and are recorded, 0 to 1; where a caller brings a trace, the caller has decided. */
  constructor(ratio: number, modules: TracerModules) {
    this.#ratio = ratio;
    this.#modules = modules;
  }

  /** The first span of this program in a trace: a caller's where `parent` is given, else a new one. */
  begin(parent: TraceContext | undefined, name: string, options: SpanOptions): RequestTrace {
    const { clock, random } = this.#modules;
    const context: TraceContext = {
      traceId: parent?.traceId ?? hexId(random, 4),
      spanId: hexId(random, 2),
      sampled: parent?.sampled ?? random.next() < this.#ratio,
      state: parent?.state,
    };
    if (!context.sampled) return { context, span: undefined };
    const wallMs = clock.nowMs() - clock.monotonicMs();
    return { context, span: new Span(context, parent?.spanId, name, options, { ...this.#modules, wallMs }) };
  }
}

export class Span {
  readonly context: TraceContext;
  readonly #parentSpanId: string | undefined;
  readonly #name: string;
  readonly #kind: SpanKind;
  readonly #startMs: number;
  readonly #modules: TracerModules & { readonly wallMs: number };
  readonly #events: { atMs: number; name: string }[] = [];
  readonly #links: readonly TraceContext[];
  #attributes: Attributes;
  #ended = false;

  constructor(
    context: TraceContext,
    parentSpanId: string | undefined,
    name: string,
    { kind = 'internal', startMs, attributes = {}, links = [] }: SpanOptions,
    modules: TracerModules & { readonly wallMs: number },
  ) {
    this.context = context;
    this.#parentSpanId = parentSpanId;
    this.#name = name;
    this.#kind = kind;
    this.#startMs = startMs ?? modules.clock.monotonicMs();
    this.#attributes = attributes;
    this.#links = links.slice(0, LIMIT_LINKS);
    this.#modules = modules;
  }

  /** Monotonic, by the tracer's clock. */
  get nowMs(): number {
    return this.#modules.clock.monotonicMs();
  }

  /** Begins no earlier than its parent. */
  child(name: string, { startMs, ...options }: SpanOptions = {}): Span {
    const context = { ...this.context, spanId: hexId(this.#modules.random, 2) };
    const begun = startMs === undefined ? {} : { startMs: Math.max(startMs, this.#startMs) };
    return new Span(context, this.context.spanId, name, { ...options, ...begun }, this.#modules);
  }

  event(name: string): void {
    if (this.#events.length < LIMIT_EVENTS) this.#events.push({ atMs: this.nowMs + this.#modules.wallMs, name });
  }

  set(attributes: Attributes): void {
    this.#attributes = { ...this.#attributes, ...attributes };
  }

  end({ endMs = this.nowMs, attributes = {}, error }: SpanEnd = {}): void {
    if (this.#ended) return;
    this.#ended = true;
    const { wallMs, take } = this.#modules;
    take({
      context: this.context,
      parentSpanId: this.#parentSpanId,
      name: this.#name,
      kind: this.#kind,
      startMs: this.#startMs + wallMs,
      endMs: Math.max(endMs, this.#startMs) + wallMs,
      attributes: { ...this.#attributes, ...attributes },
      events: this.#events,
      links: this.#links,
      error,
    });
  }
}

/** Of 32 random bits a word; never all zero. */
function hexId(random: Random, words: number): string {
  let id = '';
  for (let i = 0; i < words; i++) id += (Math.floor(random.next() * 0xffffffff) + 1).toString(16).padStart(8, '0');
  return id;
}
