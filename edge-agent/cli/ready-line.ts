// What tells whoever started the agent that it answers, and where.

export function readyLine({ http, grpc }: { readonly http: string; readonly grpc: string | undefined }): string {
  return `ready http=${http}${grpc === undefined ? '' : ` grpc=${grpc}`}\n`;
}
