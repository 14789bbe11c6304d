// The one table of the agent's settings. A setting is `--kebab-name` as a flag, `TIDEGATE_UPPER_NAME` in the environment and
// `kebab-name` in the `--config` file; flags win over the environment, and that over the file. docs/settings.md is made
// from this table (config/settings-docs.ts). Every value is text until its schema has read it.
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { PROVIDERS } from '@tidegate/shared/runtime/engine.js';

export interface Setting<T> {
  /** Reads the text of a flag, a variable or the file. */
  readonly schema: z.ZodType<T, string>;
  /** Text that stands where nothing is set; undefined = unset. */
  readonly fallback: string | undefined;
  /** What stands behind the flag in `--help`. */
  readonly placeholder: string;
  /** What is allowed, for errors and the docs. */
  readonly allowed: string;
  readonly description: string;
  /** Never shown in logs and status. */
  readonly secret?: true;
}

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};

const bytes = z.string().transform((text, context): number => {
  const match = /^([0-9]+(?:\.[0-9]+)?)\s*([KMG]i?B|B)?$/i.exec(text);
  const size = Number(match?.[1]) * (UNITS[(match?.[2] ?? 'B').toUpperCase()] ?? Number.NaN);
  if (Number.isSafeInteger(Math.round(size))) return Math.round(size);
  context.addIssue({ code: 'custom', message: 'no size' });
  return z.NEVER;
});

const whole = (min: number, max: number): z.ZodType<number, string> =>
  z
    .string()
    .regex(/^[0-9]{1,15}$/)
    .transform(Number)
    .pipe(z.number().min(min).max(max)) as z.ZodType<number, string>;

const text = z.string().min(1) as z.ZodType<string, string>;

const httpUrl = z.string().refine((value) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url?.protocol === 'http:' || url?.protocol === 'https:';
}) as z.ZodType<string, string>;

const choice = <const T extends string>(...values: readonly T[]): z.ZodType<T, string> =>
  z.string().pipe(z.enum(values as unknown as [T, ...T[]])) as unknown as z.ZodType<T, string>;

const providers = z
  .string()
  .transform((value) => value.split(',').map((part) => part.trim()))
  .pipe(z.array(z.enum(PROVIDERS)).min(1));

/** Keeps apart, for the types, settings that have a fallback and those that may be unset. */
function setting<T, F extends string | undefined>(
  value: Setting<T> & { readonly fallback: F },
): Setting<T> & { readonly fallback: F } {
  return value;
}

const MS = 'milliseconds';

export const SETTINGS = {
  dataDir: setting({
    schema: text,
    fallback: join(homedir(), '.tidegate', 'agent'),
    placeholder: 'DIR',
    allowed: 'a folder',
    description: "Where the agent keeps its identity, state and models. `serve` doesn't write there.",
  }),
  host: setting({
    schema: text,
    fallback: '127.0.0.1',
    placeholder: 'HOST',
    allowed: 'a host name or address; one that is not loopback needs --api-token',
    description: 'Address that the HTTP server listens on.',
  }),
  httpPort: setting({
    schema: whole(0, 65_535),
    fallback: '8000',
    placeholder: 'PORT',
    allowed: '0 to 65535; 0 takes a free one',
    description: 'Port of the HTTP server.',
  }),
  unixSocket: setting({
    schema: text,
    fallback: undefined,
    placeholder: 'PATH',
    allowed: 'a path in a folder that exists',
    description: 'Serve the same HTTP on this unix socket too, open to who may open the file (mode 0600).',
  }),
  apiToken: setting({
    schema: z.string().min(16) as z.ZodType<string, string>,
    fallback: undefined,
    placeholder: 'TOKEN',
    allowed: 'at least 16 characters',
    description: 'Bearer token that requests over TCP must carry. Better given in the environment than as a flag.',
    secret: true,
  }),
  defaultTimeout: setting({
    schema: whole(1, 3_600_000),
    fallback: '30000',
    placeholder: 'MS',
    allowed: `1 to 3600000 ${MS}`,
    description: 'Deadline of a request that states none.',
  }),
  drainTimeout: setting({
    schema: whole(0, 3_600_000),
    fallback: '30000',
    placeholder: 'MS',
    allowed: `0 to 3600000 ${MS}`,
    description: 'After SIGTERM, how long accepted requests may take to finish.',
  }),
  maxBodySize: setting({
    schema: bytes,
    fallback: '256MiB',
    placeholder: 'BYTES',
    allowed: 'a size such as 512MiB, 64MB or a number of bytes',
    description: 'Largest request body, also after decompression.',
  }),
  cacheSize: setting({
    schema: bytes,
    fallback: '64MiB',
    placeholder: 'BYTES',
    allowed: 'a size such as 512MiB; 0 turns the cache off',
    description: 'Memory that cached answers may take.',
  }),
  queueDepth: setting({
    schema: whole(1, 10_000),
    fallback: '256',
    placeholder: 'N',
    allowed: '1 to 10000',
    description: 'Requests that may wait for one model; more are refused with 503.',
  }),
  providers: setting({
    schema: providers,
    fallback: 'cpu',
    placeholder: 'LIST',
    allowed: `a comma separated list of ${PROVIDERS.join(', ')}, the preferred first`,
    description: 'Execution providers to try; cpu is always the last rung of the ladder.',
  }),
  threads: setting({
    schema: whole(1, 1024),
    fallback: '1',
    placeholder: 'N',
    allowed: '1 to 1024',
    description:
      'Threads of one run. Several runs go at once, so 1 gives the best throughput; more shorten a single run.',
  }),
  concurrency: setting({
    schema: whole(1, 1024),
    fallback: undefined,
    placeholder: 'N',
    allowed: '1 to 1024',
    description: 'Runs of one model that compute at once. Without it, as many as the cores carry: cores / --threads.',
  }),
  engine: setting({
    schema: choice('capi', 'binding'),
    fallback: undefined,
    placeholder: 'NAME',
    allowed: 'capi or binding',
    description:
      "ONNX Runtime through its C API, or through onnxruntime-node's binding. Without it, the first that loads here.",
  }),
  hub: setting({
    schema: httpUrl,
    fallback: undefined,
    placeholder: 'URL',
    allowed: 'an http:// or https:// address',
    description: 'Hub (or any Open Inference Protocol server) that answers what this device should not or can not.',
  }),
  hubToken: setting({
    schema: text,
    fallback: undefined,
    placeholder: 'TOKEN',
    allowed: 'a token of the hub with the scope infer',
    description: 'Bearer token for --hub. Better given in the environment than as a flag.',
    secret: true,
  }),
  hubProbeInterval: setting({
    schema: whole(10, 3_600_000),
    fallback: '5000',
    placeholder: 'MS',
    allowed: `10 to 3600000 ${MS}`,
    description: 'While the hub does not answer, one request in so long tries it again.',
  }),
  logLevel: setting({
    schema: choice('debug', 'info', 'warn', 'error', 'silent'),
    fallback: 'info',
    placeholder: 'LEVEL',
    allowed: 'debug, info, warn, error or silent',
    description: 'Least level of log lines on stderr.',
  }),
  logFormat: setting({
    schema: choice('pretty', 'json', 'auto'),
    fallback: 'auto',
    placeholder: 'FORMAT',
    allowed: 'pretty, json or auto (pretty on a terminal)',
    description: 'Form of log lines on stderr.',
  }),
} satisfies Readonly<Record<string, Setting<unknown>>>;

export type SettingName = keyof typeof SETTINGS;
export type SettingValue<N extends SettingName> =
  (typeof SETTINGS)[N] extends Setting<infer T>
    ? (typeof SETTINGS)[N]['fallback'] extends string
      ? T
      : T | undefined
    : never;
export type Settings = { readonly [N in SettingName]: SettingValue<N> };

/** `httpPort` -> `http-port`: the flag without its dashes, and the key in the file. */
export function flagName(name: SettingName): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `httpPort` -> `TIDEGATE_HTTP_PORT`. */
export function variableName(name: SettingName): string {
  return `TIDEGATE_${flagName(name).replaceAll('-', '_').toUpperCase()}`;
}

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[];
