// Memory of another process, as Linux tells it: resident now and at its peak.
import type { Files } from '@tidegate/shared/system/files.js';

interface ProcessMemory {
  readonly residentBytes: number;
  readonly peakBytes: number;
}

/** Undefined where the process has gone or the system has no /proc. */
export async function readProcessMemory(
  pid: number | undefined,
  files: Pick<Files, 'read'>,
): Promise<ProcessMemory | undefined> {
  if (pid === undefined) return undefined;
  let text: string;
  try {
    text = Buffer.from(await files.read('process.status', `/proc/${pid}/status`)).toString('utf8');
  } catch {
    return undefined;
  }
  const bytes = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
  const [residentBytes, peakBytes] = [bytes('VmRSS'), bytes('VmHWM')];
  return Number.isNaN(residentBytes) ? undefined : { residentBytes, peakBytes };
}
