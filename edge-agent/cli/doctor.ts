// `tidegate-agent doctor`: will an agent work on this device? Each check does the thing itself, not something like it: the
// inference runs through the same executor, the port is listened on, the hub is called with the device's certificate. What is
// not well comes with how to mend it. Ends with 1 where a check failed.
import type { Command } from 'commander';
import { z } from 'zod';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import type { Settings } from '../config/settings-table.js';
import type { AgentAnswer } from '../doctor/check-ports.js';
import { examine } from '../doctor/examine.js';
import { messageOf, type Finding } from '../doctor/finding.js';
import { UNLOADED } from '../router/model-control.js';
import { ADDRESS_SETTINGS, askAgent } from './agent-address.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import type { Verb } from './verb.js';

const DOCTOR_SETTINGS = [
  ...ADDRESS_SETTINGS,
  'grpcPort',
  'dataDir',
  'providers',
  'threads',
  'engine',
  'memoryBudget',
  'hub',
] as const;
const WORDS = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' } as const;

export const doctorVerb: Verb = (program, context) => {
  const command = program
    .command('doctor')
    .description('Check that an agent works on this device, and say how to mend what does not')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  tidegate-agent doctor --data-dir /var/lib/tidegate');
  addSettingsOptions(command, DOCTOR_SETTINGS).action(async (options: { json?: boolean }, self: Command) => {
    const findings = await examineHere(settingsOf(self, DOCTOR_SETTINGS, context));
    context.stdout.write(options.json === true ? `${JSON.stringify({ findings })}\n` : findings.map(line).join(''));
    const failed = findings.filter(({ level }) => level === 'fail');
    if (failed.length > 0) throw new Error(`${failed.length} check${failed.length === 1 ? '' : 's'} failed`);
  });
};

/** Of what an agent says of itself; one of an earlier release doesn't tell what it doesn't serve. */
const answerSchema = z.object({
  state: z.string(),
  version: z.string(),
  unloaded: z
    .array(z.object({ name: z.string(), reason: z.string() }))
    .default([])
    .transform((models) => models.filter(({ reason }) => reason !== UNLOADED)),
});

/** Of this device, by its settings. */
export function examineHere(settings: Settings): Promise<Finding[]> {
  return examine(settings, { files: systemFiles, clock: systemClock, askAgent: () => agentAnswer(settings) });
}

async function agentAnswer(settings: Settings): Promise<AgentAnswer> {
  try {
    const status = answerSchema.parse(await askAgent(settings, '/agent/v1/status'));
    return { answers: true, ...status };
  } catch (error) {
    return { answers: false, reason: messageOf(error) };
  }
}

function line({ check, level, found, mend }: Finding): string {
  return `${WORDS[level]} ${check}: ${found}\n${mend === undefined ? '' : `     mend: ${mend}\n`}`;
}
