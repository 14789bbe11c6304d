// `tidegate job`: training jobs that were asked for: list, look at one, follow, cancel.
import { pageOf } from '@tidegate/shared/wire/admin-api.js';
import { JOB_STATES, jobSchema } from '@tidegate/shared/wire/training-api.js';
import { Command, Option } from 'commander';
import type { CliContext } from './context.js';
import { followJob, requireSuccess } from './follow-job.js';
import { jobText, outcomeText, progressLine } from './job-text.js';
import { jsonText, tableText } from './output.js';

export function jobCommand(context: CliContext): Command {
  return new Command('job')
    .description('training jobs')
    .addCommand(listCommand(context))
    .addCommand(showCommand(context))
    .addCommand(followCommand(context))
    .addCommand(cancelCommand(context));
}

const pathOf = (id: string): string => `/api/v1/jobs/${encodeURIComponent(id)}`;

function listCommand(context: CliContext): Command {
  return new Command('list')
    .description('all jobs, newest first')
    .addOption(new Option('--state <STATE>', 'only those in this state').choices([...JOB_STATES]))
    .option('--model <MODEL>', 'only those of this model')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate job list --state running')
    .action(async (options: { state?: string; model?: string; json?: true }) => {
      const query = new URLSearchParams({
        limit: '100',
        ...(options.state === undefined ? {} : { state: options.state }),
        ...(options.model === undefined ? {} : { model: options.model }),
      });
      const jobs = await (await context.client()).list(`/api/v1/jobs?${query}`, pageOf(jobSchema));
      const head = ['JOB', 'PARENT', 'DATASETS', 'STATE', 'VERSION', 'CREATED', 'DETAIL'];
      const rows = jobs.map((job) => [
        job.id,
        `${job.model}@${job.parent}`,
        job.datasets.map(({ spec }) => spec).join(','),
        job.state,
        job.version ?? '-',
        job.createdAt,
        job.state === 'running' ? progressLine(job) : job.detail,
      ]);
      context.stdout.write(options.json === true ? jsonText(jobs) : tableText(head, rows));
    });
}

function showCommand(context: CliContext): Command {
  return new Command('show')
    .description('one job: parameters, progress, evaluation')
    .argument('<JOB>', 'its id')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate job show j1abc')
    .action(async (id: string, options: { json?: true }) => {
      const job = await (await context.client()).get(pathOf(id), jobSchema);
      context.stdout.write(options.json === true ? jsonText(job) : jobText(job));
    });
}

function followCommand(context: CliContext): Command {
  return new Command('follow')
    .description('follow a job to its end; exit code 1 unless it makes a version that may roll out')
    .argument('<JOB>', 'its id')
    .option('--json', 'print the job as JSON')
    .addHelpText('after', '\nExample:\n  tidegate job follow j1abc')
    .action(async (id: string, options: { json?: true }) => {
      const client = await context.client();
      const ended = await followJob(client, await client.get(pathOf(id), jobSchema), context);
      context.stdout.write(options.json === true ? jsonText(ended) : outcomeText(ended));
      requireSuccess(ended);
    });
}

function cancelCommand(context: CliContext): Command {
  return new Command('cancel')
    .description('end a job that is queued or runs')
    .argument('<JOB>', 'its id')
    .option('--json', 'print the job as JSON')
    .addHelpText('after', '\nExample:\n  tidegate job cancel j1abc')
    .action(async (id: string, options: { json?: true }) => {
      const job = await (await context.client()).post(`${pathOf(id)}/cancel`, undefined, jobSchema);
      context.stdout.write(options.json === true ? jsonText(job) : `${job.id} ${job.detail ?? job.state}\n`);
    });
}
