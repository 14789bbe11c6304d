// `tidegate audit`: who changed what, newest first.
import { auditRowSchema, pageOf } from '@tidegate/shared/wire/admin-api.js';
import { Command } from 'commander';
import type { CliContext } from './context.js';
import { whole } from './durations.js';
import { jsonText, tableText } from './output.js';

export function auditCommand(context: CliContext): Command {
  const list = new Command('list')
    .description('the newest entries')
    .option('--subject <SUBJECT>', 'only what begins so: ocr-line, ocr-line@3')
    .option('--limit <N>', 'how many, at most 500', '50')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate audit list --subject ocr-line')
    .action(async (options: { subject?: string; limit: string; json?: true }) => {
      const subject = options.subject === undefined ? '' : `&subject=${encodeURIComponent(options.subject)}`;
      const path = `/api/v1/audit?limit=${whole(options.limit, '--limit')}${subject}`;
      const { items } = await (await context.client()).get(path, pageOf(auditRowSchema));
      const rows = items.map((row) => [row.at, row.actor, row.action, row.subject, JSON.stringify(row.detail)]);
      context.stdout.write(
        options.json === true ? jsonText(items) : tableText(['AT', 'WHO', 'DID', 'TO', 'DETAIL'], rows),
      );
    });
  return new Command('audit').description('the audit log').addCommand(list);
}
