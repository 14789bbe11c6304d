// Settings of any of the programs, from one table each: `--kebab-name` as a flag, `TIDEGATE_UPPER_NAME` in the environment,
// `kebab-name` in the `--config` file; flag > environment > file > fallback. Pure. An unknown or wrong setting is an error that names
// the setting with the place it came from, the value and what is allowed, so that a start never goes on with a guess.
import { parse } from 'yaml';
import { z } from 'zod';

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
  /** Never shown in logs and errors. */
  readonly secret?: true;
}

export type SettingsTable = Readonly<Record<string, Setting<unknown>>>;

export type SettingsOf<T extends SettingsTable> = {
  readonly [N in keyof T]: T[N] extends Setting<infer V>
    ? T[N]['fallback'] extends string
      ? V
      : V | undefined
    : never;
};

export class SettingsError extends Error {
  override readonly name = 'SettingsError';
  readonly setting: string;
  constructor(setting: string, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.setting = setting;
  }
}

export interface SettingsSources {
  /** By setting name; only flags that were given. */
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Content of the `--config` file with its path for errors; YAML with the flags' names as keys. */
  readonly file?: { readonly path: string; readonly text: string };
  /** TIDEGATE_ variables that are another program's: not refused as unknown. */
  readonly foreignVariables?: readonly string[];
}

/** `httpPort` -> `http-port`: the flag without its dashes, and the key in the file. */
export function flagName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** `httpPort` -> `TIDEGATE_HTTP_PORT`. */
export function variableName(name: string): string {
  return `TIDEGATE_${flagName(name).replaceAll('-', '_').toUpperCase()}`;
}

/** Keeps apart, for the types, settings that have a fallback and those that may be unset. */
export function setting<T, F extends string | undefined>(
  value: Setting<T> & { readonly fallback: F },
): Setting<T> & { readonly fallback: F } {
  return value;
}

/** Throws SettingsError. */
export function readSettings<T extends SettingsTable>(table: T, sources: SettingsSources): SettingsOf<T> {
  const names = Object.keys(table);
  const fromFile = sources.file === undefined ? {} : readFileValues(table, sources.file);
  refuseUnknownVariables(names, sources);
  const values: Record<string, unknown> = {};
  for (const name of names) {
    const variable = variableName(name);
    const candidates: readonly [string | undefined, string][] = [
      [sources.flags[name], `--${flagName(name)}`],
      [sources.environment[variable], variable],
      [fromFile[name], `${flagName(name)} in ${sources.file?.path ?? 'the file'}`],
      [table[name]?.fallback, `--${flagName(name)}`],
    ];
    const [text, source] = candidates.find(([candidate]) => candidate !== undefined) ?? [undefined, ''];
    values[name] = text === undefined ? undefined : parseSetting(table, name, text, source);
  }
  return values as SettingsOf<T>;
}

function parseSetting(table: SettingsTable, name: string, text: string, source: string): unknown {
  const found = table[name] as Setting<unknown>;
  const parsed = found.schema.safeParse(text);
  if (parsed.success) return parsed.data;
  const shown = found.secret === true ? '(hidden)' : JSON.stringify(text);
  throw new SettingsError(flagName(name), `${source}: ${shown} is not allowed; allowed: ${found.allowed}`, {
    cause: parsed.error,
  });
}

function readFileValues(
  table: SettingsTable,
  file: { readonly path: string; readonly text: string },
): Record<string, string> {
  let document: unknown;
  try {
    document = parse(file.text, { stringKeys: true, maxAliasCount: 0 });
  } catch (cause) {
    const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
    throw new SettingsError('config', `--config ${file.path} is not valid YAML: ${reason}`, { cause });
  }
  if (document === null || document === undefined) return {};
  if (typeof document !== 'object' || Array.isArray(document)) {
    throw new SettingsError('config', `--config ${file.path} must hold lines like "http-port: 9000"`);
  }
  const byFlag = new Map(Object.keys(table).map((name) => [flagName(name), name]));
  const values: Record<string, string> = {};
  for (const [key, value] of Object.entries(document)) {
    const name = byFlag.get(key);
    if (name === undefined) throw unknownSetting(key, `${key} in ${file.path}`, [...byFlag.keys()]);
    if (Array.isArray(value) && value.every((part) => typeof part === 'string')) values[name] = value.join(',');
    else if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      values[name] = String(value);
    else {
      const allowed = table[name]?.allowed ?? 'text';
      throw new SettingsError(key, `${key} in ${file.path}: must be one value; allowed: ${allowed}`);
    }
  }
  return values;
}

function refuseUnknownVariables(names: readonly string[], sources: SettingsSources): void {
  const known = new Set(names.map(variableName));
  for (const [variable, value] of Object.entries(sources.environment)) {
    if (value === undefined || !variable.startsWith('TIDEGATE_') || known.has(variable)) continue;
    if (sources.foreignVariables?.includes(variable)) continue;
    throw unknownSetting(variable, variable, [...known]);
  }
}

function unknownSetting(name: string, source: string, known: readonly string[]): SettingsError {
  return new SettingsError(name, `${source} is not a setting; settings are ${known.join(', ')}`);
}

// --- what values look like ----------------------------------------------------------------------------------------------

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};

/** `512MiB`, `64MB` or a number of bytes. */
export const bytesText = z.string().transform((value, context): number => {
  const match = /^([0-9]+(?:\.[0-9]+)?)\s*([KMG]i?B|B)?$/i.exec(value);
  const size = Number(match?.[1]) * (UNITS[(match?.[2] ?? 'B').toUpperCase()] ?? Number.NaN);
  if (Number.isSafeInteger(Math.round(size))) return Math.round(size);
  context.addIssue({ code: 'custom', message: 'no size' });
  return z.NEVER;
});

const WEIGHT_MAX = 1000;

export function wholeText(min: number, max: number): z.ZodType<number, string> {
  return z
    .string()
    .regex(/^[0-9]{1,15}$/)
    .transform(Number)
    .pipe(z.number().min(min).max(max)) as z.ZodType<number, string>;
}

/** Threads of a run: so many, or as many as measuring finds. */
export const threadsText = z.union([z.literal('auto'), wholeText(1, 1024)]) as z.ZodType<number | 'auto', string>;

/** `camera=3,batch=0.5`; a name may hold `=`. Empty = none. */
export const weightsText: z.ZodType<ReadonlyMap<string, number>, string> = z
  .string()
  .transform((value, context): ReadonlyMap<string, number> => {
    const weights = new Map<string, number>();
    for (const part of value.split(',').filter((text) => text.trim() !== '')) {
      const [, name, weight] = /^\s*(.+?)\s*=\s*([0-9.]+)\s*$/.exec(part) ?? [];
      const number = Number(weight);
      if (name === undefined || !(number > 0 && number <= WEIGHT_MAX) || weights.has(name)) {
        context.addIssue({ code: 'custom', message: 'no weights' });
        return z.NEVER;
      }
      weights.set(name, number);
    }
    return weights;
  });

/** `0.25`. */
export const shareText: z.ZodType<number, string> = z
  .string()
  .regex(/^[0-9]*\.?[0-9]+$/)
  .transform(Number)
  .pipe(z.number().min(0).max(1)) as z.ZodType<number, string>;

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** `authorization=Bearer%20abc,x-tenant=shop`, as OTEL_EXPORTER_OTLP_HEADERS has it. */
export const headersText: z.ZodType<Readonly<Record<string, string>>, string> = z
  .string()
  .transform((text, context): Readonly<Record<string, string>> => {
    try {
      return Object.fromEntries(
        text.split(',').map((part) => {
          const at = part.indexOf('=');
          const name = part.slice(0, Math.max(at, 0)).trim();
          const value = decodeURIComponent(part.slice(at + 1).trim());
          if (!HEADER_NAME.test(name) || !/^[\x20-\x7e]*$/.test(value)) throw new SyntaxError(name);
          return [name.toLowerCase(), value];
        }),
      );
    } catch {
      context.addIssue({ code: 'custom', message: 'no headers' });
      return z.NEVER;
    }
  });

export const anyText = z.string().min(1) as z.ZodType<string, string>;

/** A port of something that can be turned off. */
export const portOrOff = z.union([z.literal('off'), wholeText(0, 65_535)]) as z.ZodType<number | 'off', string>;

export function choiceText<const T extends string>(...values: readonly T[]): z.ZodType<T, string> {
  return z.string().pipe(z.enum(values as unknown as [T, ...T[]])) as unknown as z.ZodType<T, string>;
}
