/** Pages in a headless Chromium, driven over its debugging pipe. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

const programs = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/opt/google/chrome/chrome'];

/** Where Chromium is; undefined when it is not installed. */
export const chromium = programs.find((path) => existsSync(path));

export interface Page {
  /** The value of an expression on the page; promises are awaited. */
  evaluate(expression: string): Promise<unknown>;
  /** Asks every 50 ms until the expression is true. */
  waitFor(expression: string): Promise<void>;
  /** Errors that nothing on the page caught. */
  readonly errors: readonly string[];
}

/** Opens a page with WebGPU on SwiftShader; `close` ends the browser. */
export async function openPage(url: string): Promise<Page & { close(): Promise<void> }> {
  const profile = await mkdtemp(join(tmpdir(), 'flux2c-chromium-'));
  const arguments_ = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu-sandbox',
    '--enable-unsafe-webgpu',
    '--use-webgpu-adapter=swiftshader',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--remote-debugging-pipe',
    `--user-data-dir=${profile}`,
    'about:blank',
  ];
  const browser = spawn(chromium as string, arguments_, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const connection = new Connection(browser);
  const { targetId } = await connection.send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await connection.send('Target.attachToTarget', { targetId, flatten: true });
  const call = (method: string, parameters: object = {}): Promise<Record<string, unknown>> =>
    connection.send(method, parameters, sessionId as string);
  await call('Runtime.enable');
  await call('Page.enable');
  await call('Page.navigate', { url });
  const evaluate = async (expression: string): Promise<unknown> => {
    const answer = await call('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (answer['exceptionDetails'] !== undefined) throw new Error(JSON.stringify(answer['exceptionDetails']));
    return (answer['result'] as { readonly value?: unknown }).value;
  };
  return {
    evaluate,
    errors: connection.errors,
    waitFor: async (expression) => {
      while ((await evaluate(expression)) !== true) await new Promise((resolve) => setTimeout(resolve, 50));
    },
    close: async () => {
      const ended = new Promise((resolve) => browser.once('exit', resolve));
      connection.send('Browser.close', {}).catch(() => undefined);
      await ended;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly exceptionDetails?: { readonly exception?: { readonly description?: string } } };
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** The DevTools protocol over file descriptors 3 and 4: JSON messages that end in a zero byte. */
class Connection {
  readonly errors: string[] = [];
  private readonly waiting = new Map<number, { resolve(result: Record<string, unknown>): void; reject(error: Error): void }>(); // prettier-ignore
  private readonly output: Writable;
  private last = 0;

  constructor(browser: ChildProcess) {
    this.output = browser.stdio[3] as Writable;
    const input = browser.stdio[4] as Readable;
    let rest = '';
    input.setEncoding('utf8');
    input.on('data', (text: string) => {
      const messages = `${rest}${text}`.split('\0');
      rest = messages.pop() ?? '';
      for (const message of messages) this.receive(JSON.parse(message) as Message);
    });
    browser.once('exit', (code) => {
      for (const { reject } of this.waiting.values()) reject(new Error(`Chromium ended with code ${code}`));
    });
  }

  send(method: string, parameters: object, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.last;
    this.output.write(`${JSON.stringify({ id, method, params: parameters, ...(sessionId && { sessionId }) })}\0`);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  private receive({ id, method, params, result, error }: Message): void {
    if (method === 'Runtime.exceptionThrown') {
      this.errors.push(params?.exceptionDetails?.exception?.description ?? JSON.stringify(params));
    }
    const answer = id === undefined ? undefined : this.waiting.get(id);
    if (id === undefined || answer === undefined) return;
    this.waiting.delete(id);
    if (error === undefined) answer.resolve(result ?? {});
    else answer.reject(new Error(error.message));
  }
}
