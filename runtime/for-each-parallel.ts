/**
 * Does work on all items, on at most `limit` at a time. The first failure, or `stop`, aborts what is at work; it is thrown
 * when all of that has ended, so that nothing goes on behind the caller's back.
 */
export async function forEachParallel<T>(
  items: readonly T[],
  limit: number,
  work: (item: T, signal: AbortSignal) => Promise<void>,
  stop?: AbortSignal,
): Promise<void> {
  const abort = new AbortController();
  const onStop = (): void => abort.abort(stop?.reason);
  if (stop?.aborted === true) onStop();
  stop?.addEventListener('abort', onStop, { once: true });
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      abort.signal.throwIfAborted();
      await work(items[next++] as T, abort.signal);
    }
  };
  const workers = Array.from({ length: Math.min(limit, items.length) }, worker);
  try {
    await Promise.all(workers);
  } catch (error) {
    abort.abort(error);
    await Promise.allSettled(workers);
    throw error;
  } finally {
    stop?.removeEventListener('abort', onStop);
  }
}
