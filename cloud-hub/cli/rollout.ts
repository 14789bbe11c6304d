// `tidegate rollout`: bring a version to a group in waves, watch, pause, resume, abort.
import { setTimeout as sleep } from 'node:timers/promises';
import { gatePolicySchema, pageOf, rolloutSchema, type Rollout } from '@tidegate/shared/wire/admin-api.js';
import { Command } from 'commander';
import { CliError, wrongUsage } from './cli-error.js';
import type { CliContext } from './context.js';
import { seconds, share, whole } from './durations.js';
import { splitSpec } from './model.js';
import { jsonText, tableText } from './output.js';

const POLL_MS = 500;
/** What the hub takes where a gate's option is left out. */
const GATE = gatePolicySchema.parse({});

interface StartOptions {
  readonly group: string;
  readonly waves: string;
  readonly soak?: string;
  readonly minRequests?: string;
  readonly maxErrorIncrease?: string;
  readonly maxP99Ratio?: string;
  readonly maxConfidenceDrop?: string;
  readonly maxFailed?: string;
  readonly maxSilent?: string;
  readonly silentAfter?: string;
  readonly probation?: string;
  readonly wait?: true;
  readonly json?: true;
}

export function rolloutCommand(context: CliContext): Command {
  const root = new Command('rollout')
    .description('bring a version to a group in waves, behind a gate')
    .addCommand(startCommand(context))
    .addCommand(listCommand(context))
    .addCommand(statusCommand(context));
  for (const verb of ['pause', 'resume', 'abort'] as const) root.addCommand(changeCommand(context, verb));
  return root;
}

function startCommand(context: CliContext): Command {
  return new Command('start')
    .description('start a rollout')
    .argument('<MODEL@VERSION>', 'VERSION is a number, a label or the beginning of a digest')
    .requiredOption('--group <GROUP>', 'group of devices')
    .option('--waves <SHARES>', 'cumulative shares of the group; the last is 100%', '10%,50%,100%')
    .option('--soak <TIME>', `least time of a wave: 90s, 30m (default: ${GATE.soakSeconds}s)`)
    .option(
      '--min-requests <N>',
      `least requests on the new version before a wave is judged (default: ${GATE.minRequests})`,
    )
    .option(
      '--max-error-increase <SHARE>',
      `largest error-rate excess over the control (default: ${GATE.maxErrorRateIncrease})`,
    )
    .option('--max-p99-ratio <RATIO>', `largest p99 over the control’s (default: ${GATE.maxP99Ratio})`)
    .option('--max-confidence-drop <SHARE>', `largest fall of mean confidence (default: ${GATE.maxConfidenceDrop})`)
    .option('--max-failed <SHARE>', `share of a wave whose activation may fail (default: ${GATE.maxFailedShare})`)
    .option('--max-silent <SHARE>', `share of a wave that may be silent (default: ${GATE.maxSilentShare})`)
    .option(
      '--silent-after <TIME>',
      `when a device that hasn’t reported counts as silent (default: ${GATE.silentAfterSeconds}s)`,
    )
    .option('--probation <TIME>', 'how long a device may undo the new version by itself')
    .option('--wait', 'follow it; exit code 1 unless it completes')
    .option('--json', 'print the rollout as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  tidegate rollout start ocr-line@2 --group shelf --waves 10%,50%,100% --soak 30m',
    )
    .action(async (spec: string, options: StartOptions) => {
      const client = await context.client();
      let rollout = await client.postOnce('/api/v1/rollouts', rolloutRequest(spec, options), rolloutSchema);
      if (options.wait === true) rollout = await followRollout(context, rollout);
      context.stdout.write(options.json === true ? jsonText(rollout) : rolloutText(rollout));
      if (options.wait === true && rollout.state !== 'completed') {
        throw new CliError(`rollout ${rollout.id} is ${rollout.state}: ${rollout.reason}`);
      }
    });
}

/** The body of POST /api/v1/rollouts; what isn't said keeps the hub's default. */
export function rolloutRequest(spec: string, options: StartOptions): Record<string, unknown> {
  const { model, version } = splitSpec(spec);
  if (version === undefined) throw wrongUsage(`${spec}: say which version: ${spec}@2`);
  const policy = {
    soakSeconds: options.soak === undefined ? undefined : seconds(options.soak, '--soak'),
    minRequests: options.minRequests === undefined ? undefined : whole(options.minRequests, '--min-requests'),
    maxErrorRateIncrease: optionalShare(options.maxErrorIncrease, '--max-error-increase'),
    maxP99Ratio: options.maxP99Ratio === undefined ? undefined : ratio(options.maxP99Ratio),
    maxConfidenceDrop: optionalShare(options.maxConfidenceDrop, '--max-confidence-drop'),
    maxFailedShare: optionalShare(options.maxFailed, '--max-failed'),
    maxSilentShare: optionalShare(options.maxSilent, '--max-silent'),
    silentAfterSeconds: options.silentAfter === undefined ? undefined : seconds(options.silentAfter, '--silent-after'),
  };
  return {
    model,
    version,
    group: options.group,
    waves: options.waves.split(',').map((part) => share(part, '--waves')),
    policy,
    ...(options.probation === undefined ? {} : { probationSeconds: seconds(options.probation, '--probation') }),
  };
}

function optionalShare(text: string | undefined, flag: string): number | undefined {
  return text === undefined ? undefined : share(text, flag);
}

function ratio(text: string): number {
  const value = Number(text);
  if (!(value >= 1)) throw wrongUsage(`--max-p99-ratio: ${JSON.stringify(text)} is no ratio of 1 or more`);
  return value;
}

async function followRollout(context: CliContext, rollout: Rollout): Promise<Rollout> {
  const client = await context.client();
  let now = rollout;
  let said = '';
  for (;;) {
    const line = now.reason.startsWith(now.state) ? now.reason : `${now.state}: ${now.reason}`;
    if (line !== said) context.stderr.write(`${line}\n`);
    said = line;
    const ended = now.state === 'completed' || ((now.state === 'halted' || now.state === 'aborted') && now.rolledBack);
    if (ended) return now;
    await sleep(POLL_MS);
    now = await client.get(`/api/v1/rollouts/${now.id}`, rolloutSchema);
  }
}

function listCommand(context: CliContext): Command {
  return new Command('list')
    .description('all rollouts, newest first')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate rollout list')
    .action(async (options: { json?: true }) => {
      const rollouts = await (await context.client()).list('/api/v1/rollouts?limit=100', pageOf(rolloutSchema));
      const rows = rollouts.map((r) => [r.id, `${r.model}@${r.version}`, r.group, r.state, r.createdAt, r.reason]);
      const head = ['ROLLOUT', 'VERSION', 'GROUP', 'STATE', 'CREATED', 'REASON'];
      context.stdout.write(options.json === true ? jsonText(rollouts) : tableText(head, rows));
    });
}

function statusCommand(context: CliContext): Command {
  return new Command('status')
    .description('one rollout with its devices and evidence')
    .argument('<ROLLOUT>', 'its id')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate rollout status r1abc')
    .action(async (id: string, options: { json?: true }) => {
      const rollout = await (await context.client()).get(`/api/v1/rollouts/${encodeURIComponent(id)}`, rolloutSchema);
      context.stdout.write(options.json === true ? jsonText(rollout) : rolloutText(rollout));
    });
}

function changeCommand(context: CliContext, verb: 'pause' | 'resume' | 'abort'): Command {
  const does = { pause: 'stop advancing', resume: 'go on', abort: 'end it and bring its devices back' }[verb];
  return new Command(verb)
    .description(does)
    .argument('<ROLLOUT>', 'its id')
    .option('--json', 'print the rollout as JSON')
    .addHelpText('after', `\nExample:\n  tidegate rollout ${verb} r1abc`)
    .action(async (id: string, options: { json?: true }) => {
      const path = `/api/v1/rollouts/${encodeURIComponent(id)}/${verb}`;
      const rollout = await (await context.client()).post(path, undefined, rolloutSchema);
      context.stdout.write(options.json === true ? jsonText(rollout) : rolloutText(rollout));
    });
}

function rolloutText(rollout: Rollout): string {
  const waves = rollout.waves.map((wave) => `${Math.round(wave.share * 100)}%`).join(', ');
  const facts = [
    `${rollout.id}  ${rollout.model}@${rollout.version} to ${rollout.group}  ${rollout.state}`,
    rollout.reason,
    `wave ${rollout.wave} of ${rollout.waves.length} (${waves})`,
  ];
  const devices = tableText(
    ['DEVICE', 'WAVE', 'STATE', 'DETAIL'],
    rollout.devices.map((device) => [device.id, device.wave, device.state, device.detail]),
  );
  return `${facts.join('\n')}\n${rollout.devices.length === 0 ? '' : `\n${devices}`}${evidenceText(rollout)}`;
}

function evidenceText({ evidence }: Rollout): string {
  if (evidence === undefined) return '';
  const names = [...new Set([...Object.keys(evidence.canary), ...Object.keys(evidence.control)])];
  const rows = names.map((name) => [name, figure(evidence.canary[name]), figure(evidence.control[name])]);
  return `\n${tableText(['EVIDENCE', 'NEW', 'OLD'], rows)}`;
}

function figure(value: number | undefined): string {
  return value === undefined ? '-' : String(Math.round(value * 10_000) / 10_000);
}
