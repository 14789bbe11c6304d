// Memory of a process, as Linux tells it. Processes of one family map the same program, libraries and weights: resident sizes
// count those once for each, proportional ones (proc(5), smaps_rollup) divide each page by those who map it, so that they add up.
import type { Files } from './files.js';

interface ProcessMemory {
  readonly residentBytes: number;
  readonly peakBytes: number;
  /** The resident size where the system doesn't tell it. */
  readonly proportionalBytes: number;
}

/** Undefined where the process has gone or the system has no /proc. `root` is `/` but in tests. */
export async function readProcessMemory(
  pid: number | undefined,
  files: Pick<Files, 'read'>,
  root = '/',
): Promise<ProcessMemory | undefined> {
  if (pid === undefined) return undefined;
  const read = async (name: string): Promise<string> => {
    try {
      return Buffer.from(await files.read('process.memory', `${root}proc/${pid}/${name}`)).toString('utf8');
    } catch {
      return '';
    }
  };
  const status = await read('status');
  const [residentBytes, peakBytes] = [bytesAt(status, 'VmRSS'), bytesAt(status, 'VmHWM')];
  if (Number.isNaN(residentBytes)) return undefined;
  const proportionalBytes = bytesAt(await read('smaps_rollup'), 'Pss');
  return {
    residentBytes,
    peakBytes,
    proportionalBytes: Number.isNaN(proportionalBytes) ? residentBytes : proportionalBytes,
  };
}

function bytesAt(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
}
