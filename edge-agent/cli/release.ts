// `tidegate-agent release MODEL`: takes a model out of the quarantine that its executors' deaths put it into.
import type { Command } from 'commander';
import { z } from 'zod';
import { ADDRESS_SETTINGS, askAgent } from './agent-address.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import type { Verb } from './verb.js';

const answerSchema = z.object({ released: z.boolean() });

const EXAMPLE = `
A model whose executors ended 3 times within 10 minutes answers nothing on this device until it is released,
another version of it is activated, or the agent starts anew. tidegate-agent status says why.

Example:
  tidegate-agent release digits`;

export const releaseVerb: Verb = (program, context) => {
  const command = program
    .command('release')
    .description('Let a model answer again that was put into quarantine')
    .argument('<MODEL>', 'a model of the agent that runs here')
    .addHelpText('after', EXAMPLE);
  addSettingsOptions(command, ADDRESS_SETTINGS).action(async (model: string, _options: unknown, self: Command) => {
    const path = `/agent/v1/models/${encodeURIComponent(model)}/release`;
    const { released } = answerSchema.parse(await askAgent(settingsOf(self, ADDRESS_SETTINGS, context), path, 'POST'));
    context.stdout.write(released ? `${model} is released\n` : `${model} is in no quarantine\n`);
  });
};
