/** `flux2c tune`: looks for faster schedules on this device and keeps them. */
import { Command, Option } from 'commander';
import { writeFileAtomically } from '../frontend/checkpoint/node/write-file.js';
import type { NetworkName } from '../models/flux2/networks.js';
import { type VariantName, variants } from '../models/flux2/variants.js';
import type { Device } from '../runtime/device.js';
import { identifyAdapter } from '../runtime/schedules/adapter.js';
import { openScheduleFolder } from '../runtime/schedules/node/schedule-folder.js';
import { encodeTable, type ScheduleTable } from '../runtime/schedules/schedule-table.js';
import { writeTable } from '../runtime/schedules/schedule-store.js';
import { type KernelTuning, tuneFunction } from '../runtime/tune/tune-function.js';
import { chooseFunctions } from './choose-functions.js';
import type { CliContext } from './context.js';
import { describeSchedule } from './describe-schedule.js';
import { formatTable } from './inspect/format.js';
import { bindSizesOf, resolveSizes, type SizeOptions } from './inspect/sizes.js';
import { type InspectSubject, withSubject } from './inspect/subject.js';
import { addComponentOptions, addDeviceOptions, addReportOptions, collect, type ComponentOptions, contradiction, type DeviceOptions, integerOf, type ReportOptions } from './options.js'; // prettier-ignore
import { createProgressLine, type ProgressLine } from './progress-line.js';
import { VERSION } from './version.js';

interface TuneOptions extends DeviceOptions, ComponentOptions, ReportOptions, SizeOptions {
  readonly config?: VariantName;
  readonly component?: readonly string[];
  readonly seconds: number;
  readonly output?: string;
}

const help = `
What is found is kept for this device in the user's folder for caches (FLUX2C_CACHE) and taken from there by generate, run, bench,
inspect and compile. Ctrl-C ends the search and keeps what was found.

Examples:
  $ flux2c tune --seconds 120
  $ flux2c tune --adapter lavapipe --component denoise -o lavapipe.json
  $ flux2c generate "a green star" --adapter lavapipe --schedules lavapipe.json
  $ flux2c tune --config klein-4b --width 1024 --height 1024 --seconds 1800`;

export function tuneCommand(context: CliContext): Command {
  const command = new Command('tune')
    .description('look for faster schedules of the kernels on this device, and keep them')
    .argument('[model]', 'a model (default: the embedded flux2-shapes)')
    .addOption(new Option('--config <name>', 'a released model without its weights').choices(Object.keys(variants)))
    .option('--component <name>', 'only this function, may be repeated (default: those that make a picture)', collect)
    .option('--seconds <number>', 'time for the search', integerOf('--seconds', 1, 1_000_000), 300)
    .option('--width <pixels>', 'multiple of 16', integerOf('--width', 16))
    .option('--height <pixels>', 'multiple of 16', integerOf('--height', 16))
    .option('--steps <number>', 'denoising steps', integerOf('--steps', 2, 1000))
    .option('--references <number>', 'reference pictures, of the same size', integerOf('--references', 0, 10))
    .option('--text-tokens <number>', 'tokens of the prompt', integerOf('--text-tokens', 1, 4096))
    .option('-o, --output <file>', 'write what was found there, too')
    .addHelpText('after', help);
  addComponentOptions(addDeviceOptions(addReportOptions(command, 'what was found and tried')));
  return command.action((model: string | undefined, options: TuneOptions) => tune(model, options, context));
}

async function tune(model: string | undefined, options: TuneOptions, context: CliContext): Promise<void> {
  if (model !== undefined && options.config !== undefined) {
    throw contradiction('--config takes the place of a model', 'Leave out one of the two.');
  }
  const line = createProgressLine(context.stderr, options.quiet === true);
  const choice = { ...options, ...(model !== undefined && { model }) };
  const device = await context.openDevice(choice, (sentence) => line.notice(sentence));
  try {
    const targets = [{ target: device.target, architectures: [] }];
    const request = { ...options, targets, device, ...(model !== undefined && { model }) };
    await withSubject(request, async (subject) => {
      const tunings: KernelTuning[] = [];
      let kept: string | undefined;
      try {
        await tuneAll(subject, options, device, context, { tunings, line });
      } finally {
        // What a device found before it failed is as good.
        if (tunings.length > 0) kept = await keep(tunings, device, options, line);
      }
      line.finish();
      const report = { device: device.description, ...(kept !== undefined && { kept }), kernels: tunings };
      context.stdout.write(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : formatTunings(tunings));
    });
  } finally {
    line.finish();
    await device.destroy();
  }
}

/** Adds to the tunings, kernel by kernel. One that several functions have is tuned for the first of them. */
async function tuneAll(
  { prepare, ...subject }: InspectSubject,
  options: TuneOptions,
  device: Device,
  { signal }: CliContext,
  { tunings, line }: { readonly tunings: KernelTuning[]; readonly line: ProgressLine },
): Promise<void> {
  if (prepare === undefined) {
    throw contradiction('an artifact has kernels already', 'Tune the model that it was compiled from.');
  }
  const sizes = resolveSizes(options, subject.defaults);
  const names = chooseFunctions(subject.functions, options.component);
  const end = performance.now() + 1000 * options.seconds;
  for (const [place, name] of names.entries()) {
    if (signal.aborted) break;
    line.notice(`tuning ${name} on ${device.description}`);
    // The functions that are left share the time that is left.
    const shares = names.slice(place).reduce((sum, one) => sum + shareOf(one), 0);
    await tuneFunction({
      name,
      make: prepare(name),
      sizes: bindSizesOf(name, sizes),
      device,
      known: new Set(tunings.map(({ key }) => key)),
      milliseconds: ((end - performance.now()) * shareOf(name)) / shares,
      signal,
      onKernel: (one) => {
        tunings.push(one);
        line.notice(`  ${describeTuning(one)}`);
      },
    });
  }
}

/** Most of a picture's time goes into its steps. */
function shareOf(name: NetworkName): number {
  return name.startsWith('denoise') || name === 'transformer' ? 3 : 1;
}

/** Writes what was found, and says where it is kept. */
async function keep(
  tunings: readonly KernelTuning[],
  device: Device,
  { output }: TuneOptions,
  line: ProgressLine,
): Promise<string | undefined> {
  const found = tunings.flatMap(({ key, found }) => (found === undefined ? [] : [[key, found] as const]));
  const table: ScheduleTable = { compiler: VERSION, adapter: identifyAdapter(device), kernels: new Map(found) };
  if (output !== undefined) await writeFileAtomically(output, new TextEncoder().encode(encodeTable(table)));
  const store = openScheduleFolder();
  if (store === undefined) return undefined;
  const { kernels } = await writeTable(store, table, new Set(tunings.map(({ key }) => key)));
  line.notice(`${kernels.size} schedules for this device are in ${store.place}`);
  return store.place;
}

function describeTuning({ label, chosenMilliseconds, tried, found, wrong }: KernelTuning): string {
  const after = found === undefined ? '' : ` → ${formatMilliseconds(found.milliseconds.tuned)}`;
  const bugs =
    wrong.length === 0 ? '' : `; ${wrong.length} computed something else: please report ${JSON.stringify(wrong[0])}`;
  return `${label}: ${formatMilliseconds(chosenMilliseconds)}${after} ms, ${tried} tried${bugs}`;
}

function formatTunings(tunings: readonly KernelTuning[]): string {
  const rows = tunings.map(({ key, label, launches, chosenMilliseconds, tried, found, chosen }) => [
    key,
    label,
    `${launches}`,
    formatMilliseconds(chosenMilliseconds),
    found === undefined ? '' : formatMilliseconds(found.milliseconds.tuned),
    found === undefined ? '' : `${(found.milliseconds.chosen / found.milliseconds.tuned).toFixed(2)}`,
    `${tried}`,
    describeSchedule(found?.schedule ?? chosen),
  ]);
  const left = (title: string): { title: string; align: 'left' } => ({ title, align: 'left' });
  const right = (title: string): { title: string; align: 'right' } => ({ title, align: 'right' });
  const columns = [left('kernel'), left('makes'), right('launches'), right('ms'), right('tuned'), right('gain'), right('tried'), left('schedule')]; // prettier-ignore
  return `${formatTable(columns, rows).join('\n')}\n`;
}

function formatMilliseconds(milliseconds: number): string {
  return milliseconds >= 10 ? milliseconds.toFixed(1) : milliseconds.toPrecision(3);
}
