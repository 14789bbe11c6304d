// What a package allows to leave a device: `privacy` of model.yaml, the same in the desired document, so that it holds from the
// moment the device has heard of the version. On the device `edge-agent/privacy` decides by it, and nothing else does; the hub's intake of
// samples holds what comes in against it once more.
import { z } from 'zod';

export const privacySchema = z
  .strictObject({
    /** `local`: no input of this model ever leaves the device, whatever a caller says; it then can't be captured either. */
    fallback: z.enum(['local', 'hub']).default('hub'),
    /** May inputs be kept and sent as samples to learn from? An operator's data is asked for, never assumed. */
    capture: z.enum(['none', 'hub']).default('none'),
    /** `figures`: counts, latencies and confidences of this model's answers go to the hub; nothing of their content does. */
    telemetry: z.enum(['none', 'figures']).default('figures'),
    /** `hub`: the devices of one hub share answers; a hash of the input and the answer leave the device, the input doesn't. */
    answers: z.enum(['none', 'hub']).default('none'),
  })
  .refine(({ fallback, answers }) => fallback === 'hub' || answers === 'none', {
    path: ['answers'],
    message: 'contradicts fallback: local, which keeps every input on the device; its hash and answer tell of it',
  })
  .refine(({ fallback, capture }) => fallback === 'hub' || capture === 'none', {
    path: ['capture'],
    message: 'contradicts fallback: local, which keeps every input on the device',
  });
export type Privacy = z.infer<typeof privacySchema>;
