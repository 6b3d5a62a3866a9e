// Takes the laboratory down when the process that built it is gone, however it went: a shell in its own session waits
// on a pipe whose other end only that process holds, so that even kill -9 reads as "end of file".
import { type ChildProcess, spawn } from 'node:child_process';

const SCRIPT = `
  IFS= read -r word
  [ "$word" = done ] && exit 0
  dir=$1; shift
  for ns in "$@"; do ip netns pids "$ns" 2>/dev/null | xargs -r kill -9 2>/dev/null; done
  for ns in "$@"; do ip netns del "$ns" 2>/dev/null; done
  rm -rf "$dir"
`;

export class Guard {
  private readonly child: ChildProcess;

  constructor(directory: string, namespaces: readonly string[]) {
    this.child = spawn('/bin/sh', ['-c', SCRIPT, 'colo-lab-guard', directory, ...namespaces], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.child.unref();
    // @types/node does not know that a pipe's stream has unref().
    (this.child.stdin as unknown as { unref(): void }).unref();
    this.child.stdin?.on('error', () => {});
  }

  /** The laboratory has been taken down in order; nothing is left to do. */
  dismiss(): void {
    this.child.stdin?.end('done\n');
  }
}
