import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type MockDevice, openMockDevice } from '../../test/cuda/mock-device.js';
import type { DeviceBuffer, UploadBlock, UploadLane } from '../device.js';

describe('uploads of a CUDA device', () => {
  let mock: MockDevice;
  let lane: UploadLane;
  let block: UploadBlock;
  let buffer: DeviceBuffer;

  beforeEach(() => {
    mock = openMockDevice();
    lane = mock.device.uploads!;
    block = lane.allocate(64);
    block.bytes.forEach((_, index) => (block.bytes[index] = index));
    buffer = mock.device.createBuffer(256, 'places');
  });
  afterEach(async () => {
    await mock.device.destroy();
    expect(mock.driver.leaks).toEqual([]);
  });

  it('bring parts of a block to parts of a buffer, behind what was queued before the mark', async () => {
    const { device } = mock;
    device.write(buffer, 0, new Uint8Array(256).fill(9));
    const first = lane.upload(lane.mark(), block, 16, buffer, 128, 8);
    const second = lane.upload(undefined, block, 0, buffer, 136, 4);
    lane.await(second);
    await lane.finished(first);
    const bytes = await device.read(buffer, 124, 20);
    expect([...bytes]).toEqual([9, 9, 9, 9, 16, 17, 18, 19, 20, 21, 22, 23, 0, 1, 2, 3, 9, 9, 9, 9]);
  });

  it('are waited for by finish, so that their memory may change then', async () => {
    lane.upload(lane.mark(), block, 0, buffer, 0, 64);
    await mock.device.finish();
    block.bytes.fill(1);
    const later = lane.upload(lane.mark(), block, 0, buffer, 0, 64);
    lane.await(later);
    expect(await mock.device.read(buffer, 0, 4)).toEqual(new Uint8Array(4).fill(1));
  });

  it('are waited for when their buffer is freed', async () => {
    lane.upload(lane.mark(), block, 0, buffer, 0, 64);
    buffer.destroy();
    expect(mock.device.usage.bytes).toBe(0);
    block.destroy();
    expect(mock.driver.pinnedBytes).toBe(0);
  });

  it('take few events, however many there are', async () => {
    for (let round = 0; round < 300; round++) lane.await(lane.upload(lane.mark(), block, 0, buffer, 64, 64));
    expect(mock.driver.count('eventCreate')).toBeLessThan(50);
    await mock.device.finish();
  });

  it('give back marks that nobody needed', () => {
    for (let round = 0; round < 10; round++) lane.drop(lane.mark());
    expect(mock.driver.count('eventCreate')).toBe(1);
  });

  it('are refused where they make no sense', () => {
    const mark = lane.mark();
    const refused = expect.objectContaining({ code: 'F2C514' }) as Error;
    expect(() => lane.upload(lane.mark(), block, 32, buffer, 0, 64)).toThrow(refused);
    expect(() => lane.upload(lane.mark(), block, 0, buffer, 224, 64)).toThrow(refused);
    expect(() => lane.upload(lane.mark(), { bytes: new Uint8Array(64), destroy: () => undefined }, 0, buffer, 0, 64)).toThrow(refused); // prettier-ignore
    lane.drop(mark);
    expect(() => lane.drop(mark)).toThrow(refused);
    expect(() => lane.await({ kind: 'ticket' })).toThrow(refused);
    block.destroy();
    expect(() => lane.upload(lane.mark(), block, 0, buffer, 0, 64)).toThrow(refused);
  });

  it('found out: host memory that changes, or goes, while a copy from it is under way', () => {
    lane.upload(lane.mark(), block, 0, buffer, 0, 64);
    expect(() => block.destroy()).toThrow(/hostFree while work that uses it is queued/);
  });

  it('found out: host memory that changes while a copy from it is under way', async () => {
    lane.upload(lane.mark(), block, 0, buffer, 0, 64);
    block.bytes[5] = 77;
    await expect(mock.device.finish()).rejects.toThrow(/pinned memory 0 .* changed before the stream reached the copy/);
  });
});
