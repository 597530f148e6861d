/** The memory of the mock driver: what is at an address, whether it still is, and whether anything was written there. */

/** A rule of CUDA that was broken. Thrown at the call, so that the stack says who. */
export class CudaViolation extends Error {
  override readonly name = 'CudaViolation';
}

export interface Allocation {
  readonly kind: 'device' | 'pinned';
  readonly number: number;
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** 1 for every byte that something has written. */
  readonly written: Uint8Array;
  isLive: boolean;
}

/** A part of an allocation that an operation reads or writes. */
export interface Access {
  readonly allocation: Allocation;
  readonly start: number;
  readonly end: number;
  readonly writes: boolean;
}

/** Nothing lies between allocations, so that an offset too far is noticed. */
const gap = 2n ** 20n;

export class AddressSpace {
  private readonly allocations: Allocation[] = [];
  private next: bigint;

  constructor(private readonly kind: Allocation['kind']) {
    this.next = kind === 'device' ? 0x7f0000000000n : 0x100000000000n;
  }

  allocate(byteLength: number): Allocation {
    if (byteLength < 1) throw new CudaViolation(`an allocation of ${byteLength} bytes`);
    const allocation: Allocation = {
      kind: this.kind,
      number: this.allocations.length,
      address: this.next,
      // Nothing may depend on what memory held before.
      bytes: new Uint8Array(byteLength).fill(0xee),
      written: new Uint8Array(byteLength),
      isLive: true,
    };
    this.next += BigInt(byteLength) + gap;
    this.next -= this.next % 256n;
    this.allocations.push(allocation);
    return allocation;
  }

  free(address: bigint): Allocation {
    const allocation = this.allocations.find((candidate) => candidate.address === address);
    if (allocation === undefined) throw new CudaViolation(`${this.kind} memory that was never allocated is freed`);
    if (!allocation.isLive) throw new CudaViolation(`${describe(allocation)} is freed twice`);
    allocation.isLive = false;
    return allocation;
  }

  /** `byteLength` bytes from an address on. */
  access(address: bigint, byteLength: number, writes: boolean): Access {
    const allocation = this.allocations.findLast((candidate) => candidate.address <= address);
    if (allocation === undefined) throw new CudaViolation(`no ${this.kind} memory at ${address.toString(16)}`);
    const start = Number(address - allocation.address);
    const end = start + byteLength;
    if (start >= allocation.bytes.byteLength || end > allocation.bytes.byteLength) {
      throw new CudaViolation(
        `bytes ${start} to ${end} are out of the ${allocation.bytes.byteLength} of ${describe(allocation)}`,
      );
    }
    const access = { allocation, start, end, writes };
    requireLive(access);
    return access;
  }

  get live(): readonly Allocation[] {
    return this.allocations.filter(({ isLive }) => isLive);
  }

  get liveBytes(): number {
    return this.live.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  }
}

export function describe({ kind, number, bytes }: Allocation): string {
  return `${kind} memory ${number} (${bytes.byteLength} bytes)`;
}

export function requireLive({ allocation }: Access): void {
  if (!allocation.isLive) throw new CudaViolation(`${describe(allocation)} is used after it was freed`);
}

/** All of it must have been written; of a kernel's buffers, whose ranges are not known, any of it. */
export function requireWritten({ allocation, start, end }: Access, how: 'all' | 'any'): void {
  const range = allocation.written.subarray(start, end);
  if (how === 'all' ? !range.includes(0) : range.includes(1)) return;
  throw new CudaViolation(`${describe(allocation)} is read before anything was written there`);
}

export function bytesOf({ allocation, start, end }: Access): Uint8Array {
  return allocation.bytes.subarray(start, end);
}

export function markWritten({ allocation, start, end }: Access): void {
  allocation.written.fill(1, start, end);
}
