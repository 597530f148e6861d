/** A causal attention block, checked against the exact reference. Run it with `node dist/examples/attention.js`. */
import { add, attention, graph, interpretFunction, linear, reshape, rmsNorm, transpose } from 'flux2c';
import { openDevice } from 'flux2c/node';
import { compile, tensor } from 'flux2c/runtime';

const [width, heads, headSize] = [128, 4, 32];
const g = graph('block');
const x = g.input('x', 'f32', ['batch', 'tokens', width]);
const matrix = (name: string) => g.weight(name, 'f32', [width, width]);
const normalized = rmsNorm(x, g.constant('f32', [width], 1), { eps: 1e-6 });
const project = (name: string) =>
  transpose(reshape(linear(normalized, matrix(name)), ['batch', 'tokens', heads, headSize]), [0, 2, 1, 3]);
const attended = attention(project('query'), project('key'), project('value'), { causal: true });
const joined = reshape(transpose(attended, [0, 2, 1, 3]), ['batch', 'tokens', width]);
g.output({ y: add(x, linear(joined, matrix('out'))) });

const fill = (shape: readonly number[], seed: number) =>
  tensor(
    'f32',
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(seed + i * i) / 8),
  );
const weights = {
  query: fill([width, width], 0),
  key: fill([width, width], 1),
  value: fill([width, width], 2),
  out: fill([width, width], 3),
};
const input = fill([2, 10, width], 4);

const module = g.build();
const device = await openDevice({ onNotice: console.error });
const program = compile(module, device);
for (const { label } of program.launches('block')) console.log(label);
const model = await program.load(device, { weights });
const y = (await model.run('block', { x: input })).get('y', 'f32');
await model.destroy();
await device.destroy();

// The same graph by its definition, in doubles.
const wide = (of: typeof input) => ({ ...of, data: Float64Array.from(of.data) });
const read = (name: string) => wide(weights[name as keyof typeof weights]);
const exact = interpretFunction(module, 'block', new Map([['x', wide(input)]]), read, { precision: 'f64' }).get('y')!;
const worst = exact.data.reduce((most, value, i) => Math.max(most, Math.abs(value - y.data[i]!)), 0);
console.log(`y is f32[${y.shape.join(', ')}], off by at most ${worst.toExponential(1)}`);
