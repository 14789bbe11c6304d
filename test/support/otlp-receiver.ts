// A real OTLP receiver over node:http: keeps the spans that it was sent, and answers what a test tells it to.
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly events: readonly { readonly name: string }[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status?: { readonly code: number; readonly message: string };
  /** `service.name` of who sent it. */
  readonly service: string;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

interface Received {
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Pair = { readonly key: string; readonly value: Readonly<Record<string, string | number | boolean>> };
type JsonSpan = Omit<ReceivedSpan, 'service' | 'attributes'> & { readonly attributes: readonly Pair[] };
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Pair[] };
    readonly scopeSpans: readonly { readonly spans: readonly JsonSpan[] }[];
  }[];
}

export class OtlpReceiver {
  readonly requests: Received[] = [];
  readonly spans: ReceivedSpan[] = [];
  /** What the next requests are answered; afterwards 200. */
  readonly answers: { readonly status: number; readonly body: string }[] = [];
  #onRequest: (() => void)[] = [];
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      const { status, body: answer } = this.answers.shift() ?? { status: 200, body: '{"partialSuccess":{}}' };
      this.requests.push({ url: request.url, headers: request.headers, body });
      if (status === 200) this.spans.push(...spansOf(JSON.parse(body) as Export));
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(answer, () => {
        for (const heard of this.#onRequest.splice(0)) heard();
      });
    });
  });

  static async start(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    await new Promise<void>((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resolves when the next request has been answered. */
  nextRequest(): Promise<void> {
    return new Promise((resolve) => this.#onRequest.push(resolve));
  }

  /** Resolves when `found` is true of what has come. */
  async until(found: (spans: readonly ReceivedSpan[]) => boolean): Promise<void> {
    while (!found(this.spans)) await this.nextRequest();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function spansOf({ resourceSpans }: Export): ReceivedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(record(resource.attributes)['service.name']);
    return scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({ ...span, service, attributes: record(span.attributes) })),
    );
  });
}

function record(pairs: readonly Pair[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    pairs.map(({ key, value }) => {
      const [kind, given] = Object.entries(value)[0] ?? [];
      return [key, kind === 'intValue' ? Number(given) : (given ?? '')];
    }),
  );
}
