// The errors that docs/gradients.md shows (docs/generate/gradients.mjs makes it from measured.json). They differ from machine to
// machine in their last digits, so they are written only where it is asked for: RECORD_GRADIENTS=1.
import { writeFile } from 'node:fs/promises';

export interface MeasuredGradient {
  readonly title: string;
  /** Largest error against finite differences. */
  readonly differences: number;
  /** Largest error against PyTorch. */
  readonly torch: number;
}

export async function recordGradients(measured: readonly MeasuredGradient[]): Promise<void> {
  if (process.env['RECORD_GRADIENTS'] !== '1') return;
  const lines = measured.map((one) => `  ${JSON.stringify(one)}`).join(',\n');
  await writeFile(new URL('measured.json', import.meta.url), `[\n${lines}\n]\n`);
}
