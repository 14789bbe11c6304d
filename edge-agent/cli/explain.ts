// `tidegate-agent explain [REQUEST_ID]`: why a request was answered where it was, and what its time went to. Without an id, the
// last requests in a line each, the newest first.
import type { Command } from 'commander';
import { z } from 'zod';
import type { Explanation } from '../router/explanations.js';
import { ADDRESS_SETTINGS, askAgent } from './agent-address.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import type { Verb } from './verb.js';

const explanationSchema = z.object({
  id: z.string(),
  model: z.string(),
  version: z.string().optional(),
  acceptedAtMs: z.number(),
  totalMs: z.number(),
  result: z.string(),
  traceId: z.string().optional(),
  spent: z.object({ queueMs: z.number(), runMs: z.number(), hubMs: z.number() }),
  steps: z.array(z.object({ afterMs: z.number(), what: z.string() })),
}) satisfies z.ZodType<Omit<Explanation, 'version' | 'traceId'>>;
type Explained = z.infer<typeof explanationSchema>;

export const explainVerb: Verb = (program, context) => {
  const command = program
    .command('explain')
    .description('Tell why one of the last 1000 requests was answered where it was, and what it waited for')
    .argument('[REQUEST_ID]', 'id that the request carried, or #17 as listed; without it, the last ones are listed')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate-agent explain\n  tidegate-agent explain order-4711');
  addSettingsOptions(command, ADDRESS_SETTINGS).action(
    async (id: string | undefined, options: { json?: boolean }, self: Command) => {
      const path = `/agent/v1/explain${id === undefined ? '' : `/${encodeURIComponent(id)}`}`;
      const answer = await askAgent(settingsOf(self, ADDRESS_SETTINGS, context), path);
      if (options.json === true) context.stdout.write(`${JSON.stringify(answer)}\n`);
      else if (id !== undefined) context.stdout.write(explanationText(explanationSchema.parse(answer)));
      else context.stdout.write(listText(z.object({ latest: z.array(explanationSchema) }).parse(answer).latest));
    },
  );
};

function explanationText(explained: Explained): string {
  const { id, model, version, acceptedAtMs, totalMs, result, traceId, spent, steps } = explained;
  const { queueMs, runMs, hubMs } = spent;
  const of = version === undefined ? model : `${model}@${version}`;
  const lines = [
    `request ${id} of ${of}, accepted ${new Date(acceptedAtMs).toISOString()}`,
    ...steps.map(({ afterMs, what }) => `${afterMs.toFixed(2).padStart(10)} ms  ${what}`),
    `${totalMs.toFixed(2).padStart(10)} ms  ${result}`,
    `waited ${queueMs.toFixed(2)} ms for executors, ran ${runMs.toFixed(2)} ms, ${hubMs.toFixed(2)} ms at the hub and on the way there`,
    ...(traceId === undefined ? [] : [`trace ${traceId}`]),
  ];
  return `${lines.join('\n')}\n`;
}

function listText(latest: readonly Explained[]): string {
  if (latest.length === 0) return 'no requests yet\n';
  return latest
    .map(({ id, model, acceptedAtMs, totalMs, result }) => {
      const time = new Date(acceptedAtMs).toISOString().slice(11, 23);
      return `${time}  ${totalMs.toFixed(1).padStart(8)} ms  ${id}  ${model}  ${result}\n`;
    })
    .join('');
}
