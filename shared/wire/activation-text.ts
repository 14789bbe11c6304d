// How an activation reads for people, on the device, at the hub and in the console: `warming 43%`, `load failed: no adapter`.
import type { ReportedModel } from './reported-state.js';

type Activation = NonNullable<ReportedModel['activation']>;

const DOING: Readonly<Partial<Record<Activation['step'], string>>> = {
  download: 'downloading',
  verify: 'verifying',
  load: 'loading',
  'warm-up': 'warming',
  'self-test': 'testing',
  switch: 'switching',
  probation: 'on probation',
};

type Said = Pick<Activation, 'step' | 'state'> & {
  progress?: number | undefined;
  doing?: string | undefined;
  error?: string | undefined;
};

/** With the error, where it has one. */
export function activationText({ step, state, progress, doing, error }: Said): string {
  const why = error === undefined ? '' : `: ${error}`;
  if (state !== 'running') return `${step} ${state}${why}`;
  const share = progress === undefined ? '' : ` ${Math.round(progress * 100)}%`;
  const what = doing === undefined ? '' : ` (${doing})`;
  return `${DOING[step] ?? step}${share}${what}${why}`;
}
