import type { Dim, DimBinding } from '../dim.js';
import { Flux2cError, unreachable } from '../diagnostics.js';
import type { Axis, IndexCondition, TileExpression, TileKernel, TileStatement } from './tile.js';
import { walkTileExpressions } from './tile-walk.js';
import { TileEvaluator } from './tile-interpret-expressions.js';
import type { ElementArray, TileValues } from './tile-interpret-expressions.js';

/**
 * Runs a tile kernel over its whole grid and writes into `buffers`: what the kernel means, in doubles, whatever schedule it is
 * lowered with. Elements are numbers (not storage bits); what is stored is not rounded. `parameters` binds the kernel's
 * parameters, and `BUFFER_base` where a buffer's view does not start at element 0.
 *
 * Throws F2C270 for a buffer, F2C102 for a parameter without a value, and F2C271 for an element outside of its buffer.
 */
export function runTileKernel(
  kernel: TileKernel,
  buffers: Readonly<Record<string, ElementArray>>,
  parameters: DimBinding,
): void {
  new TileInterpreter(kernel, buffers, parameters).run();
}

class TileInterpreter {
  private readonly evaluator: TileEvaluator;
  private readonly axes: ReadonlyMap<string, Axis>;
  private readonly extents: ReadonlyMap<string, number>;
  /** First coordinate of the tile an axis is at; absent for a loop axis that no `for` walks. */
  private readonly bases = new Map<string, number>();
  private readonly body: () => void;

  constructor(
    private readonly kernel: TileKernel,
    buffers: Readonly<Record<string, ElementArray>>,
    parameters: DimBinding,
  ) {
    for (const { name } of kernel.buffers) {
      if (buffers[name] !== undefined) continue;
      throw new Flux2cError('F2C270', 'a buffer of the kernel is not bound', {
        where: [`kernel @${kernel.name}`, `buffer ${name}`],
      });
    }
    this.axes = new Map(kernel.axes.map((axis) => [axis.name, axis]));
    this.extents = new Map(kernel.axes.map(({ name, extent }) => [name, extent.evaluate(parameters)]));
    this.evaluator = new TileEvaluator(kernel, buffers, parameters);
    this.body = this.compileBlock(kernel.body);
  }

  run(): void {
    for (const { name, kind } of this.kernel.axes) if (kind === 'whole') this.enter(name, 0);
    this.overGrid(this.kernel.axes.filter(({ kind }) => kind.startsWith('grid')));
  }

  /** Every workgroup, axis by axis. */
  private overGrid(axes: readonly Axis[]): void {
    const [axis, ...rest] = axes;
    if (axis === undefined) return this.body();
    for (let base = 0; base < this.extentOf(axis.name); base += axis.tile) {
      this.enter(axis.name, base);
      this.overGrid(rest);
    }
  }

  private enter(axis: string, base: number): void {
    this.bases.set(axis, base);
    this.evaluator.enter(axis, base);
  }

  private axisOf(name: string): Axis {
    const axis = this.axes.get(name);
    if (axis === undefined) throw new Flux2cError('F2C250', `the kernel has no axis '${name}'`);
    return axis;
  }

  private extentOf(name: string): number {
    return this.extents.get(this.axisOf(name).name) as number;
  }

  /** Coordinates of the axis in the current tile, or all of them where no tile is open; none past the extent. */
  private range(name: string): readonly [start: number, end: number] {
    const extent = this.extentOf(name);
    const base = this.bases.get(name);
    return base === undefined ? [0, extent] : [base, Math.min(base + this.axisOf(name).tile, extent)];
  }

  /** Every coordinate of the axes, the last one fastest. */
  private overAxes(axes: readonly string[], visit: () => void): void {
    const [axis, ...rest] = axes;
    if (axis === undefined) {
      this.evaluator.beginElement();
      return visit();
    }
    const [start, end] = this.range(axis);
    for (let coordinate = start; coordinate < end; coordinate++) {
      this.evaluator.move(axis, coordinate);
      this.overAxes(rest, visit);
    }
    this.evaluator.move(axis, this.bases.get(axis) ?? 0);
  }

  private compileBlock(body: readonly TileStatement[]): () => void {
    const steps = body.map((statement) => this.compile(statement));
    return () => {
      for (const step of steps) step();
    };
  }

  private compile(statement: TileStatement): () => void {
    const { evaluator } = this;
    switch (statement.kind) {
      case 'tile': {
        const value = evaluator.expression(statement.value);
        const tile = evaluator.declare(
          statement.name,
          statement.axes.map((axis) => this.axisOf(axis)),
        );
        return () => {
          // Elements past an extent stay NaN: nothing may depend on them.
          tile.elements.fill(NaN);
          this.overAxes(tile.axes, () => evaluator.write(tile, value()));
        };
      }
      case 'assign': {
        const value = evaluator.expression(statement.value);
        const tile = evaluator.tile(statement.name);
        return () => this.overAxes(tile.axes, () => evaluator.write(tile, value()));
      }
      case 'contract': {
        const a = evaluator.expression(statement.a);
        const b = evaluator.expression(statement.b);
        return this.compileSum(statement.name, statement.over, 'add', () => a() * b());
      }
      case 'reduce':
        return this.compileSum(
          statement.name,
          statement.over,
          statement.operator,
          evaluator.expression(statement.value),
        );
      case 'for': {
        const body = this.compileBlock(statement.body);
        const { axis } = statement;
        const holds = evaluator.conditions(statement.conditions ?? []);
        return () => {
          if (!holds()) return;
          for (let base = 0; base < this.extentOf(axis); base += this.axisOf(axis).tile) {
            this.enter(axis, base);
            body();
          }
          this.bases.delete(axis);
          this.evaluator.enter(axis, 0);
        };
      }
      case 'store':
        return this.compileStore(statement);
      default:
        return unreachable(statement, 'tile statement');
    }
  }

  private compileSum(name: string, over: string, operator: 'add' | 'max', value: () => number): () => void {
    const { evaluator } = this;
    const tile: TileValues = evaluator.tile(name);
    return () =>
      this.overAxes(tile.axes, () => {
        let total = evaluator.read(tile);
        this.overAxes([over], () => {
          total = operator === 'add' ? total + value() : Math.max(total, value());
        });
        evaluator.write(tile, total);
      });
  }

  private compileStore(statement: Extract<TileStatement, { kind: 'store' }>): () => void {
    const { evaluator } = this;
    const value = evaluator.expression(statement.value);
    const holds = evaluator.conditions(statement.conditions as readonly IndexCondition[]);
    const element = evaluator.element(statement.buffer, statement.index as Dim);
    if (!readsBuffer(statement.value, statement.buffer)) {
      return () =>
        this.overAxes(statement.axes, () => {
          if (holds()) element.write(value());
        });
    }
    return () => {
      const values: number[] = [];
      this.overAxes(statement.axes, () => values.push(holds() ? value() : 0));
      let place = 0;
      this.overAxes(statement.axes, () => {
        const computed = values[place++] as number;
        if (holds()) element.write(computed);
      });
    };
  }
}

function readsBuffer(value: TileExpression, buffer: string): boolean {
  let reads = false;
  walkTileExpressions([value], (part) => {
    reads ||= part.kind === 'load' && part.buffer === buffer;
  });
  return reads;
}
