// How a provider and the share of the nodes that it leaves to the CPU read for people, on the device, at the hub and in the console.

/** For people: `webgpu, 12% of the nodes on the CPU`, `cpu, 2 threads a run`. */
export function providerText({
  provider,
  cpuNodesRatio,
  threads,
}: {
  provider: string;
  cpuNodesRatio?: number | undefined;
  threads?: number | undefined;
}): string {
  const partly =
    provider === 'cpu' || cpuNodesRatio === undefined ? '' : `, ${percent(cpuNodesRatio)} of the nodes on the CPU`;
  const each = threads === undefined ? '' : `, ${threads} ${threads === 1 ? 'thread' : 'threads'} a run`;
  return `${provider}${partly}${each}`;
}

/** A ratio of 0..1 as `11.8%`. */
export function percent(ratio: number): string {
  return `${Number((ratio * 100).toFixed(1))}%`;
}
