// How a provider and the share of the nodes that it leaves to the CPU read for people, on the device, at the hub and in the console.

/** For people: `webgpu, 12% of the nodes on the CPU`. */
export function providerText({
  provider,
  cpuNodesRatio,
}: {
  provider: string;
  cpuNodesRatio?: number | undefined;
}): string {
  if (provider === 'cpu' || cpuNodesRatio === undefined) return provider;
  return `${provider}, ${percent(cpuNodesRatio)} of the nodes on the CPU`;
}

/** A ratio of 0..1 as `11.8%`. */
export function percent(ratio: number): string {
  return `${Number((ratio * 100).toFixed(1))}%`;
}
