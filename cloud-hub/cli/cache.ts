// `tidegate cache`: the answers that the hub's devices share, and those that the hub keeps of its own; look at what is held, take it out.
import {
  droppedAnswersSchema,
  sharedAnswersSchema,
  type SharedAnswersReport,
} from '@tidegate/shared/wire/admin-api.js';
import { Command } from 'commander';
import { wrongUsage } from './cli-error.js';
import type { CliContext } from './context.js';
import { jsonText, tableText } from './output.js';

interface DropOptions {
  readonly model?: string;
  readonly variant?: string;
  readonly tag?: string;
  readonly all?: true;
}

export function cacheCommand(context: CliContext): Command {
  const show = new Command('show')
    .description('what is held, by model')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate cache show')
    .action(async (options: { json?: true }) => {
      const found = await (await context.client()).get('/api/v1/shared-answers', sharedAnswersSchema);
      if (options.json === true) return void context.stdout.write(jsonText(found));
      context.stdout.write(`${sharedText(found)}\n${ownText(found.own)}`);
    });
  const drop = new Command('drop')
    .description('take answers out; what is stated must all hold')
    .option('--model <MODEL>', 'of this model')
    .option('--variant <DIGEST>', 'of this variant')
    .option('--tag <TAG>', 'asked for with this tag')
    .option('--all', 'all answers')
    .addHelpText('after', '\nExample:\n  tidegate cache drop --model digits')
    .action(async (options: DropOptions) => {
      const stated = Object.keys(options).length;
      if (stated === 0 || (options.all === true && stated > 1))
        throw wrongUsage('state --model, --variant or --tag, or --all alone');
      const client = await context.client();
      const { removed } = await client.post('/api/v1/shared-answers/drop', options, droppedAnswersSchema);
      context.stdout.write(`${removed} answers dropped\n`);
    });
  const about = 'answers that devices share, and those that the hub keeps of its own';
  return new Command('cache').description(about).addCommand(show).addCommand(drop);
}

function sharedText({ enabled, models, hits = 0, misses = 0, waiting = 0 }: SharedAnswersReport): string {
  if (!enabled) return 'devices of this hub share no answers (--shared-cache 0)\n';
  const rows = models.map(({ model, entries, sizeBytes }) => [model, String(entries), String(sizeBytes)]);
  const counts = `given ${hits} times, asked for in vain ${misses} times; ${waiting} wait for agreement`;
  return `shared by devices\n${tableText(['MODEL', 'ANSWERS', 'BYTES'], rows)}${counts}\n`;
}

function ownText({ enabled, models, hits = 0, misses = 0, joined }: SharedAnswersReport['own']): string {
  if (!enabled) return 'the hub keeps no answers of its own (--cache-size 0)\n';
  const rows = models.map(({ model, entries, sizeBytes }) => [model, String(entries), String(sizeBytes)]);
  const counts = `given ${hits} times, asked for in vain ${misses} times; ${joined} waited for an equal request`;
  return `the hub's own\n${tableText(['MODEL', 'ANSWERS', 'BYTES'], rows)}${counts}\n`;
}
