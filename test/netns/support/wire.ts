// What the client's link to the primary node has carried, by a capture of the client's own.

import { readCapture } from '../../../src/io/pcap/pcap';
import { PN_IP } from '../lab';
import type { Pair } from './pair';
import { until } from './wait';

export class Wire {
  private serial = 0;

  private constructor(
    private readonly pair: Pair,
    private readonly path: string,
  ) {}

  static async listen(pair: Pair): Promise<Wire> {
    const path = `${pair.lab.dir}/client.pcap`;
    await pair.lab.spawn('client', 'tcpdump', ['-U', '-w', path, '-i', 'pn']).waitFor(/listening on/);
    return new Wire(pair, path);
  }

  /** Packets with this text among all that came or went before the call. */
  async count(text: string): Promise<number> {
    // When the capture has a packet of ours, it has everything from before.
    const marker = `marker-${++this.serial}-`;
    await this.pair.client.run({ op: 'send', host: PN_IP, port: 9, text: marker });
    return until('marker in the capture', () => {
      let found = 0;
      let complete = false;
      try {
        for (const { data } of readCapture(this.path)) {
          const packet = data.toString('latin1');
          if (packet.includes(text)) found++;
          if (packet.includes(marker)) complete = true;
        }
      } catch {
        // The last packet is not all written.
      }
      return complete ? { found } : false;
    }).then(({ found }) => found);
  }
}
