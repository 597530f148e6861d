import { describeWgslExecution } from './wgsl-execution.js';

await describeWgslExecution('swiftshader');
