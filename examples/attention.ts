/** A causal attention block, checked against the exact reference. Run it with `node dist/examples/attention.js`. */
import { add, attention, graph, interpretFunction, linear, reshape, rmsNorm, transpose, type Tensor } from 'flux2c';
import { openDevice } from 'flux2c/node';
import { compile, tensor } from 'flux2c/runtime';

const [width, heads, headSize] = [128, 4, 32];
const g = graph('block');
const x = g.input('x', 'f32', ['batch', 'tokens', width]);
const normalized = rmsNorm(x, g.weight('norm', 'f32', [width]), { eps: 1e-6 });
const project = (name: string): Tensor<'f32', 4> => {
  const flat = linear(normalized, g.weight(name, 'f32', [width, width]));
  return transpose(reshape(flat, ['batch', 'tokens', heads, headSize]), [0, 2, 1, 3]);
};
const attended = attention(project('query'), project('key'), project('value'), { causal: true });
const joined = reshape(transpose(attended, [0, 2, 1, 3]), ['batch', 'tokens', width]);
g.output({ y: add(x, linear(joined, g.weight('out', 'f32', [width, width]))) });
const module = g.build();

const fill = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.fround(Math.sin(seed + 0.37 * i * i) / 8));
const matrices = ['query', 'key', 'value', 'out'].map((name, seed) => [name, [width, width], seed] as const);
const weights = Object.fromEntries(
  [['norm', [width], 4] as const, ...matrices].map(([name, shape, seed]) => {
    return [
      name,
      tensor(
        'f32',
        shape,
        fill(
          shape.reduce((a, b) => a * b),
          seed,
        ),
      ),
    ];
  }),
);
const input = tensor('f32', [2, 10, width], fill(2 * 10 * width, 5));

const device = await openDevice({ onNotice: console.error });
const program = compile(module, device);
console.log(
  program
    .launches('block')
    .map(({ label }) => label)
    .join('\n'),
);
const model = await program.load(device, { weights });
const y = (await model.run('block', { x: input })).get('y', 'f32');

// The same graph by its definition, in doubles.
const wide = ({ dtype, shape, data }: typeof input) => ({ dtype, shape, data: Float64Array.from(data) });
const exact = interpretFunction(module, 'block', new Map([['x', wide(input)]]), (name) => wide(weights[name]!), {
  precision: 'f64',
}).get('y')!;
const worst = exact.data.reduce((most, value, i) => Math.max(most, Math.abs(value - y.data[i]!)), 0);
console.log(`y is f32[${y.shape.join(', ')}], off by at most ${worst.toExponential(1)}`);
await model.destroy();
await device.destroy();
