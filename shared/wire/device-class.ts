// Device class: what decides which variant a device may run (decisions.md).
import { z } from 'zod';

export const deviceClassSchema = z.strictObject({
  architecture: z.string(), // process.arch
  /** Instruction set flags that matter to ONNX Runtime's kernels: avx2, avx512f, avx512_vnni, avx_vnni, asimddp ... sorted. */
  instructions: z.array(z.string()),
  provider: z.string(),
  cores: z.int().min(1),
  /** Memory rounded down to a power of two, GiB. */
  memoryTierGiB: z.number().min(0),
});
export type DeviceClass = z.infer<typeof deviceClassSchema>;
