// `tidegate-agent status`: what the agent on this device says about itself.
import type { Command } from 'commander';
import { z } from 'zod';
import { activationText } from '@tidegate/shared/wire/activation-text.js';
import { reportedModelSchema } from '@tidegate/shared/wire/reported-state.js';
import { providerText } from '@tidegate/shared/wire/provider-text.js';
import { ADDRESS_SETTINGS, askAgent } from './agent-address.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import type { Verb } from './verb.js';

const graphSchema = z.object({
  graph: z.string(),
  pid: z.number().optional(),
  executor: z.object({ graphs: z.number(), reason: z.string() }).nullish(),
});

/** Of what an agent answers, what is shown to people; another release may say more. */
const statusSchema = z.object({
  version: z.string(),
  mode: z.string(),
  state: z.string(),
  uptimeMs: z.number(),
  residentBytes: z.number(),
  memory: z.object({ budgetBytes: z.number().nullable(), usedBytes: z.number(), agentBytes: z.number() }).optional(),
  cores: z.object({ count: z.number(), busy: z.number(), waiting: z.number() }).optional(),
  models: z.array(
    z.object({
      name: z.string(),
      version: z.string(),
      variant: z.string(),
      variantDigest: z.string(),
      verified: z.boolean(),
      residency: z.object({ state: z.string(), neededBytes: z.number(), pinned: z.boolean() }).nullish(),
      quarantine: z.object({ reason: z.string() }).nullish(),
      threads: z.object({ threads: z.number(), reason: z.string(), measuredAtMs: z.number().optional() }).nullish(),
      graphs: z.array(graphSchema).optional(),
      provider: z.object({ runs: z.string(), reason: z.string(), cpuNodesRatio: z.number().optional() }),
      counts: z.object({ runs: z.number(), queueDepth: z.number() }),
      sequences: z.object({ live: z.number(), max: z.number() }).optional(),
    }),
  ),
  unloaded: z.array(z.object({ name: z.string(), version: z.string(), reason: z.string() })).optional(),
  /** Of `run`. */
  sync: z.object({ models: z.array(reportedModelSchema) }).optional(),
  hub: z
    .object({
      url: z.string(),
      phase: z.string(),
      roundTripMs: z.number().optional(),
      bytesPerSecond: z.number().optional(),
    })
    .nullable(),
  cache: z
    .object({
      layers: z.record(
        z.string(),
        z.object({ hits: z.number(), audits: z.number().default(0), disagreements: z.number().default(0) }),
      ),
      semantic: z.array(z.object({ model: z.string(), disagreementRate: z.number(), off: z.boolean() })).default([]),
    })
    .optional(),
  captures: z
    .object({
      sent: z.number(),
      waiting: z.object({ count: z.number(), bytes: z.number() }),
      dropped: z.record(z.string(), z.number()),
    })
    .optional(),
});
export type Status = z.infer<typeof statusSchema>;

export const statusVerb: Verb = (program, context) => {
  const command = program
    .command('status')
    .description('Show what the agent on this device runs')
    .option('--json', 'print all of it as JSON')
    .addHelpText('after', '\nExample:\n  tidegate-agent status --http-port 8000');
  addSettingsOptions(command, ADDRESS_SETTINGS).action(async (options: { json?: boolean }, self: Command) => {
    const answer = await askAgent(settingsOf(self, ADDRESS_SETTINGS, context), '/agent/v1/status');
    context.stdout.write(
      options.json === true ? `${JSON.stringify(answer)}\n` : statusText(statusSchema.parse(answer)),
    );
  });
};

/** As a person reads it. */
export function statusText(status: Status): string {
  const {
    version,
    mode,
    state,
    uptimeMs,
    residentBytes,
    memory,
    cores,
    models,
    unloaded = [],
    hub,
    cache,
    captures,
    sync,
  } = status;
  const minutes = (uptimeMs / 60_000).toFixed(1);
  const lines = [`${state} (${mode}, version ${version}), up ${minutes} min, ${mebibytes(residentBytes)}`];
  if (memory !== undefined) {
    const of = memory.budgetBytes === null ? 'no budget' : `of a budget of ${mebibytes(memory.budgetBytes)}`;
    const { usedBytes, agentBytes } = memory;
    lines.push(`memory: ${mebibytes(usedBytes)} with executors (${mebibytes(agentBytes)} the agent itself), ${of}`);
  }
  if (cores !== undefined) {
    lines.push(`cores: ${cores.busy} of ${cores.count} compute, ${cores.waiting} requests wait`);
  }
  if (hub !== null) lines.push(hubLine(hub));
  if (cache !== undefined) lines.push(...cacheLines(cache));
  if (captures !== undefined) {
    const { sent, waiting, dropped } = captures;
    const kibibytes = (waiting.bytes / 1024).toFixed(0);
    const lost = Object.entries(dropped).map(([why, count]) => `, ${count} dropped: ${why}`);
    lines.push(`captures: ${sent} sent, ${waiting.count} waiting for the hub (${kibibytes} KiB)${lost.join('')}`);
  }
  if (models.length === 0 && unloaded.length === 0) lines.push('no models');
  for (const model of models) {
    const {
      name,
      version: number,
      variant,
      variantDigest,
      verified,
      provider,
      counts,
      sequences,
      residency,
      quarantine,
      threads,
    } = model;
    const digest = variantDigest.slice(0, 'sha256:'.length + 8);
    const trust = verified ? 'verified' : 'not verified';
    const on = providerText({ provider: provider.runs, cpuNodesRatio: provider.cpuNodesRatio });
    lines.push(
      `${name}@${number} ${variant} ${digest} (${trust}) on ${on}: ${provider.reason}; ` +
        `${counts.runs} runs, ${counts.queueDepth} waiting` +
        (sequences === undefined ? '' : `, ${sequences.live} of at most ${sequences.max} sequences live`),
    );
    if (residency && !quarantine) {
      const { state: where, neededBytes, pinned } = residency;
      const loaded = where === 'resident' ? 'in memory' : where;
      lines.push(`  ${loaded}: ${mebibytes(neededBytes)}${pinned ? ', pinned' : ''}`);
    }
    lines.push(...executorLines(model.graphs ?? []));
    if (threads) lines.push(threadsLine(threads));
    if (quarantine) {
      lines.push(`  in quarantine: ${quarantine.reason}`, `  to try it again: tidegate-agent release ${name}`);
    }
  }
  for (const { name, version: number, reason } of unloaded) lines.push(`${name}@${number} is not loaded: ${reason}`);
  for (const { name, activation } of sync?.models ?? []) {
    if (activation === undefined) continue;
    const digest = activation.variantDigest.slice(0, 'sha256:'.length + 8);
    lines.push(`${name} to be ${digest}: ${activationText(activation)}`);
  }
  return `${lines.join('\n')}\n`;
}

function threadsLine({ threads, reason, measuredAtMs }: NonNullable<Status['models'][number]['threads']>): string {
  const when = measuredAtMs === undefined ? '' : ` (measured on ${new Date(measuredAtMs).toISOString().slice(0, 10)})`;
  return `  ${threads} ${threads === 1 ? 'thread' : 'threads'} a run: ${reason}${when}`;
}

/** A line for each executor that holds graphs of the model. */
function executorLines(graphs: readonly z.infer<typeof graphSchema>[]): string[] {
  const byPid = new Map(
    graphs.flatMap(({ pid, executor }) => (pid !== undefined && executor ? [[pid, executor] as const] : [])),
  );
  return [...byPid].map(([pid, { graphs: count, reason }]) => {
    return `  executor ${pid}, ${count === 1 ? 'this graph only' : `${count} graphs`}: ${reason}`;
  });
}

function hubLine({ url, phase, roundTripMs, bytesPerSecond }: NonNullable<Status['hub']>): string {
  const link = [
    ...(roundTripMs === undefined ? [] : [`; round trip ${roundTripMs.toFixed(roundTripMs < 10 ? 1 : 0)} ms`]),
    ...(bytesPerSecond === undefined ? [] : [`, ${(bytesPerSecond / 1e6).toPrecision(2)} MB/s`]),
  ];
  return `hub ${url}: ${phase === 'open' ? 'does not answer, only probed' : 'asked when it is needed'}${link.join('')}`;
}

/** What the layers gave, and how far answers that this device did not compute are right. */
function cacheLines({ layers, semantic }: NonNullable<Status['cache']>): string[] {
  // A hit that was audited was computed anyway: it was not given.
  const used = Object.entries(layers).filter(([name]) => name !== 'semantic' || semantic.length > 0);
  const given = used.map(
    ([name, { hits, audits }]) =>
      `${Math.max(0, hits - audits)} ${name === 'semantic' ? 'to similar inputs' : `from ${name}`}`,
  );
  const audited = Object.entries(layers)
    .filter(([, { audits }]) => audits > 0)
    .map(([name, { audits, disagreements }]) => `  ${name}: ${disagreements} of ${audits} audited answers were wrong`);
  const models = semantic.map(({ model, disagreementRate, off }) => {
    const ended = off ? ', too many: off' : '';
    return `  ${model}, answers to similar inputs: ${(100 * disagreementRate).toFixed(1)}% of late were wrong${ended}`;
  });
  return given.length === 0 ? [] : [`cache: ${given.join(', ')}`, ...audited, ...models];
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
