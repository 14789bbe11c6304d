// The logger that components receive. pino implements it in the composition roots; tests pass `silentLog` or a recorder.
//
// `limitRepeats` stands before it there: a line that comes over and over (a hub that is gone, an executor that crashes in a
// loop) must not wear an SD card out or push what matters off the disk. Lines are the same where level and message are;
// what varies is in the fields.
import type { Clock } from './clock.js';

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const nothing = (): void => undefined;

export const silentLog: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };

const MINUTE_MS = 60_000;
/** Kinds of lines that are counted at once; beyond, the one counted longest begins anew. Messages are ours, so they are few. */
const LIMIT_KINDS = 1000;

type Level = keyof Log;

interface Kind {
  readonly level: Level;
  readonly message: string;
  readonly sinceMs: number;
  count: number;
  /** Of the newest line that was held back. */
  last: object | undefined;
}

/**
 * Passes `perMinute` lines of a kind, then says once that more are held back, and after the minute how many they were, with
 * the fields of the last. No timer: the sum comes with the next line of any kind, so a quiet process stays quiet. `debug` is
 * never held back: who turned it on wants all of it.
 */
export function limitRepeats(
  log: Log,
  { perMinute }: { readonly perMinute: number },
  clock: Pick<Clock, 'monotonicMs'>,
): Log {
  const kinds = new Map<string, Kind>(); // in the order in which they began, so the first is due first
  const end = (key: string, kind: Kind): void => {
    kinds.delete(key);
    const heldBack = kind.count - perMinute;
    if (heldBack <= 0) return;
    log[kind.level]({ repeated: kind.message, heldBack, last: kind.last }, 'held back lines that repeated');
  };
  const endDue = (nowMs: number): void => {
    for (const [key, kind] of kinds) {
      if (nowMs - kind.sinceMs < MINUTE_MS && kinds.size <= LIMIT_KINDS) return;
      end(key, kind);
    }
  };
  const at =
    (level: Level) =>
    (fields: object, message: string): void => {
      const nowMs = clock.monotonicMs();
      endDue(nowMs);
      const key = `${level} ${message}`;
      const kind = kinds.get(key) ?? { level, message, sinceMs: nowMs, count: 0, last: undefined };
      kinds.set(key, kind);
      kind.count += 1;
      if (kind.count <= perMinute) log[level](fields, message);
      else {
        if (kind.last === undefined) log[level]({ repeated: message }, 'repeats too often: held back for this minute');
        kind.last = fields;
      }
    };
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
}
