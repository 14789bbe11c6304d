// What the command line prints: answers on stdout (tables, or JSON with `--json`), progress on stderr and only on a terminal as a bar.
import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';

export interface Streams {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

/** Plain columns: no box drawing, so that lines can be cut and grepped. */
export function tableText(
  head: readonly string[],
  rows: readonly (readonly (string | number | undefined)[])[],
): string {
  const none = Object.fromEntries(
    [
      'top',
      'top-mid',
      'top-left',
      'top-right',
      'bottom',
      'bottom-mid',
      'bottom-left',
      'bottom-right',
      'left',
      'left-mid',
      'mid',
      'mid-mid',
      'right',
      'right-mid',
    ].map((part) => [part, '']),
  );
  const table = new Table({
    head: [...head],
    chars: { ...none, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  table.push(...rows.map((row) => row.map((cell) => (cell === undefined ? '' : String(cell)))));
  return `${table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')}\n`;
}

export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

export interface Progress {
  /** By so many bytes, or things. */
  advance(by: number): void;
  stop(): void;
}

const MIB = 1024 * 1024;

/** A bar on a terminal, nothing elsewhere. */
export function byteProgress(streams: Streams, totalBytes: number, doneBytes: number): Progress {
  if (streams.stderr.isTTY !== true || totalBytes === 0) return { advance: () => undefined, stop: () => undefined };
  const inMib = (bytes: number): string => (bytes / MIB).toFixed(1);
  const bar = new SingleBar({
    stream: streams.stderr,
    hideCursor: true,
    format: (_options, params) => {
      const share = params.total === 0 ? 1 : params.value / params.total;
      const full = Math.round(share * 30);
      const line = '█'.repeat(full) + '░'.repeat(30 - full);
      return `${line} ${(share * 100).toFixed(0).padStart(3)}% ${inMib(params.value)}/${inMib(params.total)} MiB`;
    },
  });
  bar.start(totalBytes, doneBytes);
  return { advance: (bytes) => bar.increment(bytes), stop: () => bar.stop() };
}

/** A bar of things that are counted, on a terminal; nothing elsewhere. */
export function countProgress(streams: Streams, doing: string, total: number): Progress {
  if (streams.stderr.isTTY !== true || total === 0) return { advance: () => undefined, stop: () => undefined };
  const bar = new SingleBar({
    stream: streams.stderr,
    hideCursor: true,
    format: `${doing} [{bar}] {percentage}% {value}/{total}`,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 30,
  });
  bar.start(total, 0);
  return { advance: (count) => bar.increment(count), stop: () => bar.stop() };
}
