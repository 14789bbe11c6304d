// The log: pino's JSON lines on stderr, or the same lines for people (`pretty`). Secrets never get here: components log
// fields that they name one by one.
import { Writable } from 'node:stream';
import pino from 'pino';
import { systemClock } from './clock.js';
import { limitRepeats, type Log } from './log.js';
import type { SERVER_SETTINGS } from './server-settings.js';
import type { SettingsOf } from './settings.js';

type LogSettings = Pick<SettingsOf<typeof SERVER_SETTINGS>, 'logLevel' | 'logFormat'>;

/** Lines of one message that a minute may bring; a second each, which no card minds. */
const REPEATS_PER_MINUTE = 60;

/** Its level may be changed while it runs. */
export function openLog(settings: LogSettings, stderr: NodeJS.WriteStream): Log & { level: string } {
  const pretty = settings.logFormat === 'pretty' || (settings.logFormat === 'auto' && stderr.isTTY);
  const options: pino.LoggerOptions = { level: settings.logLevel, base: { pid: process.pid } };
  if (pretty) surviving(stderr);
  const all = pino(options, pretty ? prettyStream(stderr) : surviving(pino.destination({ fd: 2, sync: true })));
  return {
    ...limitRepeats(all, { perMinute: REPEATS_PER_MINUTE }, systemClock),
    get level() {
      return all.level;
    },
    set level(level) {
      all.level = level;
    },
  };
}

/** A log that can't be written, on a full disk or into a pipe that nobody reads, is no reason to stop serving. */
function surviving<T extends { on(event: 'error', listener: () => void): unknown }>(stream: T): T {
  stream.on('error', () => undefined);
  return stream;
}

const LEVELS: Readonly<Record<number, string>> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' };

function prettyStream(stderr: NodeJS.WriteStream): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      stderr.write(prettyLine(chunk.toString()));
      done();
    },
  });
}

/** `12:03:04.005 info  serving models=2`; a line that is no JSON stays as it is. */
export function prettyLine(line: string): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line; // not ours: shown as it came
  }
  const { level, time, msg, pid: _pid, err, ...rest } = fields;
  const clock = typeof time === 'number' ? new Date(time).toISOString().slice(11, 23) : '';
  const word = (LEVELS[Number(level)] ?? String(level)).padEnd(5);
  const details = Object.entries(rest)
    .map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('');
  const stack = typeof err === 'object' && err !== null && 'stack' in err ? `\n${String(err.stack)}` : '';
  return `${clock} ${word} ${String(msg)}${details}${stack}\n`;
}
