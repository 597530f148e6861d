/** Serves the repository to browsers as a build would look like: `dist/X.js` is made of `X.ts` when it is asked for. */
import { createServer, type Server } from 'node:http';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('..', import.meta.url));

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
};

export interface SourceServer {
  readonly address: string;
  /** Paths that were asked for and are not there. */
  readonly missing: readonly string[];
  close(): void;
}

/** On a free port of this machine. */
export async function serveSources(): Promise<SourceServer> {
  const missing: string[] = [];
  const server: Server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    void readServed(normalize(pathname)).then((content) => {
      if (content === undefined) missing.push(pathname);
      const type = types[extname(pathname)] ?? (pathname.endsWith('/') ? 'text/html' : 'application/octet-stream');
      response.writeHead(content === undefined ? 404 : 200, { 'content-type': type });
      response.end(content);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { address: `http://localhost:${port}`, missing, close: () => server.close() };
}

async function readServed(path: string): Promise<string | Buffer | undefined> {
  const source = join(root, path.replace(/^\/dist\//, '/').replace(/\.js$/, '.ts'));
  if (path.startsWith('/dist/') && existsSync(source)) {
    const compilerOptions = {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ES2022,
      verbatimModuleSyntax: true,
    };
    return ts.transpileModule(await readFile(source, 'utf8'), { compilerOptions }).outputText;
  }
  return readFile(join(root, path.endsWith('/') ? `${path}index.html` : path)).catch(() => undefined);
}
