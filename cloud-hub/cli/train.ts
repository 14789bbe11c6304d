// `tidegate train`: asks the hub for a training job and follows it to the version that it makes.
import { bytesText } from '@tidegate/shared/system/settings.js';
import { jobSchema, trainingParametersSchema } from '@tidegate/shared/wire/training-api.js';
import { Command, Option } from 'commander';
import { wrongUsage } from './cli-error.js';
import type { CliContext } from './context.js';
import { share, whole } from './durations.js';
import { followJob, requireSuccess } from './follow-job.js';
import { outcomeText } from './job-text.js';
import { jsonText } from './output.js';

/** What the hub takes where an option is left out. */
const DEFAULTS = trainingParametersSchema.parse({});

interface TrainOptions {
  readonly model: string;
  readonly parent: string;
  readonly dataset: readonly string[];
  readonly slice?: readonly string[];
  readonly graph?: string;
  readonly label?: string;
  readonly epochs?: string;
  readonly maxSteps?: string;
  readonly batchSize?: string;
  readonly accumulate?: string;
  readonly optimizer?: string;
  readonly learningRate?: string;
  readonly momentum?: string;
  readonly weightDecay?: string;
  readonly schedule?: string;
  readonly warmupSteps?: string;
  readonly clipNorm?: string;
  readonly loss?: string;
  readonly freeze?: readonly string[];
  readonly rate?: readonly string[];
  readonly fromScratch?: true;
  readonly seed?: string;
  readonly priority?: string;
  readonly threads?: string;
  readonly memoryLimit?: string;
  readonly maxDrop?: string;
  readonly detach?: true;
  readonly json?: true;
}

const EXAMPLES = `
Example:
  tidegate train --model digits --parent 1 --dataset hard@1 --slice hard-test@1
  tidegate train --model digits --parent 1 --dataset hard@1 --freeze 'conv*' --rate 'fc.*=0.1' --epochs 5
  tidegate train --model digits --parent 1 --dataset mnist --from-scratch --detach`;

export function trainCommand(context: CliContext): Command {
  return withParameters(
    new Command('train')
      .description('train a version on datasets; what comes of it is evaluated, and published as a new version')
      .requiredOption('--model <MODEL>', 'which model')
      .requiredOption('--parent <VERSION>', 'version to start from: a number, a label or the beginning of a digest')
      .requiredOption('--dataset <NAME@VERSION...>', 'what to train on; without a version the newest; may be repeated')
      .option('--slice <NAME@VERSION...>', 'sets on which the result must not be worse; may be repeated')
      .option('--max-drop <SHARE>', 'largest fall of the metric, on any set, with which it may roll out (default: 1%)')
      .option('--label <LABEL>', 'label of the new version')
      .option('--graph <FILE>', 'which graph of the package, where there are several'),
  )
    .option('--priority <N>', '-100 to 100; a larger one takes the place of a smaller one that runs (default: 0)')
    .option('--threads <N>', 'default: half of the hub’s cores')
    .option('--memory-limit <BYTES>', 'resident memory at which it is ended: 512MiB, 4GiB (default: the hub’s)')
    .option('--detach', 'print the job’s id and don’t follow it')
    .option('--json', 'print the job as JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: TrainOptions) => {
      const client = await context.client();
      const started = await client.postOnce('/api/v1/jobs', trainRequest(options), jobSchema);
      if (options.detach === true) {
        context.stdout.write(options.json === true ? jsonText(started) : `${started.id}\n`);
        return;
      }
      const ended = await followJob(client, started, context);
      context.stdout.write(options.json === true ? jsonText(ended) : outcomeText(ended));
      requireSuccess(ended);
    });
}

function withParameters(command: Command): Command {
  const d = DEFAULTS;
  return command
    .option('--epochs <N>', `how often every sample is seen (default: ${d.epochs})`)
    .option('--max-steps <N>', 'ends earlier than the epochs')
    .option('--batch-size <N>', `samples of one batch (default: ${d.batchSize})`)
    .option('--accumulate <N>', `batches whose gradients are added up before an update (default: ${d.accumulate})`)
    .addOption(new Option('--optimizer <NAME>', `default: ${d.optimizer}`).choices(['adamw', 'sgd']))
    .option('--learning-rate <RATE>', `default: ${d.learningRate}`)
    .option('--momentum <SHARE>', `of sgd (default: ${d.momentum})`)
    .option('--weight-decay <SHARE>', `default: ${d.weightDecay}`)
    .addOption(
      new Option('--schedule <NAME>', `how the rate falls (default: ${d.schedule})`).choices([
        'constant',
        'linear',
        'cosine',
      ]),
    )
    .option('--warmup-steps <N>', `updates in which the rate rises to its value (default: ${d.warmupSteps})`)
    .option('--clip-norm <NORM>', `largest norm of the gradients; 0 = not clipped (default: ${d.clipNorm})`)
    .addOption(new Option('--loss <NAME>', `default: ${d.loss}`).choices(['cross-entropy', 'mse']))
    .option('--freeze <PATTERN...>', 'parameters that stay as they are: conv*; may be repeated')
    .option('--rate <PATTERN=FACTOR...>', 'multiplies the rate of parameters: fc.*=0.1; may be repeated')
    .option('--from-scratch', 'begin from random weights')
    .option('--seed <N>', `of the order and of random weights (default: ${d.seed})`);
}

/** The body of POST /api/v1/jobs; what isn't said keeps the hub's default. */
export function trainRequest(options: TrainOptions): Record<string, unknown> {
  const parameters = {
    epochs: optional(whole, options.epochs, '--epochs'),
    maxSteps: optional(whole, options.maxSteps, '--max-steps'),
    batchSize: optional(whole, options.batchSize, '--batch-size'),
    accumulate: optional(whole, options.accumulate, '--accumulate'),
    optimizer: options.optimizer,
    learningRate: optional(decimal, options.learningRate, '--learning-rate'),
    momentum: optional(decimal, options.momentum, '--momentum'),
    weightDecay: optional(decimal, options.weightDecay, '--weight-decay'),
    schedule: options.schedule,
    warmupSteps: optional(whole, options.warmupSteps, '--warmup-steps'),
    clipNorm: optional(decimal, options.clipNorm, '--clip-norm'),
    loss: options.loss,
    freeze: options.freeze,
    rates: options.rate?.map(rateOf),
    fromScratch: options.fromScratch,
    seed: optional(whole, options.seed, '--seed'),
  };
  return {
    model: options.model,
    parent: options.parent,
    datasets: options.dataset,
    slices: options.slice,
    graph: options.graph,
    label: options.label,
    parameters,
    priority: optional(signed, options.priority, '--priority'),
    threads: optional(whole, options.threads, '--threads'),
    memoryLimitBytes: optional(bytes, options.memoryLimit, '--memory-limit'),
    maxDrop: optional(share, options.maxDrop, '--max-drop'),
  };
}

function optional<T>(read: (text: string, flag: string) => T, text: string | undefined, flag: string): T | undefined {
  return text === undefined ? undefined : read(text, flag);
}

function decimal(text: string, flag: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw wrongUsage(`${flag}: ${JSON.stringify(text)} is no number`);
  return value;
}

function signed(text: string, flag: string): number {
  return text.startsWith('-') ? -whole(text.slice(1), flag) : whole(text, flag);
}

function bytes(text: string, flag: string): number {
  const parsed = bytesText.safeParse(text);
  if (!parsed.success) throw wrongUsage(`${flag}: ${JSON.stringify(text)} is no size; write e.g. 512MiB or 4GiB`);
  return parsed.data;
}

/** The last `=` parts them: a parameter's name may hold one. */
function rateOf(text: string): { pattern: string; factor: number } {
  const at = text.lastIndexOf('=');
  if (at <= 0) throw wrongUsage(`--rate: ${JSON.stringify(text)} is not PATTERN=FACTOR; write e.g. 'fc.*=0.1'`);
  return { pattern: text.slice(0, at), factor: decimal(text.slice(at + 1), '--rate') };
}
