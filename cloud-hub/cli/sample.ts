// `tidegate sample`: what devices found hard and operators imported; find, look at, label, reject, ask the hub's model.
import * as fs from 'node:fs/promises';
import { pageOf } from '@tidegate/shared/wire/admin-api.js';
import { proposedSchema, sampleSchema, type SampleView } from '@tidegate/shared/wire/data-api.js';
import { hexOf } from '@tidegate/shared/wire/digest.js';
import { Command } from 'commander';
import { CliError, wrongUsage } from './cli-error.js';
import type { CliContext } from './context.js';
import { whole } from './durations.js';
import { problemOf, type HubClient } from './hub-client.js';
import { jsonText, tableText } from './output.js';

/** Digits of a digest that lists show; whole ones are 64. */
const SHOWN_DIGITS = 12;
const LIMIT_PAGE = 500;
const SAMPLE_TEXT = 'its digest, or the beginning of it';
const WHERE_TEXT = "conditions, e.g. 'model=digits and confidence<0.8 and captured>7d'";

interface Options {
  readonly where?: string;
  readonly limit?: string;
  readonly picture?: string;
  readonly json?: true;
}

export function sampleCommand(context: CliContext): Command {
  const root = new Command('sample')
    .description('samples that devices captured or operators imported')
    .addCommand(listCommand(context))
    .addCommand(showCommand(context))
    .addCommand(labelCommand(context));
  for (const [verb, text] of Object.entries(VERBS)) root.addCommand(changeCommand(context, verb, text));
  return root.addCommand(proposeCommand(context)).addCommand(deleteCommand(context));
}

const VERBS = {
  reject: 'keep samples out of datasets',
  reopen: 'take the last decision on samples back',
  accept: "make the proposal of the hub's model the label",
} as const;

function listCommand(context: CliContext): Command {
  return new Command('list')
    .description('samples, the newest first')
    .option('--where <CONDITIONS>', WHERE_TEXT)
    .option('--limit <N>', 'at most so many', '50')
    .option('--json', 'print JSON')
    .addHelpText('after', "\nExample:\n  tidegate sample list --where 'model=digits and state=new and confidence<0.5'")
    .action(async (options: Options) => {
      const { samples, hasMore } = await find(await context.client(), options.where, limitOf(options));
      context.stdout.write(options.json === true ? jsonText(samples) : samplesText(samples));
      if (hasMore) context.stderr.write(`there are more than these ${samples.length}; --limit says how many to list\n`);
    });
}

function showCommand(context: CliContext): Command {
  return new Command('show')
    .description('one sample')
    .argument('<SAMPLE>', SAMPLE_TEXT)
    .option('--picture <FILE>', 'write its picture there')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate sample show 3fa94c01b2 --picture hard.png')
    .action(async (id: string, options: Options) => {
      const client = await context.client();
      const sample = await one(client, id);
      if (options.picture !== undefined) await savePicture(client, sample, options.picture);
      context.stdout.write(options.json === true ? jsonText(sample) : sampleText(sample));
    });
}

function labelCommand(context: CliContext): Command {
  return new Command('label')
    .description('say what a sample is')
    .argument('<SAMPLE>', SAMPLE_TEXT)
    .argument('<LABEL>', 'one of the classes, where the model names them')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate sample label 3fa94c01b2 7')
    .action(async (id: string, label: string, options: Options) => {
      const client = await context.client();
      const path = `${pathOf(await one(client, id))}/label`;
      printChanged(context, [await client.put(path, { label }, sampleSchema)], options);
    });
}

function changeCommand(context: CliContext, verb: string, text: string): Command {
  return new Command(verb)
    .description(text)
    .argument('<SAMPLE...>', SAMPLE_TEXT)
    .option('--json', 'print JSON')
    .addHelpText('after', `\nExample:\n  tidegate sample ${verb} 3fa94c01b2 77e10d55aa`)
    .action(async (ids: string[], options: Options) => {
      printChanged(context, await eachSample(await context.client(), ids, verb), options);
    });
}

function proposeCommand(context: CliContext): Command {
  return new Command('propose')
    .description("ask the hub's newest version for labels; they count only once they are accepted")
    .argument('[SAMPLE...]', SAMPLE_TEXT)
    .option('--where <CONDITIONS>', `instead: all that have no proposal of that version and fulfil ${WHERE_TEXT}`)
    .option('--limit <N>', 'with --where: at most so many', '500')
    .option('--json', 'print JSON')
    .addHelpText('after', "\nExample:\n  tidegate sample propose --where 'model=digits and state=new'")
    .action(async (ids: string[], options: Options) => {
      if ((ids.length === 0) === (options.where === undefined)) throw wrongUsage('say which samples, or --where');
      const client = await context.client();
      if (options.where === undefined) {
        printChanged(context, await eachSample(client, ids, 'propose'), options);
        return;
      }
      const { failures, ...counts } = await proposeWhere(client, options.where, limitOf(options));
      if (options.json === true) context.stdout.write(jsonText({ ...counts, failures }));
      else context.stdout.write(`${counts.proposed} proposed, ${counts.failed} failed\n`);
      for (const { id, reason } of failures) context.stderr.write(`${shortId(id)}: ${reason}\n`);
    });
}

function deleteCommand(context: CliContext): Command {
  return new Command('delete')
    .description('delete samples for good; datasets that were frozen from them keep their copy')
    .argument('<SAMPLE...>', SAMPLE_TEXT)
    .addHelpText('after', '\nExample:\n  tidegate sample delete 3fa94c01b2')
    .action(async (ids: string[]) => {
      const client = await context.client();
      for (const id of ids) {
        const sample = await one(client, id);
        await client.delete(pathOf(sample));
        context.stdout.write(`${shortId(sample.id)} is deleted\n`);
      }
    });
}

function limitOf({ limit = '50' }: Options): number {
  const number = whole(limit, '--limit');
  if (number === 0) throw wrongUsage('--limit: must be at least 1');
  return number;
}

/** The newest `limit` that the conditions pick. */
async function find(
  client: HubClient,
  where: string | undefined,
  limit: number,
): Promise<{ samples: SampleView[]; hasMore: boolean }> {
  const found: SampleView[] = [];
  let cursor: string | undefined;
  do {
    const query = new URLSearchParams({ limit: String(Math.min(LIMIT_PAGE, limit - found.length)) });
    if (where !== undefined) query.set('where', where);
    if (cursor !== undefined) query.set('cursor', cursor);
    const page = await client.get(`/api/v1/samples?${query.toString()}`, pageOf(sampleSchema));
    found.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined && found.length < limit);
  return { samples: found, hasMore: cursor !== undefined };
}

async function one(client: HubClient, text: string): Promise<SampleView> {
  const hex = text.replace(/^sha256:/, '');
  if (!/^[0-9a-f]{4,64}$/.test(hex)) {
    throw wrongUsage(`${text} is no digest of a sample; at least 4 of its digits are needed`);
  }
  const [sample, other] = (await find(client, `id=sha256:${hex}*`, 2)).samples;
  if (sample === undefined) throw new CliError(`no sample ${text}`);
  if (other !== undefined) throw new CliError(`several samples begin with ${text}; give more digits`);
  return sample;
}

async function eachSample(client: HubClient, ids: readonly string[], verb: string): Promise<SampleView[]> {
  const changed: SampleView[] = [];
  for (const id of ids) changed.push(await client.post(`${pathOf(await one(client, id))}/${verb}`, {}, sampleSchema));
  return changed;
}

/** In parts, since the hub takes only so long for one. */
async function proposeWhere(
  client: HubClient,
  where: string,
  limit: number,
): Promise<{ proposed: number; failed: number; failures: { id: string; reason: string }[] }> {
  const done = { proposed: 0, failed: 0, failures: [] as { id: string; reason: string }[] };
  for (;;) {
    const left = limit - done.proposed - done.failed;
    const query = new URLSearchParams({ where, limit: String(Math.min(LIMIT_PAGE, left)) });
    const part = await client.post(`/api/v1/samples/propose?${query.toString()}`, {}, proposedSchema);
    done.proposed += part.proposed;
    done.failed += part.failed;
    done.failures.push(...part.failures);
    // One that fails would be asked for again: so a part with failures is the last.
    if (!part.more || part.failed > 0 || part.proposed === 0 || done.proposed + done.failed >= limit) return done;
  }
}

async function savePicture(client: HubClient, sample: SampleView, file: string): Promise<void> {
  const answer = await client.raw('GET', `${pathOf(sample)}/picture`);
  if (answer.status !== 200) throw problemOf(answer);
  try {
    await fs.writeFile(file, answer.body);
  } catch (cause) {
    throw new CliError(`${file} can't be written: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

function pathOf({ id }: SampleView): string {
  return `/api/v1/samples/${hexOf(id)}`;
}

function shortId(id: string): string {
  return hexOf(id).slice(0, SHOWN_DIGITS);
}

function printChanged(context: CliContext, samples: readonly SampleView[], { json }: Options): void {
  context.stdout.write(json === true ? jsonText(samples) : samplesText(samples));
}

function samplesText(samples: readonly SampleView[]): string {
  const head = ['SAMPLE', 'MODEL', 'STATE', 'LABEL', 'ANSWER', 'CONFIDENCE', 'PROPOSAL', 'FROM', 'CAPTURED'];
  return tableText(
    head,
    samples.map((sample) => [
      shortId(sample.id),
      modelText(sample),
      sample.state,
      sample.label ?? '-',
      sample.answer ?? '-',
      confidenceText(sample.confidence),
      sample.proposal?.label ?? '-',
      originText(sample),
      sample.batch === undefined ? sample.capturedAt : '-', // a file says nothing of when
    ]),
  );
}

function sampleText(sample: SampleView): string {
  const { proposal } = sample;
  const facts = [
    sample.id,
    `${modelText(sample)}, ${sample.sizeBytes} bytes, ${timesText(sample)}`,
    `from ${originText(sample)}: ${sample.reason}`,
    `answer ${sample.answer ?? 'unknown'}, confidence ${confidenceText(sample.confidence)}`,
    `${sample.state}${sample.label === undefined ? '' : `: ${sample.label} (${sample.labelSource ?? 'unknown'})`}`,
    proposal === undefined
      ? 'no proposal'
      : `proposal ${proposal.label}, confidence ${confidenceText(proposal.confidence)}, of version ${proposal.version}`,
    `inputs ${sample.inputs.map(({ name, datatype, shape }) => `${name} ${datatype} [${shape.join(', ')}]`).join(', ')}`,
    `variant ${sample.variantDigest ?? 'unknown'}`,
  ];
  return `${facts.join('\n')}\n`;
}

function timesText({ batch, capturedAt, receivedAt }: SampleView): string {
  return batch === undefined ? `captured ${capturedAt}, received ${receivedAt}` : `imported ${receivedAt}`;
}

function modelText({ model, version }: SampleView): string {
  return version === undefined ? model : `${model}@${version}`;
}

function confidenceText(confidence: number | undefined): string {
  return confidence === undefined ? '-' : confidence.toFixed(3);
}

function originText({ deviceName, device, batch }: SampleView): string {
  return deviceName ?? device ?? batch ?? '-';
}
