/** A contestant's process, seen from the driver. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Asked, Replies, Reply, RequestFor } from './protocol.js';

/** A contestant that fails is reported and left out; the comparison goes on. */
export class ContestantFailure extends Error {}

/** Longest wait for one reply, in seconds: drivers on the processor take a minute for some programs. */
const longestWait = 300;
/** Seconds to free what it has, which then goes with the process. */
const farewell = 5;
const keptOutput = 2000;

export interface StackProcessOptions {
  readonly nodeFlags?: readonly string[];
  /** Added to the driver's own. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Answers the requests. */
  readonly program?: string;
  /** Seconds for all replies together; default: as many as it takes, but not more than some minutes for one. */
  readonly seconds?: number | undefined;
}

export class StackProcess {
  private output = '';
  private ended: string | undefined;

  private constructor(
    private readonly child: ChildProcess,
    private secondsLeft: number,
  ) {
    const keep = (text: unknown): void => {
      this.output = `${this.output}${String(text)}`.slice(-keptOutput);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.once('exit', (code, signal) => (this.ended = `it ended with ${signal ?? `code ${code}`}`));
    child.once('error', (error) => (this.ended = error.message));
  }

  static start({
    nodeFlags = [],
    environment = {},
    program = fileURLToPath(new URL('serve.js', import.meta.url)),
    seconds = Infinity,
  }: StackProcessOptions = {}): StackProcess {
    const child = fork(program, [], {
      execArgv: [...nodeFlags],
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    return new StackProcess(child, seconds);
  }

  /** One at a time. Throws a `ContestantFailure` for whatever goes wrong there. */
  ask<A extends Asked>(request: RequestFor<A>): Promise<Replies[A]> {
    const { child } = this;
    const wait = Math.min(request.ask === 'quit' ? farewell : longestWait, Math.max(1, this.secondsLeft));
    const start = performance.now();
    return new Promise((resolve, reject) => {
      const fail = (what: string): void => reject(new ContestantFailure(what));
      const settle = (): void => {
        this.secondsLeft -= (performance.now() - start) / 1000;
        clearTimeout(timer);
        child.off('message', onReply);
        child.off('exit', onEnd);
      };
      const onReply = (reply: Reply): void => {
        settle();
        if ('failed' in reply) fail(reply.failed);
        else resolve(reply.done as Replies[A]);
      };
      const onEnd = (): void => {
        settle();
        fail([this.ended ?? 'it ended', this.output.trim()].filter((part) => part !== '').join(': '));
      };
      const timer = setTimeout(() => {
        settle();
        this.kill();
        fail(`no answer to ${request.ask} in ${Math.ceil(wait)} s`);
      }, wait * 1000);
      if (this.ended !== undefined) return onEnd();
      child.on('message', onReply);
      child.on('exit', onEnd);
      child.send(request);
    });
  }

  /** Ends the process; what cannot be freed any more goes with it. */
  async end(): Promise<void> {
    if (this.ended !== undefined) return;
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    await this.ask({ ask: 'quit' }).catch(() => undefined);
    this.kill();
    await gone;
  }

  private kill(): void {
    this.child.kill('SIGKILL');
  }
}
