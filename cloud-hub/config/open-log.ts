// The hub's log: pino's JSON lines on stderr, or the same lines for people. Secrets never get here: components log fields that they
// name one by one.
import { Writable } from 'node:stream';
import type { Log } from '@tidegate/shared/system/log.js';
import pino from 'pino';
import type { HubSettings } from './settings-table.js';

const LEVELS: Readonly<Record<number, string>> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' };

export function openLog(settings: Pick<HubSettings, 'logLevel' | 'logFormat'>, stderr: NodeJS.WriteStream): Log {
  const pretty = settings.logFormat === 'pretty' || (settings.logFormat === 'auto' && stderr.isTTY);
  const options: pino.LoggerOptions = { level: settings.logLevel, base: { pid: process.pid } };
  if (!pretty) return pino(options, pino.destination({ fd: 2, sync: true }));
  const forPeople = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      stderr.write(prettyLine(chunk.toString()));
      done();
    },
  });
  return pino(options, forPeople);
}

/** `12:03:04.005 info  ready http=...`. */
export function prettyLine(line: string): string {
  const { level, time, msg, pid: _pid, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const clock = typeof time === 'number' ? new Date(time).toISOString().slice(11, 23) : '';
  const details = Object.entries(rest)
    .map(([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('');
  const stack = typeof err === 'object' && err !== null && 'stack' in err ? `\n${String(err.stack)}` : '';
  return `${clock} ${(LEVELS[Number(level)] ?? String(level)).padEnd(5)} ${String(msg)}${details}${stack}\n`;
}
