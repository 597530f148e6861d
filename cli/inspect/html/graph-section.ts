/** The graph after all passes: blocks in the order in which they run, with what flows between them. */
import type { Block, Module, Operation, Value } from '../../../ir/graph/graph.js';
import { isInlineSource } from '../../../ir/graph/equal.js';
import { opTable } from '../../../ir/graph/ops/index.js';
import { printType } from '../../../ir/graph/types.js';
import type { Plan, PlanStep } from '../../../ir/plan.js';
import { type Content, markup, type Markup } from '../../page/markup.js';
import { renderLazyDetails } from '../../page/page.js';
import { blockLabel, blockOf } from '../label-block.js';

/** Consecutive operations of one block of the network. */
interface Section {
  readonly label: string;
  readonly operations: Operation[];
}

/** @param plan says which kernel a fused operation became */
export function renderGraph(module: Module, plan: Plan): Content {
  const kernels = kernelsByLabel(plan.steps);
  return [...module.functions.values()].map(({ body, resultNames }) => [
    markup`<p class="muted">
      Takes ${joinTypes(body.parameters)}; gives ${resultNames.join(', ')}. Values that a block takes from others stand
      at its right.
    </p>`,
    new GraphWriter(kernels).block(body),
  ]);
}

class GraphWriter {
  private readonly sources = new Map<Value, Operation>();

  constructor(private readonly kernels: ReadonlyMap<string, string>) {}

  block(block: Block): Content {
    for (const operation of block.operations) {
      if (isInlineSource(operation)) this.sources.set(operation.results[0] as Value, operation);
    }
    const sections = divide(block.operations.filter((operation) => !isInlineSource(operation)));
    return sections.map((section) => this.section(section));
  }

  private section({ label, operations }: Section): Content {
    const [first] = operations;
    if (first?.kind === 'loop') {
      const { count, symbol } = first.attributes;
      const body = first.body as Block;
      return markup`<details class="block loop" open>
        <summary>
          <b>loop</b>
          <span class="muted">${symbol} from 0 to ${count.text}, carries ${joinTypes(body.parameters)}</span>
        </summary>
        <div>${this.block(body)}</div>
      </details>`;
    }
    const fused = operations.filter(({ kind }) => kind === 'fused').length;
    const summary = markup`<b>${label}</b>
      <span class="muted"
        >${countOf(fused, 'kernel')},
        ${countOf(operations.length - fused, 'view or host operation', 'views and host operations')}</span
      ><span class="flow">${this.incoming(operations)}</span>`;
    return renderLazyDetails(
      summary,
      markup`<div>${operations.map((operation) => this.operation(operation))}</div>`,
      'block',
    );
  }

  /** What comes from other blocks: the largest value with its type, and how many there are. */
  private incoming(operations: readonly Operation[]): Content {
    const own = new Set(operations.flatMap(({ results }) => results));
    const operands = operations.flatMap((operation) => operation.operands);
    const taken = new Set(operands.filter((value) => !own.has(value) && !this.sources.has(value)));
    const symbols = ({ type }: Value): number => type.shape.filter((dim) => dim.constant === undefined).length;
    const [first, ...rest] = [...taken].sort((a, b) => symbols(b) - symbols(a));
    if (first === undefined) return '';
    const more = rest.length === 0 ? '' : ` and ${rest.length} more`;
    const names = rest.map(({ name, type }) => `%${name} : ${printType(type)}`).join('\n');
    return markup`<span data-tip="${names}">← %${first.name} : ${printType(first.type)}${more}</span>`;
  }

  private operation(operation: Operation): Markup {
    const { kind, operands, results, body } = operation;
    const values = markup`${this.values(results)}
      <span class="type">: ${results.map(({ type }) => printType(type)).join(', ')}</span>`;
    if (operation.kind !== 'fused') {
      const category = opTable[kind].category === 'host' ? 'host' : 'plain';
      return markup`<div class="op ${category}">
        <span class="kind">${kind}</span> ${this.values(operands)} → ${values}
      </div>`;
    }
    const inner = (body as Block).operations.filter((one) => !isInlineSource(one));
    const kernel = this.kernelOf(operation);
    return markup`<div class="op ${operation.attributes.anchor}">
      <span class="kind">${operation.attributes.anchor}</span
      >${kernel === undefined ? '' : markup` <code class="muted">${kernel}</code>`} ${this.values(operands)} → ${values}
      <div class="inner">${inner.map(({ kind: one }) => one).join(' → ')}</div>
    </div>`;
  }

  private kernelOf({ operands, results }: Operation): string | undefined {
    const names = [...results.map(({ name }) => name), ...operands.map((value) => this.weightName(value) ?? '')];
    const found = names.find((name) => this.kernels.has(name));
    return found === undefined ? undefined : this.kernels.get(found);
  }

  private weightName(value: Value): string | undefined {
    const source = this.sources.get(value);
    return source?.kind === 'weight' ? source.attributes.name : undefined;
  }

  private values(values: readonly Value[]): Content {
    return values.map((value, at): Content => {
      const weight = this.weightName(value);
      const source = this.sources.get(value);
      const text =
        weight !== undefined
          ? markup`<span class="weight">@${weight}</span>`
          : source?.kind === 'constant'
            ? String(source.attributes.values[0])
            : markup`<span class="value" data-tip="${printType(value.type)}">%${value.name}</span>`;
      return at === 0 ? text : [', ', text];
    });
  }
}

/** Values without a block of their own (pieces of a split) belong to the one before. */
function divide(operations: readonly Operation[]): readonly Section[] {
  const sections: Section[] = [];
  for (const operation of operations) {
    const names = operation.results.map(({ name }) => name);
    const found = names.map((name) => blockOf(name)).find((block) => block !== undefined);
    const last = sections.at(-1);
    const label = operation.kind === 'loop' ? 'loop' : found === undefined ? undefined : blockLabel(found);
    if (last !== undefined && last.label !== 'loop' && (label === undefined || label === last.label)) {
      last.operations.push(operation);
    } else sections.push({ label: label ?? 'between the blocks', operations: [operation] });
  }
  return sections;
}

function kernelsByLabel(steps: readonly PlanStep[]): ReadonlyMap<string, string> {
  const kernels = new Map<string, string>();
  const walk = (inner: readonly PlanStep[]): void => {
    for (const step of inner) {
      if (step.kind === 'loop') walk(step.steps);
      if (step.kind === 'launch') kernels.set(step.label, step.kernel);
    }
  };
  walk(steps);
  return kernels;
}

function countOf(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

function joinTypes(values: readonly Value[]): string {
  return values.map(({ name, type }) => `%${name} : ${printType(type)}`).join(', ');
}
